//! What the requests of one core share, and what all cores share.

use super::{
    snapshot::Snapshot,
    upstream::{Pool, Upstream, identity},
};
use crate::{edge::Clock, listener::Pulse, telemetry::Telemetry};
use arc_swap::ArcSwap;
use http::HeaderValue;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::Future,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Instant,
};

/// Requests of one core that are served on without their clients, at most: they are no longer counted with the connections.
const ORPHANS_MAX: usize = 256;

/// What all cores share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The configuration in force.
    pub(crate) snapshot: ArcSwap<Snapshot>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) clock: Clock,
    pub(crate) workers: u64,
}

/// What the requests of one core share.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pools: RefCell<HashMap<usize, Rc<Pool>>>,
    next_request: Cell<u64>,
    orphans: Cell<usize>,
}

/// One of the requests that are served on without their clients.
pub(super) struct Orphan(Rc<Worker>);

impl Drop for Orphan {
    fn drop(&mut self) {
        self.0.orphans.set(self.0.orphans.get().saturating_sub(1));
    }
}

/// A client connection.
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    /// The name the TLS connection was opened for.
    pub(crate) server_name: Option<String>,
    pub(crate) is_tls: bool,
    /// Index of the listener.
    pub(crate) listener: usize,
    /// The peer's address as a header value, made once.
    pub(crate) peer_value: HeaderValue,
    /// Whether it waits for its client, and since when.
    pub(crate) pulse: Arc<Pulse>,
    /// When each of its requests in progress has to be over.
    pub(crate) deadlines: RefCell<Vec<Instant>>,
}

impl Connection {
    /// Whether a request should have been over by `then`. A body that is not asked for cannot end itself, so this is how
    /// clients are found that do not read.
    pub(crate) fn is_overdue(&self, then: Instant) -> bool {
        self.deadlines.borrow().iter().any(|deadline| *deadline <= then)
    }
}

/// A request of a connection, from its head to the end of its answer.
pub(crate) struct InFlight {
    connection: Rc<Connection>,
    deadline: Option<Instant>,
}

impl InFlight {
    pub(crate) fn begin(connection: &Rc<Connection>) -> Self {
        connection.pulse.begin_request();
        Self { connection: Rc::clone(connection), deadline: None }
    }

    pub(super) fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// Sets the end that it has to come to, once.
    pub(super) fn end_by(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
        self.connection.deadlines.borrow_mut().push(deadline);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(deadline) = self.deadline {
            let mut deadlines = self.connection.deadlines.borrow_mut();
            if let Some(at) = deadlines.iter().position(|found| *found == deadline) {
                deadlines.swap_remove(at);
            }
        }
        self.connection.pulse.end_request();
    }
}

/// Runs tasks on the worker's own thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExec;

impl<F> hyper::rt::Executor<F> for LocalExec
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

impl Worker {
    /// Worker number `index`; request numbers of different workers never meet.
    pub(crate) fn new(shared: Arc<Shared>, index: u64) -> Rc<Self> {
        Rc::new(Self {
            shared,
            pools: RefCell::default(),
            next_request: Cell::new(index),
            orphans: Cell::new(0),
        })
    }

    pub(super) fn next_request_id(&self) -> u64 {
        self.next_request.replace(self.next_request.get().wrapping_add(self.shared.workers))
    }

    /// A place for a request whose client has left; `None` where there are too many of them.
    pub(super) fn adopt(self: &Rc<Self>) -> Option<Orphan> {
        let others = self.orphans.get();
        (others < ORPHANS_MAX).then(|| {
            self.orphans.set(others + 1);
            Orphan(Rc::clone(self))
        })
    }

    pub(super) fn pool(&self, upstream: &Arc<Upstream>) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        Rc::clone(pools.entry(identity(upstream)).or_insert_with(|| Pool::new(Arc::clone(upstream))))
    }

    /// Drops idle upstream connections, and pools of upstreams that a reload took away.
    pub(crate) fn sweep(&self, now: Instant) {
        let snapshot = self.shared.snapshot.load();
        let mut pools = self.pools.borrow_mut();
        pools.retain(|key, _| snapshot.upstreams.iter().any(|upstream| identity(upstream) == *key));
        for pool in pools.values() {
            pool.sweep(now);
        }
    }
}
