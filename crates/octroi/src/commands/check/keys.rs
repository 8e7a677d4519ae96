//! The master keys, as the gateway would find them at its next start.

use crate::{
    config::{Config, KeySource},
    start::{Found, KeysError, find_keys},
};
use l402_paywall::KeyFile;

/// What is found, in words. Nothing is made.
pub(super) fn look(config: &Config) -> Result<String, KeysError> {
    Ok(match (find_keys(config)?, &config.keys) {
        (Found::Keys(keys), KeySource::Secret(_)) => format!("from a secret, {}", epochs(&keys)),
        (Found::Keys(keys), KeySource::File(path)) => format!("{}, {}", path.display(), epochs(&keys)),
        (Found::FirstStart(path), _) => format!("{} is made on first start", path.display()),
    })
}

fn epochs(keys: &KeyFile) -> String {
    format!("epochs: {}, {} mints", keys.epochs().len(), keys.current())
}
