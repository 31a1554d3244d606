//! One question, one answer: what travels when two people make friends. Whose question it is and
//! what the answer says is not known here.

use crate::frame::{self, FrameError};
use crate::queue::Events;
use crate::{Error, Event, event::Reply};
use base::{DeviceId, limit};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long whoever asked waits for the answer.
pub(crate) const ANSWER: Duration = Duration::from_secs(30);
// How long a request may take to arrive, once its stream is open.
const REQUEST: Duration = Duration::from_secs(10);
// How long an answer may take to leave.
const PARTING: Duration = Duration::from_secs(5);

/// Sends a request and waits for the answer.
pub(crate) async fn ask<S>(mut stream: S, request: Vec<u8>) -> Result<Vec<u8>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let exchange = async {
        frame::write(&mut stream, &request).await.map_err(FrameError::Io)?;
        frame::read(&mut stream, limit::CARD_BYTES).await
    };
    let answer = match timeout(ANSWER, exchange).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(FrameError::TooLarge { limit, .. })) => Err(Error::TooLarge { limit }),
        Ok(Err(_)) => Err(Error::Refused),
        Err(_) => Err(Error::Timeout),
    };
    let _ = timeout(PARTING, stream.close()).await;
    answer
}

/// Takes a request to the node and the node's answer back. Nothing is sent when the node refuses.
pub(crate) async fn serve<S>(mut stream: S, peer: DeviceId, events: Events)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(Ok(bytes)) = timeout(REQUEST, frame::read(&mut stream, limit::CARD_BYTES)).await else { return };
    let (reply, answer) = oneshot::channel();
    events.say(Event::PairRequest { peer, bytes, reply: Reply(reply) });
    let Ok(Ok(answer)) = timeout(ANSWER, answer).await else { return };
    if answer.len() > limit::CARD_BYTES {
        events.trouble(format!("a pairing answer of {} bytes is too long and was not sent", answer.len()));
        return;
    }
    let parting = async {
        frame::write(&mut stream, &answer).await?;
        stream.close().await?;
        // Whoever asked closes when the answer is there; until then the connection must stay.
        stream.read(&mut [0]).await
    };
    let _ = timeout(PARTING, parting).await;
}
