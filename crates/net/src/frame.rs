//! Frames on a stream: four bytes of length, most significant first, then as many bytes.
//!
//! A frame of length zero carries nothing: it only shows that its sender lives.

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use std::io;

/// Bytes of the length before each frame.
pub(crate) const HEAD: usize = 4;
// Memory taken on the word of a length alone; the rest is taken as bytes come.
const TRUST: usize = 1 << 20;
// Bytes asked for at once while a frame grows past that.
const STEP: usize = 1 << 20;

/// Why no frame was read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("the peer closed the stream")]
    Closed,
    #[error("a frame of {length} bytes, over the limit of {limit}")]
    TooLarge { length: usize, limit: usize },
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The length before a frame of `length` bytes.
pub(crate) fn head(length: usize) -> [u8; HEAD] {
    // Whoever sends keeps to limits far below; a longer frame would be refused over there.
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

/// Reads one frame of at most `limit` bytes.
pub(crate) async fn read<R: AsyncRead + Unpin>(from: &mut R, limit: usize) -> Result<Vec<u8>, FrameError> {
    let mut head = [0; HEAD];
    read_all(from, &mut head).await?;
    let length = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
    if length > limit {
        return Err(FrameError::TooLarge { length, limit });
    }
    let mut body = Vec::with_capacity(length.min(TRUST));
    while body.len() < length {
        let start = body.len();
        body.resize(start + (length - start).min(STEP), 0);
        read_all(from, &mut body[start..]).await?;
    }
    Ok(body)
}

async fn read_all<R: AsyncRead + Unpin>(from: &mut R, into: &mut [u8]) -> Result<(), FrameError> {
    from.read_exact(into).await.map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => FrameError::Closed,
        _ => FrameError::Io(e),
    })
}

/// Writes one frame and sees it off.
pub(crate) async fn write<W: AsyncWrite + Unpin>(to: &mut W, body: &[u8]) -> io::Result<()> {
    to.write_all(&head(body.len())).await?;
    to.write_all(body).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use futures::io::Cursor;

    #[test]
    fn frames_read_back_as_they_were_written() {
        let bodies = [vec![], vec![7], vec![1; 70_000], vec![2; 3 << 20]];
        let mut wire = Vec::new();
        for body in &bodies {
            block_on(write(&mut wire, body)).unwrap();
        }
        let mut wire = Cursor::new(wire);
        for body in &bodies {
            assert_eq!(&block_on(read(&mut wire, 4 << 20)).unwrap(), body);
        }
        assert!(matches!(block_on(read(&mut wire, 10)), Err(FrameError::Closed)));
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_before_it_is_read() {
        let mut wire = Cursor::new(vec![0xff; 4]);
        assert!(matches!(block_on(read(&mut wire, 10)), Err(FrameError::TooLarge { .. })));
    }

    #[test]
    fn a_frame_cut_short_is_an_end() {
        for cut in 0..6 {
            let mut wire = vec![0, 0, 0, 3, 1, 2, 3];
            wire.truncate(cut);
            assert!(matches!(block_on(read(&mut Cursor::new(wire), 10)), Err(FrameError::Closed)));
        }
    }
}
