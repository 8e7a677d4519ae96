//! Bodies of requests and of backends' answers, whole or written while they are read.

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::sync::mpsc;

pub(crate) enum Payload {
    Whole(Option<Bytes>),
    Stream(mpsc::Receiver<Result<Frame<Bytes>, Infallible>>),
    /// So many zero bytes, made as they are asked for.
    Zeros(u64),
}

/// The writing end of a body.
pub(crate) struct Feed(mpsc::Sender<Result<Frame<Bytes>, Infallible>>);

impl Payload {
    pub(crate) fn empty() -> Self {
        Self::Whole(None)
    }

    /// A body that is written while it is read; it ends when the feed is dropped.
    pub(crate) fn stream() -> (Feed, Self) {
        let (feed, frames) = mpsc::channel(1);
        (Feed(feed), Self::Stream(frames))
    }
}

impl Feed {
    /// Writes a piece; false once nobody reads any more.
    pub(crate) async fn data(&self, piece: impl Into<Bytes>) -> bool {
        self.0.send(Ok(Frame::data(piece.into()))).await.is_ok()
    }

    /// Ends with trailers.
    pub(crate) async fn trailers(self, trailers: HeaderMap) {
        let _ = self.0.send(Ok(Frame::trailers(trailers))).await; // a reader that left misses nothing
    }

    /// Waits until nobody reads any more.
    pub(crate) async fn unread(&self) {
        self.0.closed().await;
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Self {
        Self::Whole(Some(Bytes::copy_from_slice(text.as_bytes())).filter(|bytes| !bytes.is_empty()))
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        const PIECE: &[u8] = &[0; 64 << 10];
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(frames) => frames.poll_recv(cx),
            Self::Zeros(0) => Poll::Ready(None),
            Self::Zeros(left) => {
                let piece = usize::try_from(*left).map_or(PIECE, |left| &PIECE[..left.min(PIECE.len())]);
                *left -= piece.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None) | Self::Zeros(0))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(_) => SizeHint::default(),
            Self::Zeros(left) => SizeHint::with_exact(*left),
        }
    }
}
