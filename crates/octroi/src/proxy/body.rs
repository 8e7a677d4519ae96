//! Bodies on their way through: never collected, never held longer than one frame, cut visibly when cut.

use super::{
    errand::Relay,
    headers::passes_as_trailer,
    metered::MeteredBody,
    order::Payload,
    ticket::Ticket,
    upstream::{Pool, Sender},
};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use l402_paywall::Outcome;
use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};
use tokio::time::Sleep;

/// Why a body ends early. The receiver sees a cut connection, never a proper end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the sender broke off: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the exchange took longer than `timeouts.whole` allows")]
    TooLong,
    #[error("the token's units ran out")]
    Exhausted,
    #[error("the charge is not in the ledger")]
    Unbilled,
    #[error("the gateway lost the answer")]
    Lost,
}

/// How a client's body is getting on, for whoever waits for the response.
pub(super) struct Progress {
    last: Cell<Instant>,
    is_broken: Cell<bool>,
    /// Whether anything may have reached the upstream.
    is_sent: Cell<bool>,
    /// Bytes of data that were sent on.
    bytes: Cell<u64>,
}

impl Progress {
    pub(super) fn new(now: Instant) -> Self {
        let (is_broken, is_sent) = (Cell::new(false), Cell::new(false));
        Self { last: Cell::new(now), is_broken, is_sent, bytes: Cell::new(0) }
    }

    pub(super) fn note(&self, now: Instant) {
        self.last.set(now);
    }

    /// When the last sign of life came.
    pub(super) fn last(&self) -> Instant {
        self.last.get()
    }

    /// Whether anything may have reached the upstream.
    pub(super) fn is_sent(&self) -> bool {
        self.is_sent.get()
    }

    pub(super) fn set_sent(&self, is_sent: bool) {
        self.is_sent.set(is_sent);
    }

    /// Bytes of data that were sent on.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// So many bytes of data are sent on.
    pub(super) fn count(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_add(bytes as u64));
    }

    /// The client sent something that is no body, or stopped in the middle.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.get()
    }
}

/// A client's body on its way to the upstream.
pub(crate) struct RequestBody {
    source: Source,
    is_grpc: bool,
    progress: Rc<Progress>,
}

enum Source {
    Streaming(Incoming),
    /// Read already; `None`: nothing is left.
    Read(Option<Bytes>),
}

impl RequestBody {
    pub(super) fn new(payload: Payload, is_grpc: bool, progress: Rc<Progress>) -> Self {
        let source = match payload {
            Payload::Streaming(incoming) => Source::Streaming(incoming),
            Payload::Read(body) => Source::Read(Some(body).filter(|body| !body.is_empty())),
        };
        Self { source, is_grpc, progress }
    }

    /// The body of a request that had none and is sent again.
    pub(super) fn empty(progress: Rc<Progress>) -> Self {
        Self { source: Source::Read(None), is_grpc: false, progress }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match &mut self.source {
            Source::Streaming(incoming) => ready!(Pin::new(incoming).poll_frame(cx)),
            Source::Read(body) => body.take().map(|body| Ok(Frame::data(body))),
        };
        self.progress.note(now());
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                self.progress.count(frame.data_ref().map_or(0, Bytes::len));
                filter(frame, self.is_grpc).map(Ok)
            }
            Some(Err(error)) => {
                self.progress.is_broken.set(true);
                Some(Err(error.into()))
            }
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Streaming(incoming) => incoming.is_end_stream(),
            Source::Read(body) => body.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Streaming(incoming) => incoming.size_hint(),
            Source::Read(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
        }
    }
}

/// What a client gets.
pub(crate) enum ReplyBody {
    /// The gateway's own words.
    Own(Option<Bytes>),
    /// The upstream's.
    Upstream(Box<UpstreamBody>),
    /// The upstream's, paid for by the unit.
    Metered(Box<MeteredBody>),
    /// The same, read by a task that goes on without the client.
    Relayed(Relay),
}

/// An upstream's body on its way to the client, with everything that ends with it.
pub(crate) struct UpstreamBody {
    incoming: Incoming,
    is_grpc: bool,
    status: u16,
    ticket: Ticket,
    /// The connection, to be used again once the body is over.
    connection: Option<(Rc<Pool>, Sender)>,
    /// The end of the exchange; a timer is only set once the body makes us wait.
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    has_ended: bool,
    is_broken: bool,
}

impl UpstreamBody {
    pub(super) fn new(
        incoming: Incoming,
        is_grpc: bool,
        status: u16,
        ticket: Ticket,
        connection: (Rc<Pool>, Sender),
        deadline: Instant,
    ) -> Self {
        Self {
            incoming,
            is_grpc,
            status,
            ticket,
            connection: Some(connection),
            deadline,
            timer: None,
            has_ended: false,
            is_broken: false,
        }
    }

    pub(super) fn ticket_mut(&mut self) -> &mut Ticket {
        &mut self.ticket
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Whether everything has come.
    pub(super) fn is_at_end(&self) -> bool {
        self.has_ended || self.incoming.is_end_stream()
    }

    /// Whether the client has all of it by the length that it was told, although the upstream has not said that this was
    /// the end, as it may do by a frame of its own in HTTP/2. In gRPC what counts comes behind.
    pub(super) fn is_whole_by_length(&self) -> bool {
        !self.is_grpc && self.incoming.size_hint().exact() == Some(0)
    }

    /// What is left of it is not wanted, so the connection cannot be used again.
    pub(super) fn break_off(&mut self) {
        self.connection = None;
        self.is_broken = true;
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            let deadline = self.deadline;
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
            ready!(timer.as_mut().poll(cx));
            self.is_broken = true;
            return Poll::Ready(Some(Err(BodyError::TooLong)));
        };
        let passed = match frame {
            Some(Ok(frame)) => filter(frame, self.is_grpc).map(Ok),
            Some(Err(error)) => {
                self.is_broken = true;
                tracing::warn!(request = self.ticket.request_id(), %error, "the upstream cut its answer off");
                Some(Err(error.into()))
            }
            None => None,
        };
        self.has_ended |= passed.is_none();
        Poll::Ready(passed)
    }
}

impl Drop for UpstreamBody {
    /// The HTTP library drops a body as soon as it has sent it, often without asking for its end.
    fn drop(&mut self) {
        let is_complete = self.is_at_end() || self.is_whole_by_length();
        let status = self.status;
        self.ticket.finish(match (self.is_broken, is_complete) {
            (true, _) => Outcome::Cut { status },
            (false, true) => Outcome::Served { status },
            (false, false) => Outcome::ClientGone { status: Some(status) },
        });
        if let Some((pool, sender)) = self.connection.take().filter(|_| is_complete && !self.is_broken) {
            pool.put_back(sender, now());
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Upstream(body) => body.poll(cx),
            Self::Metered(body) => body.poll(cx),
            Self::Relayed(relay) => relay.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Upstream(body) => body.is_at_end(),
            Self::Metered(body) => body.is_end_stream(),
            Self::Relayed(relay) => relay.is_at_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Upstream(body) => body.size_hint(),
            Self::Metered(body) => body.size_hint(),
            // The head has the length, where there is one.
            Self::Relayed(_) => SizeHint::default(),
        }
    }
}

impl From<Bytes> for ReplyBody {
    fn from(bytes: Bytes) -> Self {
        Self::Own(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

/// Data passes; of trailers, what may. Trailers of which nothing is left are the end.
fn filter(frame: Frame<Bytes>, is_grpc: bool) -> Option<Frame<Bytes>> {
    let trailers = match frame.into_trailers() {
        Ok(trailers) => trailers,
        Err(frame) => return Some(frame),
    };
    let mut passed = HeaderMap::with_capacity(trailers.len());
    for (name, value) in &trailers {
        if passes_as_trailer(name, is_grpc) {
            passed.append(name, value.clone());
        }
    }
    (!passed.is_empty()).then(|| Frame::trailers(passed))
}

#[expect(clippy::disallowed_methods, reason = "the edge: how long a body takes")]
fn now() -> Instant {
    Instant::now()
}
