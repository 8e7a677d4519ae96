//! Bodies that do what well-behaved ones do not.

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::sync::mpsc;

/// Frames that wait for a slow reader.
const FRAMES_WAITING_MAX: usize = 1_024;

/// The body of a server's answer.
pub(crate) enum ReplyBody {
    Whole(Option<Bytes>),
    Frames(mpsc::Receiver<Result<Frame<Bytes>, CutHere>>),
}

/// Pushes frames into a body; dropped, the body ends.
pub(crate) type FrameSender = mpsc::Sender<Result<Frame<Bytes>, CutHere>>;

/// The connection breaks here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CutHere;

impl ReplyBody {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()))
    }

    /// A body that is written while it is read.
    pub(crate) fn open() -> (FrameSender, Self) {
        let (sender, receiver) = mpsc::channel(FRAMES_WAITING_MAX);
        (sender, Self::Frames(receiver))
    }

    /// A body that breaks off after these bytes.
    pub(crate) fn cut_after(bytes: Bytes) -> Self {
        Self::of([Ok(Frame::data(bytes)), Err(CutHere)])
    }

    /// A body with trailers.
    pub(crate) fn with_trailers(bytes: Bytes, trailers: HeaderMap) -> Self {
        Self::of([Ok(Frame::data(bytes)), Ok(Frame::trailers(trailers))])
    }

    /// A body of these frames. Each is offered when the one before has been taken, so that what precedes a cut is on
    /// its way when the cut comes.
    fn of(frames: [Result<Frame<Bytes>, CutHere>; 2]) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            for frame in frames {
                if sender.send(frame).await.is_err() {
                    return;
                }
            }
        });
        Self::Frames(receiver)
    }

    /// A body that goes on for as long as it is read.
    pub(crate) fn endless() -> Self {
        let (sender, body) = Self::open();
        tokio::spawn(async move {
            while sender.send(Ok(Frame::data(Bytes::from_static(&[b'.'; 1_024])))).await.is_ok() {}
        });
        body
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = CutHere;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutHere>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Frames(frames) => frames.poll_recv(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.as_ref().is_none_or(Bytes::is_empty))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Frames(_) => SizeHint::default(),
        }
    }
}

impl fmt::Display for CutHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the script cuts the connection here")
    }
}

impl Error for CutHere {}
