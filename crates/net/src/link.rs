//! The link with a friend: one long-lived stream, a bounded queue towards it, and the task that
//! moves frames in both directions until the stream, the friend or we end it.

use crate::frame::{self, FrameError};
use crate::paced::Paced;
use crate::queue::Events;
use crate::rules::lock;
use crate::{Error, Event};
use base::{DeviceId, limit};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, io::BufReader, ready};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

// How often a link looks whether anything was said on it.
const PULSE: Duration = Duration::from_secs(10);
// Pulses without a byte after which the friend's machine is taken for gone.
const SILENT_PULSES: u32 = 3;
// How long what came before the end of a link is still read: whoever sent it would have to send it again.
const LAST_WORDS: Duration = Duration::from_millis(250);
// Bytes of small frames written as one.
const BATCH: usize = 64 << 10;
const READ_BUFFER: usize = 64 << 10;

/// Frames that wait to be sent to one peer.
pub(crate) struct Outbox {
    peer: DeviceId,
    state: Mutex<Queue>,
    ready: Notify,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Vec<u8>>,
    // Bytes in `frames` and in what the writer took and has not written yet.
    bytes: usize,
    // Whether somebody may wait for `Event::Drained`.
    high: bool,
    closed: bool,
    // Whether anything went out since the last pulse.
    moved: bool,
}

impl Outbox {
    pub(crate) fn new(peer: DeviceId) -> Outbox {
        Outbox { peer, state: Mutex::default(), ready: Notify::new() }
    }

    /// Queues a frame; answers the bytes queued now.
    pub(crate) fn push(&self, frame: Vec<u8>) -> Result<usize, Error> {
        if frame.len() > limit::ENVELOPE_BYTES {
            return Err(Error::TooLarge { limit: limit::ENVELOPE_BYTES });
        }
        let mut queue = lock(&self.state);
        if queue.closed {
            return Err(Error::NotConnected);
        }
        let bytes = queue.bytes + frame.len() + frame::HEAD;
        if bytes > limit::SEND_BYTES {
            queue.high = true;
            return Err(Error::Full { queued: queue.bytes });
        }
        queue.high |= bytes > limit::SEND_BYTES / 2;
        queue.bytes = bytes;
        queue.frames.push_back(frame);
        drop(queue);
        self.ready.notify_one();
        Ok(bytes)
    }

    /// Bytes queued.
    pub(crate) fn queued(&self) -> usize {
        lock(&self.state).bytes
    }

    /// From now on nothing is taken.
    pub(crate) fn close(&self) {
        let mut queue = lock(&self.state);
        queue.closed = true;
        queue.frames.clear();
    }

    // Waits for a frame and takes what fits into one batch, at least one.
    async fn take(&self) -> Vec<Vec<u8>> {
        loop {
            {
                let mut queue = lock(&self.state);
                let mut batch = Vec::new();
                let mut bytes = 0;
                while bytes < BATCH
                    && let Some(frame) = queue.frames.pop_front()
                {
                    bytes += frame.len() + frame::HEAD;
                    batch.push(frame);
                }
                if !batch.is_empty() {
                    return batch;
                }
            }
            self.ready.notified().await;
        }
    }

    // These bytes are written; answers what is left if somebody waits for room and there is now.
    fn done(&self, bytes: usize) -> Option<usize> {
        let mut queue = lock(&self.state);
        queue.moved = true;
        queue.bytes = queue.bytes.saturating_sub(bytes);
        if queue.high && queue.bytes < limit::SEND_BYTES / 2 {
            queue.high = false;
            return Some(queue.bytes);
        }
        None
    }

    // Queues a frame that carries nothing if nothing else went out since the last call.
    fn beat(&self) {
        let mut queue = lock(&self.state);
        if !queue.moved && queue.bytes == 0 {
            queue.bytes = frame::HEAD;
            queue.frames.push_back(Vec::new());
            self.ready.notify_one();
        }
        queue.moved = false;
    }
}

/// What the reading side lets the pulse see.
#[derive(Default)]
struct Vitals {
    reads: AtomicU64,
    // The node is slow to take what was read: silence is ours.
    waiting: AtomicBool,
}

/// Moves frames until one of the two ends it; answers why, for people.
pub(crate) async fn run<S>(
    stream: S,
    outbox: Arc<Outbox>,
    events: Events,
    stop: oneshot::Receiver<String>,
) -> String
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (from, to) = stream.split();
    let vitals = Vitals::default();
    let mut reading = Box::pin(read(from, outbox.peer, &events, &vitals));
    let (why, heard_all) = tokio::select! {
        why = &mut reading => (why, true),
        why = write(Paced::new(to), &outbox, &events) => (why, false),
        why = pulse(&outbox, &vitals) => (why, true),
        why = stop => (why.unwrap_or_else(|_| "the network was stopped".into()), false),
    };
    outbox.close();
    if !heard_all {
        let _ = tokio::time::timeout(LAST_WORDS, reading).await;
    }
    why
}

async fn read<R: AsyncRead + Unpin>(from: R, peer: DeviceId, events: &Events, vitals: &Vitals) -> String {
    let mut from = BufReader::with_capacity(READ_BUFFER, Heard { inner: from, vitals });
    loop {
        match frame::read(&mut from, limit::ENVELOPE_BYTES).await {
            Ok(bytes) if bytes.is_empty() => {}
            Ok(bytes) => {
                vitals.waiting.store(true, Ordering::Relaxed);
                events.received(peer, bytes).await;
                vitals.waiting.store(false, Ordering::Relaxed);
            }
            Err(e @ FrameError::TooLarge { .. }) => {
                events.trouble(format!("a friend's device {peer} sent {e}; the link was closed"));
                return e.to_string();
            }
            Err(e) => return e.to_string(),
        }
    }
}

async fn write<W: AsyncWrite + Unpin>(mut to: W, outbox: &Outbox, events: &Events) -> String {
    let mut buffer = Vec::with_capacity(BATCH);
    loop {
        let batch = outbox.take().await;
        let bytes = batch.iter().map(|frame| frame.len() + frame::HEAD).sum();
        if let Err(e) = write_batch(&mut to, &mut buffer, batch).await {
            return e.to_string();
        }
        if let Some(queued) = outbox.done(bytes) {
            events.say(Event::Drained { peer: outbox.peer, queued });
        }
    }
}

async fn write_batch<W: AsyncWrite + Unpin>(
    to: &mut W,
    buffer: &mut Vec<u8>,
    batch: Vec<Vec<u8>>,
) -> io::Result<()> {
    buffer.clear();
    for frame in batch {
        buffer.extend_from_slice(&frame::head(frame.len()));
        if frame.len() < BATCH {
            buffer.extend_from_slice(&frame);
        } else {
            to.write_all(buffer).await?;
            buffer.clear();
            to.write_all(&frame).await?;
        }
    }
    to.write_all(buffer).await?;
    to.flush().await
}

async fn pulse(outbox: &Outbox, vitals: &Vitals) -> String {
    let mut reads = 0;
    let mut silent = 0;
    loop {
        tokio::time::sleep(PULSE).await;
        outbox.beat();
        let now = vitals.reads.load(Ordering::Relaxed);
        if now != reads || vitals.waiting.load(Ordering::Relaxed) {
            (reads, silent) = (now, 0);
            continue;
        }
        silent += 1;
        if silent >= SILENT_PULSES {
            return format!("nothing was heard for {} seconds", (PULSE * SILENT_PULSES).as_secs());
        }
    }
}

/// A reader whose reads are counted.
struct Heard<'a, R> {
    inner: R,
    vitals: &'a Vitals,
}

impl<R: AsyncRead + Unpin> AsyncRead for Heard<'_, R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        self.vitals.reads.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Ok(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;

    #[test]
    fn the_queue_is_bounded_and_tells_when_it_is_drained() {
        let outbox = Outbox::new(DeviceId([1; 32]));
        let frame = vec![0; 1 << 20];
        let mut queued = 0;
        while outbox.push(frame.clone()).is_ok() {
            queued += 1;
        }
        assert!(queued >= 16 && outbox.queued() <= limit::SEND_BYTES);
        let mut drained = 0;
        for _ in 0..queued {
            let batch = block_on(outbox.take());
            drained += usize::from(outbox.done(batch.iter().map(|f| f.len() + frame::HEAD).sum()).is_some());
        }
        assert_eq!((drained, outbox.queued()), (1, 0));
    }

    #[test]
    fn a_closed_or_oversized_push_queues_nothing() {
        let outbox = Outbox::new(DeviceId([1; 32]));
        let limit = limit::ENVELOPE_BYTES;
        assert_eq!(outbox.push(vec![0; limit + 1]), Err(Error::TooLarge { limit }));
        outbox.close();
        assert_eq!(outbox.push(vec![0]), Err(Error::NotConnected));
        assert_eq!(outbox.queued(), 0);
    }
}
