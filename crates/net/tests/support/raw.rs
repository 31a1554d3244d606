//! The other end of a connection without a carrier: noise and yamux only, every byte by hand.

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox};
use libp2p::core::transport::{Boxed, DialOpts, PortUse};
use libp2p::core::upgrade::Version;
use libp2p::core::{Endpoint, Transport};
use libp2p::identity::Keypair;
use libp2p::{PeerId, noise, tcp, yamux};
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

pub struct Raw {
    pub peer: PeerId,
    muxer: StreamMuxerBox,
    /// Streams the other end opened: held without an answer, for whoever drops one refuses it, and the other
    /// end may close the connection for that.
    pub inbound: Vec<SubstreamBox>,
    pub broken: bool,
}

pub fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(super::PATIENCE, future).await.expect("in time") })
}

fn transport(key: &Keypair) -> Boxed<(PeerId, StreamMuxerBox)> {
    tcp::tokio::Transport::new(tcp::Config::default())
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(key).unwrap())
        .multiplex(yamux::Config::default())
        .boxed()
}

pub async fn dial(key: &Keypair, addr: &str) -> Result<Raw, String> {
    let opts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
    let dialed = transport(key).dial(addr.parse().unwrap(), opts).map_err(|e| e.to_string())?.await;
    let (peer, muxer) = dialed.map_err(|e| e.to_string())?;
    Ok(Raw { peer, muxer, inbound: Vec::new(), broken: false })
}

impl Raw {
    /// Drives the connection until the future is done, or the connection is.
    pub async fn drive<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        poll_fn(|cx| {
            while !self.broken {
                match self.muxer.poll_inbound_unpin(cx) {
                    Poll::Ready(Ok(stream)) => self.inbound.push(stream),
                    Poll::Ready(Err(_)) => self.broken = true,
                    Poll::Pending => break,
                }
            }
            if !self.broken && matches!(self.muxer.poll_unpin(cx), Poll::Ready(Err(_))) {
                self.broken = true;
            }
            match future.as_mut().poll(cx) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending if self.broken => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Waits until the other end closes; whether it did in this time.
    pub async fn closed_within(&mut self, time: Duration) -> bool {
        self.drive(tokio::time::sleep(time)).await;
        self.broken
    }

    /// Waits until the other end has opened a stream, or closes.
    pub async fn opened(&mut self) {
        while self.inbound.is_empty() && !self.broken {
            self.drive(tokio::time::sleep(Duration::from_millis(10))).await;
        }
    }

    pub async fn stream(&mut self) -> Option<SubstreamBox> {
        poll_fn(|cx| match self.muxer.poll_outbound_unpin(cx) {
            Poll::Ready(stream) => Poll::Ready(stream.ok()),
            Poll::Pending => match self.muxer.poll_unpin(cx) {
                Poll::Ready(Err(_)) => Poll::Ready(None),
                _ => Poll::Pending,
            },
        })
        .await
    }

    /// A stream on which the other end agreed to speak this; none if it does not.
    pub async fn speak(&mut self, protocol: &str) -> Option<SubstreamBox> {
        let mut stream = self.stream().await?;
        let exchange = async {
            for line in ["/multistream/1.0.0", protocol] {
                let line = [&[line.len() as u8 + 1], line.as_bytes(), b"\n"].concat();
                stream.write_all(&line).await.ok()?;
            }
            stream.flush().await.ok()?;
            let mut answers = Vec::new();
            while answers.len() < 2 {
                let mut length = [0];
                stream.read_exact(&mut length).await.ok()?;
                let mut line = vec![0; length[0].into()];
                stream.read_exact(&mut line).await.ok()?;
                answers.push(String::from_utf8(line).ok()?);
            }
            Some(answers)
        };
        let answers = self.drive(exchange).await??;
        (answers[1].trim_end() == protocol).then_some(stream)
    }
}
