//! Where the money comes in: the node behind its guard, the follower of its settlements, the store that remembers
//! them, and the ledger of what was bought and spent.

use super::{
    RunningNode,
    ledger::{LedgerError, Stores, open_stores},
};
use crate::{
    config::{Config, LedgerChoice, Lightning, Node},
    edge::OsEntropy,
    ledger::Keeper,
    lightning::{Follower, NodeGuard},
    telemetry::Telemetry,
};
use l402_lightning::{Invoicer, Proof};
use l402_paywall::{SettlementCheck, SettlementStore, StoreError, metering::Metering};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// The node in use and what is known of its settlements. One for the life of the gateway; reloads keep it.
pub struct Till {
    node: RunningNode,
    guard: Arc<NodeGuard>,
    stores: Stores,
    metering: Arc<Metering>,
    books: Option<Books>,
    tasks: Vec<JoinHandle<()>>,
}

/// What is known of settlements.
struct Books {
    check: Arc<SettlementCheck>,
    /// Absent where the node has no feed.
    follower: Option<Arc<Follower>>,
}

/// Who is paid: what a gate has to know of the node.
pub struct Payee {
    /// Makes invoices.
    pub invoicer: Arc<dyn Invoicer>,
    /// Asked whether payments are settled; `None`: the preimage is proof enough.
    pub settlement: Option<Arc<SettlementCheck>>,
    /// What selling by the unit needs, and the revoked tokens.
    pub metering: Arc<Metering>,
}

/// Why nothing can be written down.
#[derive(Debug, thiserror::Error)]
pub enum TillError {
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger is open, and does not say what is in it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TillError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Ledger(error) => error.hint(),
            Self::Store(error) => error.hint().to_owned(),
        }
    }
}

/// Why there is no check of settlements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`lightning.settlement: settled` begins with a restart of the gateway")]
pub struct NeedsRestart;

impl Till {
    /// Opens the store, and begins to watch the node, which need not be up.
    pub async fn open(
        config: &Config,
        node: RunningNode,
        telemetry: &Arc<Telemetry>,
    ) -> Result<Self, TillError> {
        let lightning = &config.lightning;
        let guard = Arc::new(NodeGuard::new(
            lightning.node.name(),
            Arc::clone(&node.invoicer),
            lightning.network,
            lightning.timeout,
            Arc::clone(telemetry),
        ));
        let stores = open_stores(config)?;
        let metering = Arc::new(Metering::new(Some(Arc::clone(&stores.ledger)), &OsEntropy));
        let books = match lightning.node {
            // A node in memory has no settlements to go on with.
            Node::Loopback { .. } if lightning.proof == Proof::Preimage => None,
            _ => Some(Books::open(config, &stores.settlements, &guard, telemetry).await?),
        };
        let mut tasks = vec![tokio::spawn(Arc::clone(&guard).keep_asking())];
        if let Some(follower) = books.as_ref().and_then(|books| books.follower.clone()) {
            tasks.push(tokio::spawn(follower.follow()));
        }
        Ok(Self { node, guard, stores, metering, books, tasks })
    }

    /// Ends what an earlier process left open in the ledger, learns which tokens are revoked, and looks after both from
    /// now on. Before this nothing may be served.
    pub async fn begin(&mut self, config: &Config, telemetry: &Arc<Telemetry>) -> Result<(), TillError> {
        let rule = config.routes.abandoned();
        let Some(keeper) = Keeper::new(&self.metering, rule, telemetry) else { return Ok(()) };
        let is_exclusive = matches!(config.ledger, LedgerChoice::Sqlite);
        let ended = keeper.begin(is_exclusive).await?;
        if ended > 0 {
            tracing::warn!(
                reservations = ended,
                ?rule,
                "requests that were being served when the gateway ended had units set aside; these were dealt with by the rule"
            );
        }
        self.tasks.push(tokio::spawn(keeper.keep()));
        Ok(())
    }

    /// Who is paid under this config.
    pub fn payee(&self, lightning: &Lightning) -> Result<Payee, NeedsRestart> {
        let settlement = match (lightning.proof, &self.books) {
            (Proof::Preimage, _) => None,
            (Proof::Settled, Some(books)) => Some(Arc::clone(&books.check)),
            (Proof::Settled, None) => return Err(NeedsRestart),
        };
        self.guard.set_limit(lightning.timeout);
        let invoicer = Arc::clone(&self.guard) as Arc<dyn Invoicer>;
        Ok(Payee { invoicer, settlement, metering: Arc::clone(&self.metering) })
    }

    /// What selling by the unit needs, and the revoked tokens.
    pub fn metering(&self) -> &Arc<Metering> {
        &self.metering
    }

    /// The node itself.
    pub fn node(&self) -> &RunningNode {
        &self.node
    }

    /// What tells of node, feed and store at any time.
    pub fn reporter(&self) -> impl Fn() -> TillReport + Send + Sync + 'static {
        let guard = Arc::clone(&self.guard);
        let Stores { settlements, ledger } = self.stores.clone();
        let follower = self.books.as_ref().and_then(|books| books.follower.clone());
        move || {
            let mut parts = json!({ "node": guard.report() });
            let fault = settlements.fault().or_else(|| ledger.fault());
            parts["ledger"] = match &fault {
                None => json!({ "state": "open" }),
                Some(fault) => {
                    json!({ "state": "broken", "error": fault.to_string(), "hint": fault.hint() })
                }
            };
            if let Some(follower) = &follower {
                parts["settlements"] = follower.report();
            }
            TillReport { parts, works: fault.is_none() }
        }
    }

    /// Brings the gauges up to date.
    pub fn upkeep(&self) -> impl Fn() + Send + Sync + 'static {
        let follower = self.books.as_ref().and_then(|books| books.follower.clone());
        move || {
            if let Some(follower) = &follower {
                follower.tell_meters();
            }
        }
    }

    /// Stops watching, and closes the loopback node's wallet door. The ledger is closed once nobody holds it any more.
    pub async fn close(self) {
        for task in self.tasks {
            task.abort();
            let _ = task.await; // ended by the line above; a panic there has been logged
        }
        self.node.stop().await;
    }
}

/// How node, feed and store are.
pub struct TillReport {
    /// For `/readyz`, by part.
    pub parts: Value,
    /// Whether what has to be written down can be.
    pub works: bool,
}

impl Books {
    async fn open(
        config: &Config,
        store: &Arc<dyn SettlementStore>,
        guard: &Arc<NodeGuard>,
        telemetry: &Arc<Telemetry>,
    ) -> Result<Self, StoreError> {
        telemetry.meters.set_settled(store.totals().await?);
        let check = Arc::new(SettlementCheck::new(Arc::clone(store), Arc::clone(guard) as Arc<dyn Invoicer>));
        let follower = Follower::new(
            Arc::clone(guard),
            feed_name(&config.lightning),
            Arc::clone(store),
            Arc::clone(&check),
            Arc::clone(telemetry),
        )
        .await?;
        Ok(Self { check, follower: follower.map(Arc::new) })
    }
}

/// The same for the same node, and no secret: an address may be one.
fn feed_name(lightning: &Lightning) -> String {
    let mut place = Sha256::new();
    if let Node::Remote(remote) = &lightning.node {
        place.update(remote.settings.text("address").unwrap_or_default());
        if let Ok(Some(uri)) = remote.settings.secret("uri") {
            place.update(uri.expose());
        }
    }
    let place = place.finalize();
    format!("{} {}", lightning.node.name(), hex::encode(place.get(..8).unwrap_or_default()))
}
