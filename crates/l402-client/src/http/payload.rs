//! What a request carries. It can be sent again: the first request may be answered with a price.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use thiserror::Error;
use tokio::fs::File;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

use super::transport::Activity;

/// How much is sent at a time.
const CHUNK_BYTES: usize = 64 * 1024;
/// A body larger than this is announced with `Expect: 100-continue` and held back for a moment (RFC 9110, section
/// 10.1.1): a server that answers with a price does not read it, and the answer would be lost in the broken pipe.
const ANNOUNCED_BYTES_MIN: u64 = 64 * 1024;
/// How long it is held back. Servers that do not know the expectation just wait for the body.
const HELD_BACK: Duration = Duration::from_secs(1);

/// The body of a request.
#[derive(Debug, Clone, Default)]
pub enum Payload {
    /// None.
    #[default]
    Empty,
    /// These bytes.
    Bytes(Bytes),
    /// A file, streamed; opened anew each time the request is sent.
    File(PathBuf),
}

/// Why a payload cannot be sent.
#[derive(Debug, Error)]
#[error("{path}: {source}")]
pub struct PayloadError {
    path: PathBuf,
    source: io::Error,
}

impl Payload {
    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    pub(super) async fn upload(&self, activity: &Arc<Activity>) -> Result<Option<Upload>, PayloadError> {
        let (source, left) = match self {
            Self::Empty => return Ok(None),
            Self::Bytes(bytes) => (Source::Bytes(bytes.clone()), bytes.len() as u64),
            Self::File(path) => {
                let failed = |source| PayloadError { path: path.clone(), source };
                let file = File::open(path).await.map_err(failed)?;
                let left = file.metadata().await.map_err(failed)?.len();
                (Source::File(file, BytesMut::new()), left)
            }
        };
        let hold = (left > ANNOUNCED_BYTES_MIN).then(|| Box::pin(tokio::time::sleep(HELD_BACK)));
        Ok(Some(Upload { source, left, hold, activity: activity.clone() }))
    }
}

/// A body on its way out, exactly as long as it was when it set out.
pub(super) struct Upload {
    source: Source,
    left: u64,
    /// Nothing is sent before this has passed.
    hold: Option<Pin<Box<Sleep>>>,
    activity: Arc<Activity>,
}

enum Source {
    Bytes(Bytes),
    File(File, BytesMut),
}

impl Upload {
    /// Whether the server is to be asked before the body is sent.
    pub(super) fn is_announced(&self) -> bool {
        self.hold.is_some()
    }
}

impl Source {
    /// The next piece, of at most `want` bytes; empty at the end.
    fn poll_piece(&mut self, want: usize, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        match self {
            Self::Bytes(bytes) => {
                let piece = bytes.split_to(want.min(bytes.len()));
                Poll::Ready(Ok(piece))
            }
            Self::File(file, buffer) => {
                buffer.resize(want, 0);
                let mut space = ReadBuf::new(buffer);
                ready!(Pin::new(file).poll_read(cx, &mut space))?;
                let read = space.filled().len();
                Poll::Ready(Ok(buffer.split_to(read).freeze()))
            }
        }
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        if let Some(hold) = &mut this.hold {
            ready!(hold.as_mut().poll(cx));
            this.hold = None;
        }
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let want = usize::try_from(this.left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let piece = ready!(this.source.poll_piece(want, cx))?;
        if piece.is_empty() {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        this.activity.note();
        this.left -= piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
