//! What outlives a process: tokens, intents, locks. Everything below one folder, private to its owner.
//!
//! `tokens/<origin>/<payment hash>.json` holds one purchase each, `locks/<origin>/<scope>.lock` who is
//! buying, `downloads/` what unfinished downloads are of.
//! A purchase file that cannot be read stops the purchase rather than being skipped: it may be a payment.

mod file;
mod lock;
mod partial;
mod private;
mod record;

use std::path::{Path, PathBuf};

use l402::PaymentHash;
use sha2::{Digest, Sha256};
use thiserror::Error;

pub use file::RecordError;
pub use lock::{LockAttempt, LockOwner, ScopeLock};
pub use partial::Partial;
pub use private::PrivateFileError;
pub use record::{PaidToken, PurchaseRecord, Stage, Standing};

use crate::origin::Origin;
use crate::scope::Scope;

/// Most purchases read for one origin; a folder with more is not ours.
const RECORDS_MAX: usize = 10_000;

/// The folder that all processes of a user share.
#[derive(Debug, Clone)]
pub struct Vault {
    tokens: PathBuf,
    locks: PathBuf,
    downloads: PathBuf,
}

/// Why the vault cannot be used. Always found out before a payment.
#[derive(Debug, Error)]
pub enum VaultError {
    /// A file or folder is lax, foreign, or cannot be worked with.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// A purchase file holds something else than a purchase.
    #[error("{path}: {fault}")]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: RecordError,
    },
    /// A purchase lies in a folder that is not its origin's.
    #[error("{path} belongs to another origin than its folder")]
    Misplaced {
        /// The file.
        path: PathBuf,
    },
    /// More files in one folder than this client would ever write.
    #[error("{path} holds too many files")]
    Crowded {
        /// The folder.
        path: PathBuf,
    },
}

impl Vault {
    /// Opens the vault in `root`, creating it where it is missing.
    pub fn open(root: &Path) -> Result<Self, VaultError> {
        let vault = Self {
            tokens: root.join("tokens"),
            locks: root.join("locks"),
            downloads: root.join("downloads"),
        };
        for folder in [root, &vault.tokens, &vault.locks, &vault.downloads] {
            private::folder(folder)?;
        }
        Ok(vault)
    }

    /// Every purchase at `origin`, newest first.
    pub fn purchases(&self, origin: &Origin) -> Result<Vec<PurchaseRecord>, VaultError> {
        let folder = self.tokens.join(origin.folder());
        let mut records = read_folder(&folder)?;
        if let Some((path, _)) = records.iter().find(|(_, record)| record.origin != *origin) {
            return Err(VaultError::Misplaced { path: path.clone() });
        }
        records.sort_by_key(|(_, record)| std::cmp::Reverse(record.created_at));
        Ok(records.into_iter().map(|(_, record)| record).collect())
    }

    /// Every purchase of every origin, by origin, newest first.
    pub fn all(&self) -> Result<Vec<PurchaseRecord>, VaultError> {
        let mut records = Vec::new();
        for folder in list(&self.tokens)? {
            for (path, record) in read_folder(&folder)? {
                if folder != self.tokens.join(record.origin.folder()) {
                    return Err(VaultError::Misplaced { path });
                }
                records.push(record);
            }
        }
        records.sort_by(|a, b| (&a.origin, b.created_at).cmp(&(&b.origin, a.created_at)));
        Ok(records)
    }

    /// Writes a purchase; when this returns, it survives a crash.
    pub fn write(&self, record: &PurchaseRecord) -> Result<(), VaultError> {
        let folder = self.tokens.join(record.origin.folder());
        private::folder(&folder)?;
        Ok(private::replace(&file_of(&folder, record.payment_hash), &file::write(record))?)
    }

    /// Removes a purchase; that it is not there is no error.
    pub fn remove(&self, origin: &Origin, hash: PaymentHash) -> Result<(), VaultError> {
        Ok(private::remove(&file_of(&self.tokens.join(origin.folder()), hash))?)
    }

    /// Tries to become the one process that buys `scope` at `origin`, without waiting.
    pub fn try_lock(
        &self,
        origin: &Origin,
        scope: &Scope,
        owner: &LockOwner,
    ) -> Result<LockAttempt, VaultError> {
        let folder = self.locks.join(origin.folder());
        private::folder(&folder)?;
        let name = hex::encode(Sha256::digest(scope.to_string()));
        Ok(lock::attempt(&folder.join(format!("{name}.lock")), owner)?)
    }

    /// Whether a process is buying anything at `origin` now.
    pub fn is_buying(&self, origin: &Origin) -> Result<bool, VaultError> {
        for path in list(&self.locks.join(origin.folder()))? {
            if lock::is_held(&path)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn file_of(folder: &Path, hash: PaymentHash) -> PathBuf {
    folder.join(format!("{hash}.json"))
}

fn read_folder(folder: &Path) -> Result<Vec<(PathBuf, PurchaseRecord)>, VaultError> {
    let mut records = Vec::new();
    for path in list(folder)? {
        // Gone since it was listed: another process resolved it.
        let Some(bytes) = private::read(&path)? else { continue };
        match file::read(&bytes) {
            Ok(record) => records.push((path, record)),
            Err(fault) => return Err(VaultError::Record { path, fault }),
        }
    }
    Ok(records)
}

/// What lies in `folder`, without the temporary files of replacements under way; nothing if it is not there.
fn list(folder: &Path) -> Result<Vec<PathBuf>, VaultError> {
    let at = |source| PrivateFileError::io(folder, source);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(error).into()),
    };
    private::folder(folder)?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(at)?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if paths.len() == RECORDS_MAX {
            return Err(VaultError::Crowded { path: folder.to_owned() });
        }
        paths.push(entry.path());
    }
    Ok(paths)
}
