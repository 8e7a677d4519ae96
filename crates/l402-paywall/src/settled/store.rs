//! What a gateway has to remember about settlements.

use l402::PaymentHash;
use l402_lightning::{BoxFuture, MilliSat, Settlement};
use std::path::PathBuf;

/// Where settlements are written down. A yes of this store opens the gate, so it holds only what a node said is settled.
pub trait SettlementStore: Send + Sync {
    /// Writes settlements down, and with `feed` how far that feed was followed: one durable step, which can be repeated.
    /// A settlement that is known already counts once; a cursor never goes back. When the future is ready, the step
    /// survives a crash of the machine; when it fails, nothing of it counts.
    fn record<'a>(
        &'a self,
        settlements: &'a [Settlement],
        feed: Option<FeedPosition<'a>>,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// How far a feed was followed; 0 if it never was.
    fn cursor(&self, feed: &str) -> Result<u64, StoreError>;

    /// Whether this invoice was settled. One point read, without waiting for writers.
    fn is_settled(&self, payment_hash: PaymentHash) -> Result<bool, StoreError>;

    /// All that was settled so far.
    fn totals(&self) -> Result<SettlementTotals, StoreError>;

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
    /// The file is a database of something else.
    #[error("{} is not a ledger of this gateway", .0.display())]
    Foreign(PathBuf),
    /// The file was written by a newer version.
    #[error("{} has schema {found}, and this version knows up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
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
    /// The file is damaged.
    #[error("the ledger is damaged: {0}")]
    Damaged(String),
    /// A write did not reach the disk; nothing more is taken.
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
            Self::Open { .. } => {
                "check what `ledger` and `data_dir` name, who may use it and whether the disk is full"
            }
            Self::Foreign(_) => "move it away, or name another `data_dir` or schema",
            Self::Newer { .. } => "run the version that wrote it, or a newer one",
            Self::LaxMode { .. } => "chmod 600 the file",
            Self::Damaged(_) | Self::Read(_) => "restore the ledger from a backup; keep the damaged one",
            Self::Write(_) => "free space or mend the disk, then restart the gateway",
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
