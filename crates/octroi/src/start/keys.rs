//! The master keys: read, or made when nothing exists yet. Keys are never invented beside existing data: tokens
//! already sold would be refused, and nobody would know why.

use crate::{
    config::{Config, KeySource},
    edge::{OsEntropy, unix_secs},
};
use l402_paywall::{Entropy as _, KeyFile, KeyFileError};
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

/// Why there are no keys to start with.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The key file cannot be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// A data folder without its keys.
    #[error("key file {} is missing, but folder {} exists already; no new keys are made beside existing data", keys.display(), data_dir.display())]
    MissingBesideData {
        /// Where the keys should be.
        keys: PathBuf,
        /// The folder with data.
        data_dir: PathBuf,
    },
    /// Others can look into the data folder.
    #[error("folder {} has mode {mode:04o}; only its owner may enter it", path.display())]
    LaxFolder {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The data folder cannot be made or read.
    #[error("folder {}: {error}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl KeysError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::MissingBesideData { data_dir, .. } => format!(
                "restore the key file from a backup; or, to start anew and refuse every token sold so far, move {} away (if \
                 this gateway has never run and the folder is empty, remove it: it is made on first start)",
                data_dir.display()
            ),
            Self::LaxFolder { path, .. } => format!("chmod 700 {}", path.display()),
            Self::Folder { .. } => "check `data_dir` and who owns its parent folder".to_owned(),
            Self::File(KeyFileError::LaxMode { path, .. }) => format!("chmod 600 {}", path.display()),
            Self::File(KeyFileError::Torn | KeyFileError::Line(_) | KeyFileError::UnknownEpoch(_)) => {
                "restore the key file from a backup; a new one would refuse every token sold so far"
                    .to_owned()
            }
            Self::File(_) => "check `keys.file` and who owns the file".to_owned(),
        }
    }
}

/// Reads the keys, or makes the first ones where neither key file nor data folder exists. Returns whether they are new.
pub fn open_keys(config: &Config) -> Result<(KeyFile, bool), KeysError> {
    match find_keys(config)? {
        Found::Keys(keys) => Ok((keys, false)),
        Found::FirstStart(path) => {
            make_folder(&config.data_dir)?;
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                make_folder(folder)?;
            }
            let keys = KeyFile::generate(unix_secs(), &mut |bytes| OsEntropy.fill(bytes));
            keys.create(&path)?;
            Ok((keys, true))
        }
    }
}

/// Reads the keys of a gateway that runs already; none are made.
pub fn read_keys(config: &Config) -> Result<KeyFile, KeysError> {
    match find_keys(config)? {
        Found::Keys(keys) => Ok(keys),
        Found::FirstStart(path) => Err(KeyFileError::Missing(path).into()),
    }
}

/// What stands where the keys should be.
pub enum Found {
    /// The keys.
    Keys(KeyFile),
    /// Neither keys nor data: they may be made, here.
    FirstStart(PathBuf),
}

/// Looks for the keys and makes nothing.
pub fn find_keys(config: &Config) -> Result<Found, KeysError> {
    let path = match &config.keys {
        KeySource::Secret(keys) => return Ok(Found::Keys(keys.clone())),
        KeySource::File(path) => path,
    };
    let exists = check_folder(&config.data_dir)?;
    match KeyFile::load(path) {
        Ok(keys) => Ok(Found::Keys(keys)),
        Err(KeyFileError::Missing(path)) if !exists => Ok(Found::FirstStart(path)),
        Err(KeyFileError::Missing(keys)) => {
            Err(KeysError::MissingBesideData { keys, data_dir: config.data_dir.clone() })
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the folder exists; one that others may enter is refused. Even an empty one counts: keys may have been all it
/// held.
fn check_folder(path: &Path) -> Result<bool, KeysError> {
    let folder_error = |error| KeysError::Folder { path: path.to_owned(), error };
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.map_err(folder_error)?,
    };
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeysError::LaxFolder { path: path.to_owned(), mode });
    }
    Ok(true)
}

/// Makes a folder that only its owner may enter, unless it is there.
pub(super) fn make_folder(path: &Path) -> Result<(), KeysError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| KeysError::Folder { path: path.to_owned(), error })
}
