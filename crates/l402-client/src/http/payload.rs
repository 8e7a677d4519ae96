//! What a request carries. It can be sent again: the first request may be answered with a price.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use thiserror::Error;
use tokio::fs::File;
use tokio::io::{AsyncRead, ReadBuf};

use super::transport::Activity;

/// How much of a file is read at a time.
const CHUNK_BYTES: usize = 64 * 1024;

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

    pub(super) async fn body(&self, activity: &Arc<Activity>) -> Result<Option<reqwest::Body>, PayloadError> {
        match self {
            Self::Empty => Ok(None),
            Self::Bytes(bytes) => Ok(Some(bytes.clone().into())),
            Self::File(path) => {
                let failed = |source| PayloadError { path: path.clone(), source };
                let file = File::open(path).await.map_err(failed)?;
                let left = file.metadata().await.map_err(failed)?.len();
                let upload = Upload { file, left, buffer: BytesMut::new(), activity: activity.clone() };
                Ok(Some(reqwest::Body::wrap(upload)))
            }
        }
    }
}

/// A file on its way out, exactly as long as it was when opened.
struct Upload {
    file: File,
    left: u64,
    buffer: BytesMut,
    activity: Arc<Activity>,
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let want = usize::try_from(this.left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        this.buffer.resize(want, 0);
        let mut space = ReadBuf::new(&mut this.buffer);
        ready!(Pin::new(&mut this.file).poll_read(cx, &mut space))?;
        let read = space.filled().len();
        if read == 0 {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        this.activity.note();
        this.left -= read as u64;
        Poll::Ready(Some(Ok(Frame::data(this.buffer.split_to(read).freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
