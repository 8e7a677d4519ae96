//! An HTTP/2 connection to an upstream, shared by as many requests as the upstream takes at once.

use crate::proxy::{LocalExec, body::RequestBody};
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http2::{Connection, SendRequest},
    },
};
use hyper_util::rt::TokioIo;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::io::{AsyncRead, AsyncWrite};

/// See the [module](self).
pub(super) struct Http2 {
    sender: SendRequest<RequestBody>,
    /// How many requests the upstream takes at once, as it said last; none once the connection is over.
    most: Box<dyn Fn() -> usize>,
    taken: Cell<usize>,
    idle_since: Cell<Option<Instant>>,
}

/// One request's part of a connection.
pub(in crate::proxy) struct Stream {
    of: Rc<Http2>,
    sender: SendRequest<RequestBody>,
}

impl Http2 {
    /// Keeps a fresh connection going, in a task of its own.
    pub(super) fn start<S>(
        sender: SendRequest<RequestBody>,
        connection: Connection<TokioIo<S>, RequestBody, LocalExec>,
    ) -> Rc<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = Rc::new(RefCell::new(Box::pin(connection)));
        // Only the task keeps it: whoever asks after its end finds nothing.
        let asked = Rc::downgrade(&connection);
        tokio::task::spawn_local(async move {
            let _ = poll_fn(|cx| connection.borrow_mut().as_mut().poll(cx)).await; // its requests learn of the error
        });
        let most = move || {
            let connection = asked.upgrade();
            let most = connection
                .and_then(|connection| connection.try_borrow().ok().map(|it| it.current_max_send_streams()));
            most.unwrap_or(0)
        };
        Rc::new(Self { sender, most: Box::new(most), taken: Cell::new(0), idle_since: Cell::new(None) })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Room for one more request; a connection that takes none has gone, or asks for a moment without any.
    pub(super) fn has_room(&self) -> bool {
        !self.is_closed() && self.taken.get() < (self.most)()
    }

    pub(super) fn stream(self: &Rc<Self>) -> Stream {
        self.taken.set(self.taken.get() + 1);
        self.idle_since.set(None);
        Stream { of: Rc::clone(self), sender: self.sender.clone() }
    }

    /// Whether nothing has been going on for `limit`, as far as the calls of this function can tell.
    pub(super) fn is_idle_for(&self, limit: Duration, now: Instant) -> bool {
        if self.taken.get() > 0 {
            return false;
        }
        let since = self.idle_since.get().unwrap_or(now);
        self.idle_since.set(Some(since));
        now.duration_since(since) >= limit
    }
}

impl Stream {
    /// Sends the request; one that was never written comes back in the error.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        self.sender.try_send_request(request).await
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.of.taken.set(self.of.taken.get().saturating_sub(1));
    }
}
