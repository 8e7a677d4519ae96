//! The master keys, as the gateway would find them at its next start.

use crate::{
    config::{Config, KeySource},
    start::KeysError,
};
use l402_paywall::{KeyFile, KeyFileError};
use std::{fs, path::Path};

/// What is found, in words. Nothing is made.
pub(super) fn look(config: &Config) -> Result<String, KeysError> {
    let path = match &config.keys {
        KeySource::Secret(keys) => return Ok(format!("from a secret, {}", epochs(keys))),
        KeySource::File(path) => path,
    };
    match KeyFile::load(path) {
        Ok(keys) => Ok(format!("{}, {}", path.display(), epochs(&keys))),
        Err(KeyFileError::Missing(keys)) if has_data(&config.data_dir) => {
            Err(KeysError::MissingBesideData { keys, data_dir: config.data_dir.clone() })
        }
        Err(KeyFileError::Missing(_)) => Ok(format!("{} is made on first start", path.display())),
        Err(error) => Err(error.into()),
    }
}

fn epochs(keys: &KeyFile) -> String {
    format!("epochs: {}, {} mints", keys.epochs().len(), keys.current())
}

fn has_data(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}
