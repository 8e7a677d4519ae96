//! What a gateway has to remember about settlements.

use l402::PaymentHash;
use l402_lightning::{BoxFuture, MilliSat, Settlement};
use std::{fmt, path::PathBuf};

/// Where settlements are written down. A yes of this store opens the gate, so it holds only what a node said is settled.
pub trait SettlementStore: Send + Sync {
    /// Writes settlements down, and with `feed` how far that feed was followed: one durable step, which can be repeated.
    /// A settlement that is known already counts once, and so does its excess, though that may be told later than the
    /// settlement itself; a cursor never goes back. When the future is ready, the step survives a crash of the machine;
    /// when it fails, nothing of it counts.
    fn record<'a>(
        &'a self,
        settlements: &'a [Settlement],
        feed: Option<FeedPosition<'a>>,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// How far a feed was followed; 0 if it never was.
    fn cursor<'a>(&'a self, feed: &'a str) -> BoxFuture<'a, Result<u64, StoreError>>;

    /// Whether this invoice was settled. One point read, without waiting for writers.
    fn is_settled(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// All that was settled so far.
    fn totals(&self) -> BoxFuture<'_, Result<SettlementTotals, StoreError>>;

    /// Why the store no longer takes anything, if it does not.
    fn fault(&self) -> Option<StoreError>;
}

/// How far a node's feed of settlements was followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedPosition<'a> {
    /// Which feed: a name that is the same for the same node.
    pub feed: &'a str,
    /// The index of the last settlement that was taken from it.
    pub cursor: u64,
}

/// What was settled so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettlementTotals {
    /// How many invoices.
    pub count: u64,
    /// What they brought in.
    pub amount: MilliSat,
    /// How many of them brought in more than they asked for, as far as the nodes say.
    pub overpaid: u64,
    /// What those brought in beyond what they asked for; a part of `amount`. Nothing was sold for it.
    pub excess: MilliSat,
}

/// Where a ledger is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A file.
    File(PathBuf),
    /// This schema of a database.
    Schema(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Schema(schema) => write!(f, "schema {schema} of the database"),
        }
    }
}

/// Why the store cannot be used. Nothing that it acknowledged is lost by any of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file cannot be opened or made.
    #[error("{} cannot be opened: {reason}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The database cannot be used as it is named or set up.
    #[error("the ledger's database cannot be opened: {0}")]
    Database(String),
    /// What stands there is something else.
    #[error("{0} is not a ledger of this gateway")]
    Foreign(Place),
    /// It was written by a newer version.
    #[error("{place} has version {found} of the ledger, and this program knows up to {known}")]
    Newer {
        /// Where it is.
        place: Place,
        /// Its version.
        found: u32,
        /// The newest one that is known here.
        known: u32,
    },
    /// Others can read the file.
    #[error("{} has mode {mode:04o}; only its owner may read it", path.display())]
    LaxMode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is damaged.
    #[error("the ledger is damaged: {0}")]
    Damaged(String),
    /// A write was not taken, or did not reach the disk.
    #[error("the ledger cannot be written: {0}")]
    Write(String),
    /// A read failed.
    #[error("the ledger cannot be read: {0}")]
    Read(String),
    /// A sum would no longer fit.
    #[error("a sum in the ledger is out of range")]
    Range,
    /// The rows of a balance do not fit each other.
    #[error("the ledger is damaged: {0}")]
    Book(crate::ledger::BookError),
    /// The database server does not answer; what was sent to it may or may not have happened.
    #[error("the ledger cannot be reached: {0}")]
    Unreachable(String),
    /// The database gave no answer in time; what it was asked for may or may not have happened.
    #[error("the ledger gave no answer in time")]
    Late,
    /// The file is gone, although it was there once.
    #[error("{} is gone", .0.display())]
    Gone(PathBuf),
    /// Another process has it open.
    #[error("{} is in use by another gateway", .0.display())]
    InUse(PathBuf),
}

impl StoreError {
    /// What the operator can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Open { .. } => "check what `data_dir` names, who may use it and whether the disk is full",
            Self::Database(_) => {
                "check what `ledger` names, and whether this user may connect there and make tables"
            }
            Self::Foreign(Place::File(_)) => "move it away, or name another `data_dir`",
            Self::Foreign(Place::Schema(_)) => "name another schema, or another database",
            Self::Newer { .. } => "run the version that wrote it, or a newer one",
            Self::LaxMode { .. } => "chmod 600 the file",
            Self::Damaged(_) => "restore the ledger from a backup; keep the damaged one",
            Self::Read(_) => {
                "mend what the message names; if the ledger is damaged, restore it from a backup and keep the damaged one"
            }
            Self::Write(_) => {
                "free space, or mend what the message names; with a ledger in a file, restart the gateway then"
            }
            Self::Book(_) => {
                "run `octroi ledger check`; restore the ledger from a backup if it finds something"
            }
            Self::Unreachable(_) | Self::Late => {
                "look whether the database server runs and takes connections"
            }
            Self::Gone(_) => {
                "restore it from a backup: without it every token sold by the unit is worth its whole pack again; to start anew all \
                 the same, remove the file of the same name that ends in `.lock`"
            }
            Self::InUse(_) => "one gateway has one `data_dir`; several share a ledger on Postgres",
            Self::Range => "these numbers cannot be real; restore the ledger from a backup",
        }
    }
}
