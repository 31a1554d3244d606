//! Counts what travels with each friend: a muxer around a muxer that adds up the bytes of all its
//! streams. What encryption and packets add below is not in the figures.

use futures::{AsyncRead, AsyncWrite, ready};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use std::io;
use std::io::{IoSlice, IoSliceMut};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

/// What came from and went to one peer.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Bytes.
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
    /// Messages of gossip.
    pub(crate) hints_received: AtomicU64,
    pub(crate) hints_sent: AtomicU64,
}

impl Counters {
    /// One message of gossip came.
    pub(crate) fn hint_came(&self) {
        add(&self.hints_received, 1);
    }

    /// One message of gossip goes.
    pub(crate) fn hint_goes(&self) {
        add(&self.hints_sent, 1);
    }
}

fn add(counter: &AtomicU64, bytes: usize) {
    counter.fetch_add(bytes as u64, Ordering::Relaxed);
}

/// A muxer, or one of its streams, whose bytes are counted.
pub(crate) struct Counted<T> {
    inner: T,
    counters: Arc<Counters>,
}

impl<T> Counted<T> {
    pub(crate) fn new(inner: T, counters: Arc<Counters>) -> Counted<T> {
        Counted { inner, counters }
    }
}

impl<T: Unpin> Counted<T> {
    fn inner(self: Pin<&mut Self>) -> Pin<&mut T> {
        Pin::new(&mut self.get_mut().inner)
    }
}

impl<M> StreamMuxer for Counted<M>
where
    M: StreamMuxer + Unpin,
    M::Substream: Unpin,
{
    type Substream = Counted<M::Substream>;
    type Error = M::Error;

    fn poll_inbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let counters = self.counters.clone();
        self.inner().poll_inbound(cx).map_ok(|stream| Counted::new(stream, counters))
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let counters = self.counters.clone();
        self.inner().poll_outbound(cx).map_ok(|stream| Counted::new(stream, counters))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner().poll_close(cx)
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        self.inner().poll(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let n = ready!(self.as_mut().inner().poll_read(cx, buffer))?;
        add(&self.counters.received, n);
        Poll::Ready(Ok(n))
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let n = ready!(self.as_mut().inner().poll_read_vectored(cx, buffers))?;
        add(&self.counters.received, n);
        Poll::Ready(Ok(n))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let n = ready!(self.as_mut().inner().poll_write(cx, bytes))?;
        add(&self.counters.sent, n);
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let n = ready!(self.as_mut().inner().poll_write_vectored(cx, slices))?;
        add(&self.counters.sent, n);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_close(cx)
    }
}
