//! The store that the config names: balances on one side, settlements on the other, one database behind both.

use super::keys::{KeysError, make_folder};
use crate::{
    config::{Config, LedgerChoice, PostgresLedger},
    waiting::Waiting,
};
use l402_paywall::{SettlementStore, StoreError, ledger::Ledger};
use l402_store_postgres::PostgresStore;
use l402_store_sqlite::SqliteStore;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The file in the data folder.
const LEDGER_FILE: &str = "ledger.sqlite";

/// The one store of a gateway, by what it is used for.
#[derive(Clone)]
pub struct Stores {
    /// What was paid.
    pub settlements: Arc<dyn SettlementStore>,
    /// What was bought and spent.
    pub ledger: Arc<dyn Ledger>,
}

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data folder cannot be made.
    #[error(transparent)]
    Folder(#[from] KeysError),
    /// Nothing was ever written down.
    #[error("there is no ledger at {} yet", .0.display())]
    Missing(PathBuf),
}

impl LedgerError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Store(error) => error.hint().to_owned(),
            Self::Folder(error) => error.hint(),
            Self::Missing(_) => "the gateway makes it at its first start; check `data_dir`".to_owned(),
        }
    }
}

/// Opens the store of a gateway that starts; makes it where there is none. A file that is not the one served last is looked
/// through first, which may take minutes; the log tells that it goes on.
pub fn open_stores(config: &Config) -> Result<Stores, LedgerError> {
    let _waiting = Waiting::and_saying(|waited: Duration| {
        tracing::info!(
            seconds = waited.as_secs(),
            "still opening the ledger; a file that is not the one served last is looked through, some 15 s for a million \
             purchases"
        );
    });
    match &config.ledger {
        LedgerChoice::Sqlite => {
            // With the keys in a secret nothing has made it yet.
            make_folder(&config.data_dir)?;
            let store = SqliteStore::open(&ledger_file(&config.data_dir))?;
            if store.is_other_file() {
                tracing::warn!(
                    "the ledger is not the file that was served last; every unit in it is where it belongs, but what was \
                     spent and revoked since it was copied counts as unspent and good"
                );
            }
            Ok(both_sides(store))
        }
        LedgerChoice::Postgres(server) => Ok(both_sides(connect(server)?)),
    }
}

/// Opens the store beside a gateway that may be running; makes nothing.
pub fn open_stores_beside(config: &Config) -> Result<Stores, LedgerError> {
    match &config.ledger {
        LedgerChoice::Sqlite => {
            let path = ledger_file(&config.data_dir);
            if !path.exists() {
                return Err(LedgerError::Missing(path));
            }
            Ok(both_sides(SqliteStore::open_beside(&path)?))
        }
        LedgerChoice::Postgres(server) => Ok(both_sides(connect(server)?)),
    }
}

/// Waits for the server, 20 seconds at most.
fn connect(server: &PostgresLedger) -> Result<PostgresStore, StoreError> {
    PostgresStore::open(&server.url, &server.schema)
}

/// Where the ledger of a gateway that runs alone is.
pub fn ledger_file(data_dir: &Path) -> PathBuf {
    data_dir.join(LEDGER_FILE)
}

/// One store by both of its names.
fn both_sides<S: SettlementStore + Ledger + 'static>(store: S) -> Stores {
    let store = Arc::new(store);
    Stores { settlements: Arc::clone(&store) as Arc<dyn SettlementStore>, ledger: store }
}
