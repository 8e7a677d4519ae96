//! Where the money comes in: the node behind its guard, the follower of its settlements, and the store that remembers
//! them.

use super::{
    RunningNode,
    keys::{KeysError, make_folder},
};
use crate::{
    config::{Config, Lightning, Node},
    lightning::{Follower, NodeGuard},
    telemetry::Telemetry,
};
use l402_lightning::{Invoicer, Proof};
use l402_paywall::{SettlementCheck, SettlementStore, StoreError};
use l402_store_sqlite::SqliteStore;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::{path::Path, sync::Arc};
use tokio::task::JoinHandle;

/// The file in the data folder.
const LEDGER_FILE: &str = "ledger.sqlite";

/// The node in use and what is known of its settlements. One for the life of the gateway; reloads keep it.
pub struct Till {
    node: RunningNode,
    guard: Arc<NodeGuard>,
    books: Option<Books>,
    tasks: Vec<JoinHandle<()>>,
}

/// What is written down.
struct Books {
    store: Arc<dyn SettlementStore>,
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
}

/// Why nothing can be written down.
#[derive(Debug, thiserror::Error)]
pub enum TillError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data folder cannot be made.
    #[error(transparent)]
    Folder(#[from] KeysError),
}

impl TillError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Store(error) => error.hint().to_owned(),
            Self::Folder(error) => error.hint(),
        }
    }
}

/// Why there is no check of settlements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`lightning.settlement: settled` begins with a restart of the gateway")]
pub struct NeedsRestart;

impl Till {
    /// Opens the store where one is needed, and begins to watch the node, which need not be up.
    pub fn open(config: &Config, node: RunningNode, telemetry: &Arc<Telemetry>) -> Result<Self, TillError> {
        let lightning = &config.lightning;
        let guard = Arc::new(NodeGuard::new(
            lightning.node.name(),
            Arc::clone(&node.invoicer),
            lightning.network,
            lightning.timeout,
            Arc::clone(telemetry),
        ));
        let books = match lightning.node {
            // A node in memory has no settlements to go on with.
            Node::Loopback { .. } if lightning.proof == Proof::Preimage => None,
            _ => Some(Books::open(config, &guard, telemetry)?),
        };
        let mut tasks = vec![tokio::spawn(Arc::clone(&guard).keep_asking())];
        if let Some(follower) = books.as_ref().and_then(|books| books.follower.clone()) {
            tasks.push(tokio::spawn(follower.follow()));
        }
        Ok(Self { node, guard, books, tasks })
    }

    /// Who is paid under this config.
    pub fn payee(&self, lightning: &Lightning) -> Result<Payee, NeedsRestart> {
        let settlement = match (lightning.proof, &self.books) {
            (Proof::Preimage, _) => None,
            (Proof::Settled, Some(books)) => Some(Arc::clone(&books.check)),
            (Proof::Settled, None) => return Err(NeedsRestart),
        };
        self.guard.set_limit(lightning.timeout);
        Ok(Payee { invoicer: Arc::clone(&self.guard) as Arc<dyn Invoicer>, settlement })
    }

    /// The node itself.
    pub fn node(&self) -> &RunningNode {
        &self.node
    }

    /// What tells of node, feed and store at any time.
    pub fn reporter(&self) -> impl Fn() -> TillReport + Send + Sync + 'static {
        let guard = Arc::clone(&self.guard);
        let books = self.books.as_ref().map(|books| (Arc::clone(&books.store), books.follower.clone()));
        move || {
            let mut parts = json!({ "node": guard.report() });
            let mut fault = None;
            if let Some((store, follower)) = &books {
                fault = store.fault();
                parts["ledger"] = match &fault {
                    None => json!({ "state": "open" }),
                    Some(fault) => {
                        json!({ "state": "broken", "error": fault.to_string(), "hint": fault.hint() })
                    }
                };
                if let Some(follower) = follower {
                    parts["settlements"] = follower.report();
                }
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

    /// Stops watching, and closes the loopback node's wallet door.
    pub async fn close(self) {
        for task in self.tasks {
            task.abort();
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
    fn open(config: &Config, guard: &Arc<NodeGuard>, telemetry: &Arc<Telemetry>) -> Result<Self, TillError> {
        // With the keys in a secret nothing has made it yet.
        make_folder(&config.data_dir)?;
        let store: Arc<dyn SettlementStore> = Arc::new(open_store(&config.data_dir)?);
        telemetry.meters.set_settled(store.totals()?);
        let check =
            Arc::new(SettlementCheck::new(Arc::clone(&store), Arc::clone(guard) as Arc<dyn Invoicer>));
        let follower = Follower::new(
            Arc::clone(guard),
            feed_name(&config.lightning),
            Arc::clone(&store),
            Arc::clone(&check),
            Arc::clone(telemetry),
        )?;
        Ok(Self { store, check, follower: follower.map(Arc::new) })
    }
}

fn open_store(data_dir: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(&data_dir.join(LEDGER_FILE))
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
