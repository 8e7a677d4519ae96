//! What an unfinished download was of, so that only the same bytes are continued.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::private::{self, PrivateFileError};
use super::{Vault, VaultError};

/// What a file on disk is a beginning of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partial {
    /// Where it came from.
    pub url: String,
    /// The validator of what was sent: a strong `ETag`, or a `Last-Modified` date (RFC 9110, section 13.1.5).
    pub validator: String,
}

impl Vault {
    /// What `output` is a beginning of, if that was noted. A note that cannot be read is no note.
    pub fn partial(&self, output: &Path) -> Result<Option<Partial>, VaultError> {
        let bytes = private::read(&self.partial_file(output))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Notes what `output` is going to be a beginning of, or that nobody can say.
    pub fn note_partial(&self, output: &Path, partial: Option<&Partial>) -> Result<(), VaultError> {
        let file = self.partial_file(output);
        let Some(partial) = partial else { return Ok(private::remove(&file)?) };
        let bytes = serde_json::to_vec(partial).map_err(|error| PrivateFileError::io(&file, error.into()))?;
        Ok(private::replace(&file, &bytes)?)
    }

    fn partial_file(&self, output: &Path) -> PathBuf {
        let name = hex::encode(Sha256::digest(output.as_os_str().as_encoded_bytes()));
        self.downloads.join(format!("{name}.json"))
    }
}
