//! Follows the node's settlements from where it left off: each is written down before anything relies on it, and counted
//! once.

use super::{
    circuit::jittered,
    guard::{NodeGuard, chance},
    health::outcome,
};
use crate::{edge::unix_secs, telemetry::Telemetry};
use l402_lightning::{Invoicer as _, InvoicerError, MilliSat, Settlement, SettlementFeed};
use l402_paywall::{FeedPosition, SettlementCheck, SettlementStore, StoreError};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A poll that was not refused for so long, by a node that is up, is taken to be connected.
const CONNECTED_AFTER: Duration = Duration::from_secs(1);

/// Follows one node's settlements.
pub struct Follower {
    node: Arc<NodeGuard>,
    /// The name of this node's feed in the store.
    feed: String,
    store: Arc<dyn SettlementStore>,
    check: Arc<SettlementCheck>,
    telemetry: Arc<Telemetry>,
    status: Mutex<FeedStatus>,
    cursor: AtomicU64,
}

/// How the feed is.
#[derive(Clone, Copy, Debug)]
struct FeedStatus {
    /// Whether it is being followed at this moment.
    connected: bool,
    /// Since when, in Unix seconds.
    since: u64,
}

/// Why following stopped for a moment.
#[derive(Debug, thiserror::Error)]
enum Setback {
    #[error("{0}")]
    Node(#[from] InvoicerError),
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl Follower {
    /// A follower of this node's feed; `None` where the node has no feed and is asked invoice by invoice instead.
    pub async fn new(
        node: Arc<NodeGuard>,
        feed: String,
        store: Arc<dyn SettlementStore>,
        check: Arc<SettlementCheck>,
        telemetry: Arc<Telemetry>,
    ) -> Result<Option<Self>, StoreError> {
        let cursor = match node.capabilities().settlement_feed {
            SettlementFeed::Resumable => store.cursor(&feed).await?,
            // The node begins anew with each of its starts, and so may we: what is known counts once.
            SettlementFeed::Live => 0,
            _ => return Ok(None),
        };
        let status = Mutex::new(FeedStatus { connected: false, since: unix_secs() });
        Ok(Some(Self { node, feed, store, check, telemetry, status, cursor: AtomicU64::new(cursor) }))
    }

    /// As `/readyz` tells it.
    pub fn report(&self) -> Value {
        let status = *lock(&self.status);
        json!({
            "connected": status.connected,
            "lag_seconds": status.lag_secs(),
            "cursor": self.cursor.load(Ordering::Relaxed),
        })
    }

    /// The gauges of connection and lag.
    pub fn tell_meters(&self) {
        let status = *lock(&self.status);
        self.telemetry.meters.set_feed(status.connected, status.lag_secs());
    }

    /// Follows the feed. Never ends.
    pub async fn follow(self: Arc<Self>) {
        let mut rounds = 0;
        loop {
            match self.step().await {
                Ok(is_news) => {
                    if rounds > 0 {
                        tracing::info!(feed = %self.feed, "settlements are followed again");
                    }
                    rounds = 0;
                    if !is_news {
                        // An adapter that answers at once with nothing new is not asked in a circle.
                        tokio::time::sleep(jittered(0, chance())).await;
                    }
                }
                Err(setback) => {
                    self.set_connected(false);
                    self.node.suspect();
                    if rounds == 0 {
                        tracing::warn!(feed = %self.feed, "settlements are not followed for the moment: {setback}");
                    }
                    tokio::time::sleep(jittered(rounds, chance())).await;
                    rounds = rounds.saturating_add(1);
                }
            }
        }
    }

    /// The next settlements, written down. `false`: there was nothing new among them.
    async fn step(&self) -> Result<bool, Setback> {
        let cursor = self.cursor.load(Ordering::Relaxed);
        let batch = self.poll(cursor).await;
        self.telemetry.meters.count_node_call("settlements", outcome(batch.as_ref().err()));
        let batch = batch?;
        let Some(newest) = batch.iter().map(|settlement| settlement.index).max() else { return Ok(false) };
        self.set_connected(true);
        let position = FeedPosition { feed: &self.feed, cursor: newest.max(cursor) };
        self.store.record(&batch, Some(position)).await?;
        for settlement in &batch {
            self.check.has_settled(settlement.payment_hash);
            tell_excess(settlement);
        }
        self.cursor.store(position.cursor, Ordering::Relaxed);
        self.telemetry.meters.set_settled(self.store.totals().await?);
        Ok(newest > cursor)
    }

    /// Waits for settlements, and begins anew when the node comes back: a connection from before may be half dead.
    async fn poll(&self, cursor: u64) -> Result<Vec<Settlement>, InvoicerError> {
        let mut up = self.node.watch();
        let mut is_up = *up.borrow_and_update();
        let mut poll = self.node.settlements(cursor);
        loop {
            let connects = tokio::time::sleep(CONNECTED_AFTER);
            tokio::select! {
                answer = &mut poll => return answer,
                () = connects, if is_up && !lock(&self.status).connected => self.set_connected(true),
                changed = up.changed() => {
                    // The guard is held here, so the sender is never gone.
                    let was_up = std::mem::replace(&mut is_up, changed.is_ok() && *up.borrow_and_update());
                    if is_up && !was_up {
                        return Ok(Vec::new());
                    }
                    self.set_connected(is_up && was_up);
                }
            }
        }
    }

    fn set_connected(&self, connected: bool) {
        let mut status = lock(&self.status);
        if status.connected != connected {
            *status = FeedStatus { connected, since: unix_secs() };
        }
    }
}

impl FeedStatus {
    /// Seconds for which settlements may have gone unnoticed.
    fn lag_secs(self) -> u64 {
        if self.connected { 0 } else { unix_secs().saturating_sub(self.since) }
    }
}

/// Nothing is sold for it, and a buyer may ask for it back: the operator finds the payment by its hash.
fn tell_excess(settlement: &Settlement) {
    let excess = settlement.excess();
    if excess > MilliSat::ZERO {
        tracing::info!(
            payment_hash = %settlement.payment_hash,
            received_msat = settlement.amount.as_msat(),
            excess_msat = excess.as_msat(),
            "an invoice was overpaid"
        );
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No holder panics.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
