//! How much goes at once. A message of noise (up to 64 KiB) and a frame of yamux (16 KiB) are of use only when all of
//! them came: a link that breaks after less would never carry anything. So what is written begins with little, and grows with
//! what was carried: no cut costs much beside what came before it, and a link that holds is not slower.

use futures::{AsyncRead, AsyncWrite, ready};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Bytes at once on a young connection.
const LEAST: usize = 2 << 10;
/// The largest that noise makes of them anyway.
const MOST: usize = 64 << 10;

/// A multiplexer whose bytes go through [`Paced`].
#[derive(Clone)]
pub(crate) struct PacedBelow<U>(pub(crate) U);

impl<U: UpgradeInfo> UpgradeInfo for PacedBelow<U> {
    type Info = U::Info;
    type InfoIter = U::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.protocol_info()
    }
}

impl<C, U: InboundConnectionUpgrade<Paced<C>>> InboundConnectionUpgrade<C> for PacedBelow<U> {
    type Output = U::Output;
    type Error = U::Error;
    type Future = U::Future;

    fn upgrade_inbound(self, socket: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_inbound(Paced::new(socket), info)
    }
}

impl<C, U: OutboundConnectionUpgrade<Paced<C>>> OutboundConnectionUpgrade<C> for PacedBelow<U> {
    type Output = U::Output;
    type Error = U::Error;
    type Future = U::Future;

    fn upgrade_outbound(self, socket: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_outbound(Paced::new(socket), info)
    }
}

/// A connection, or a stream on one, that is given little at a time, and flushed before what waits becomes too much.
pub(crate) struct Paced<T> {
    inner: T,
    carried: usize,
    waiting: usize,
}

impl<T> Paced<T> {
    pub(crate) fn new(inner: T) -> Paced<T> {
        Paced { inner, carried: 0, waiting: 0 }
    }

    fn at_once(&self) -> usize {
        (self.carried / 4).clamp(LEAST, MOST)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Paced<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Paced<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let at_once = this.at_once();
        if this.waiting >= at_once {
            ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
            this.waiting = 0;
        }
        let part = bytes.get(..at_once - this.waiting).unwrap_or(bytes);
        let n = ready!(Pin::new(&mut this.inner).poll_write(cx, part))?;
        this.waiting += n;
        this.carried = this.carried.saturating_add(n);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
        this.waiting = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::AsyncWriteExt;
    use futures::executor::block_on;

    /// Notes how many bytes were flushed together, and takes no more than some at a time.
    #[derive(Default)]
    struct Below {
        waiting: usize,
        flushed: Vec<usize>,
    }

    impl AsyncWrite for Below {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let n = bytes.len().min(1500);
            self.waiting += n;
            Poll::Ready(Ok(n))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            let waiting = std::mem::take(&mut self.waiting);
            self.flushed.push(waiting);
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_young_connection_encrypts_little_at_once_and_an_old_one_much() {
        let mut paced = Paced::new(Below::default());
        block_on(async {
            paced.write_all(&vec![7; 2 << 20]).await.unwrap();
            paced.flush().await.unwrap();
        });
        let flushed = paced.inner.flushed;
        assert_eq!(flushed.iter().sum::<usize>(), 2 << 20);
        let mut before = 0;
        for (n, bytes) in flushed.iter().enumerate() {
            before += bytes;
            assert!(*bytes <= LEAST.max(before / 4), "{n}: {bytes} of {before}");
        }
        assert_eq!(flushed.iter().max(), Some(&MOST));
    }
}
