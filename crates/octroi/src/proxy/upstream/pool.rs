//! Connections of one worker to one upstream, kept while they are good. HTTP/1.1 connections serve one request at a
//! time and wait here in between; HTTP/2 connections are shared, and a further one is made where all are full.

use super::{
    ConnectError, Upstream,
    connect::{self, Connected},
    http2::{Http2, Stream},
};
use crate::proxy::body::RequestBody;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use std::{
    cell::RefCell,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

/// Idle connections kept per worker; more come from a burst and may go.
const IDLE_MAX: usize = 256;
/// Shorter than the keep-alive of common servers (60 s and more), so that we hang up first.
const IDLE_LIMIT: Duration = Duration::from_secs(50);
/// A connection that lay idle this long may be closed by the upstream at any moment.
const STALE_AFTER: Duration = Duration::from_millis(500);
/// A connection whose last exchange is over on both sides is ready within one turn of the runtime.
const NOTICE_LIMIT: Duration = Duration::from_millis(10);

/// The sending half of an upstream connection.
pub(in crate::proxy) enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(Stream),
}

/// A connection taken from the pool or made for this request.
pub(in crate::proxy) struct Checkout {
    pub(in crate::proxy) sender: Sender,
    /// Whether it served requests before.
    pub(in crate::proxy) is_reused: bool,
    /// Whether it lay idle long enough to be half closed.
    pub(in crate::proxy) is_stale: bool,
}

/// See the [module](self).
pub(in crate::proxy) struct Pool {
    upstream: Arc<Upstream>,
    idle: RefCell<Vec<Idle>>,
    shared: RefCell<Vec<Rc<Http2>>>,
}

struct Idle {
    sender: http1::SendRequest<RequestBody>,
    since: Instant,
}

impl Pool {
    pub(in crate::proxy) fn new(upstream: Arc<Upstream>) -> Rc<Self> {
        Rc::new(Self { upstream, idle: RefCell::default(), shared: RefCell::default() })
    }

    /// A connection that can take a request now; `now` decides what is idle too long.
    pub(in crate::proxy) async fn checkout(
        &self,
        now: Instant,
        limit: Duration,
    ) -> Result<Checkout, ConnectError> {
        if let Some(stream) = self.shared_stream() {
            return Ok(Checkout { sender: Sender::Http2(stream), is_reused: true, is_stale: false });
        }
        while let Some(mut idle) = self.take_idle(now) {
            // Its last response has been read to the end; the connection's task may still have to notice. Where it was
            // an early answer, the client is still sending: nobody waits for that.
            if matches!(tokio::time::timeout(NOTICE_LIMIT, idle.sender.ready()).await, Ok(Ok(()))) {
                let is_stale = now.duration_since(idle.since) > STALE_AFTER;
                return Ok(Checkout { sender: Sender::Http1(idle.sender), is_reused: true, is_stale });
            }
        }
        let sender = match connect::connect(&self.upstream, limit).await? {
            Connected::Http1(sender) => Sender::Http1(sender),
            Connected::Http2(connection) => {
                let stream = connection.stream();
                self.shared.borrow_mut().push(connection);
                Sender::Http2(stream)
            }
        };
        Ok(Checkout { sender, is_reused: false, is_stale: false })
    }

    /// A part of the first connection that has room: the others may fall idle and go.
    fn shared_stream(&self) -> Option<Stream> {
        let mut shared = self.shared.borrow_mut();
        shared.retain(|connection| !connection.is_closed());
        shared.iter().find(|connection| connection.has_room()).map(Http2::stream)
    }

    /// The connection used last is the one most likely to be alive, and its memory the warmest.
    fn take_idle(&self, now: Instant) -> Option<Idle> {
        let mut waiting = self.idle.borrow_mut();
        while let Some(idle) = waiting.pop() {
            if now.duration_since(idle.since) < IDLE_LIMIT && !idle.sender.is_closed() {
                return Some(idle);
            }
        }
        None
    }

    /// Takes a connection back whose response was read to the end.
    pub(in crate::proxy) fn put_back(&self, sender: Sender, now: Instant) {
        let Sender::Http1(sender) = sender else { return };
        let mut idle = self.idle.borrow_mut();
        if !sender.is_closed() && idle.len() < IDLE_MAX {
            idle.push(Idle { sender, since: now });
        }
    }

    /// Lets go of connections that are closed or were idle too long.
    pub(in crate::proxy) fn sweep(&self, now: Instant) {
        self.idle
            .borrow_mut()
            .retain(|idle| now.duration_since(idle.since) < IDLE_LIMIT && !idle.sender.is_closed());
        self.shared
            .borrow_mut()
            .retain(|connection| !connection.is_closed() && !connection.is_idle_for(IDLE_LIMIT, now));
    }
}

impl Sender {
    pub(in crate::proxy) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Sends a request; one that was never written comes back in the error.
    pub(in crate::proxy) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(stream) => stream.send(request).await,
        }
    }
}
