//! The node behind a breaker and a deadline: it is asked while it answers, left alone while it does not, and tried again
//! by itself, never at the cost of a customer's request.

use super::{
    circuit::{Circuit, Failure, Probe},
    health::{NodeHealth, NodeState, outcome},
};
use crate::{
    edge::{OsEntropy, unix_secs},
    telemetry::Telemetry,
};
use l402::PaymentHash;
use l402_lightning::{
    BoxFuture, Invoice, InvoiceRequest, InvoiceState, Invoicer, InvoicerCapabilities, InvoicerError,
    Mismatch, Network, NodeStatus, Settlement,
};
use l402_paywall::Entropy as _;
use serde_json::Value;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

/// A probe answers sooner or is taken for a failure, so that a node that is back is found within five seconds.
const PROBE_LIMIT: Duration = Duration::from_secs(2);
/// A node that nobody needs is still asked how it is this often.
const QUIET_PROBE: Duration = Duration::from_secs(30);

/// A node behind a breaker and a deadline.
pub struct NodeGuard {
    node: Arc<dyn Invoicer>,
    network: Network,
    limit_ms: AtomicU64,
    circuit: Mutex<Circuit>,
    health: Mutex<NodeHealth>,
    /// Rung when the node should be asked how it is.
    suspected: Notify,
    /// Whether the node does what it is asked for, for those who wait for it to come back.
    is_up: watch::Sender<bool>,
    started: Instant,
    telemetry: Arc<Telemetry>,
}

impl NodeGuard {
    /// Guards a node of this kind, whose invoices have to be for `network`.
    pub fn new(
        backend: &'static str,
        node: Arc<dyn Invoicer>,
        network: Network,
        limit: Duration,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let guard = Self {
            node,
            network,
            limit_ms: AtomicU64::new(0),
            circuit: Mutex::default(),
            health: Mutex::new(NodeHealth::new(backend, unix_secs())),
            suspected: Notify::new(),
            is_up: watch::Sender::new(false),
            started: Instant::now(),
            telemetry,
        };
        guard.set_limit(limit);
        guard
    }

    /// Gives each call from now on at most `limit`.
    pub fn set_limit(&self, limit: Duration) {
        self.limit_ms.store(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Told whenever the node goes down or comes back.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.is_up.subscribe()
    }

    /// Somebody has met with trouble that may be the node's: it is asked at once.
    pub fn suspect(&self) {
        self.suspected.notify_one();
    }

    /// How the node is, as `/readyz` tells it.
    pub fn report(&self) -> Value {
        let phase = lock(&self.circuit).phase();
        lock(&self.health).to_json(phase)
    }

    /// Asks the node at the start, when the breaker says so and now and then while nothing else does. Never ends.
    pub async fn keep_asking(self: Arc<Self>) {
        self.ask().await;
        loop {
            let next = lock(&self.circuit).probe(self.now());
            match next {
                Probe::NotNeeded => {
                    // Nobody rang for long: asked all the same.
                    let _ = tokio::time::timeout(QUIET_PROBE, self.suspected.notified()).await;
                    if lock(&self.circuit).probe(self.now()) == Probe::NotNeeded {
                        self.ask().await;
                    }
                }
                Probe::In(pause) => tokio::time::sleep(pause).await,
                Probe::Now => self.ask().await,
            }
        }
    }

    async fn ask(&self) {
        let limit = self.limit().min(PROBE_LIMIT);
        let status =
            tokio::time::timeout(limit, self.node.probe()).await.unwrap_or(Err(InvoicerError::Timeout));
        let status = status.and_then(|status| self.judge(status));
        let error = status.as_ref().err();
        match error {
            Some(error) if error.is_outage() => {
                let mut circuit = lock(&self.circuit);
                circuit.probe_failed(self.now(), chance());
                circuit.failed(failure_of(error), self.now(), chance());
            }
            _ => lock(&self.circuit).probe_succeeded(),
        }
        if let Ok(status) = &status {
            lock(&self.health).learn(status, unix_secs());
        }
        self.take_note("probe", error);
    }

    /// A node on another network answers, and is none of ours.
    fn judge(&self, status: NodeStatus) -> Result<NodeStatus, InvoicerError> {
        let expected = self.network;
        match status.network {
            Some(found) if found != expected => {
                Err(InvoicerError::Lied(Mismatch::Network { expected, found }))
            }
            _ => Ok(status),
        }
    }

    /// One call of a customer's.
    async fn guarded<'a, T>(
        &'a self,
        name: &'static str,
        call: impl FnOnce(&'a dyn Invoicer) -> BoxFuture<'a, Result<T, InvoicerError>>,
    ) -> Result<T, InvoicerError> {
        if let Err(wait) = lock(&self.circuit).admit(self.now()) {
            let resting = InvoicerError::Resting { retry_secs: wait.as_secs() + 1 };
            self.telemetry.meters.count_node_call(name, outcome(Some(&resting)));
            return Err(resting);
        }
        let result = self.bounded(call(&*self.node)).await;
        let error = result.as_ref().err();
        match error {
            Some(error) if error.is_outage() => {
                let mut circuit = lock(&self.circuit);
                circuit.failed(failure_of(error), self.now(), chance());
                if circuit.phase() != "closed" {
                    self.suspect();
                }
            }
            _ => lock(&self.circuit).succeeded(),
        }
        self.take_note(name, error);
        result
    }

    async fn bounded<T>(&self, call: BoxFuture<'_, Result<T, InvoicerError>>) -> Result<T, InvoicerError> {
        tokio::time::timeout(self.limit(), call).await.unwrap_or(Err(InvoicerError::Timeout))
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(self.limit_ms.load(Ordering::Relaxed))
    }

    fn take_note(&self, call: &'static str, error: Option<&InvoicerError>) {
        let meters = &self.telemetry.meters;
        meters.count_node_call(call, outcome(error));
        let (changed, state, backend) = {
            let mut health = lock(&self.health);
            (health.tell(error, unix_secs()), health.state, health.backend)
        };
        meters.set_node(state == NodeState::Up, lock(&self.circuit).phase());
        let is_up = state == NodeState::Up;
        self.is_up.send_if_modified(|known| std::mem::replace(known, is_up) != is_up);
        match error {
            _ if !changed => {}
            None => tracing::info!(backend, "the Lightning node answers"),
            Some(error) => tracing::warn!(
                backend,
                hint = error.hint(),
                "{error}; no challenges can be made, paid tokens are served"
            ),
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

fn failure_of(error: &InvoicerError) -> Failure {
    match error {
        InvoicerError::Unreachable => Failure::Unreachable,
        _ => Failure::Outage,
    }
}

/// A random byte, to keep gateways from acting in step.
pub(super) fn chance() -> u8 {
    let mut byte = [0];
    OsEntropy.fill(&mut byte);
    byte[0]
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No holder panics between two changes that belong together.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Invoicer for NodeGuard {
    fn capabilities(&self) -> InvoicerCapabilities {
        self.node.capabilities()
    }

    fn create(&self, request: InvoiceRequest) -> BoxFuture<'_, Result<Invoice, InvoicerError>> {
        Box::pin(self.guarded("create", |node| node.create(request)))
    }

    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<InvoiceState, InvoicerError>> {
        Box::pin(self.guarded("lookup", move |node| node.lookup(payment_hash)))
    }

    fn open_invoice(
        &self,
        payment_hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<Invoice>, InvoicerError>> {
        Box::pin(self.guarded("open_invoice", move |node| node.open_invoice(payment_hash)))
    }

    fn cancel(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<(), InvoicerError>> {
        Box::pin(self.guarded("cancel", move |node| node.cancel(payment_hash)))
    }

    fn probe(&self) -> BoxFuture<'_, Result<NodeStatus, InvoicerError>> {
        Box::pin(self.bounded(self.node.probe()))
    }

    /// A feed waits as long as nothing settles: it has neither a deadline nor a breaker, and its follower paces itself.
    fn settlements(&self, cursor: u64) -> BoxFuture<'_, Result<Vec<Settlement>, InvoicerError>> {
        self.node.settlements(cursor)
    }
}
