//! Files, folders and variables that a config names.

use super::Checker;
use crate::config::{
    SECRET_BYTES_MAX,
    place::{Place, Step},
    problem::{Fault, FileFault},
    read_text,
    value::SecretSource,
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Permission bits that let anybody but the owner in.
const OTHERS: u32 = 0o077;
/// Permission bits of those who are neither the owner nor in the file's group: servers often share their TLS key with
/// one group.
const STRANGERS: u32 = 0o007;

impl Checker<'_, '_> {
    /// A path as the gateway opens it: relative ones start from the folder of the config file.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.surroundings.folder.join(path).components().collect()
    }

    /// The folder need not exist; if it does, it belongs to its owner alone.
    pub(super) fn data_dir(&mut self, path: &Path, at: Place) {
        if !self.surroundings.files {
            return;
        }
        let fault = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => FileFault::Unreadable { path: path.to_owned(), error },
            Ok(metadata) if !metadata.is_dir() => FileFault::NotAFolder(path.to_owned()),
            Ok(metadata) => {
                let mode = metadata.permissions().mode() & 0o7777;
                if mode & OTHERS == 0 {
                    return;
                }
                FileFault::LaxMode { path: path.to_owned(), mode, wanted: 0o700 }
            }
        };
        self.report(at, &[super::key("data_dir")], Fault::File(fault));
    }

    /// A file that has to be there and readable.
    pub(super) fn file(&mut self, path: &Path, at: Place, steps: &[Step]) {
        if let Err(fault) = self.readable(path, 0) {
            self.report(at, steps, Fault::File(fault));
        }
    }

    /// A file with a private key: strangers must not be able to read it.
    pub(super) fn private_file(&mut self, path: &Path, at: Place, steps: &[Step]) {
        if let Err(fault) = self.readable(path, STRANGERS) {
            self.report(at, steps, Fault::File(fault));
        }
    }

    fn readable(&self, path: &Path, refused: u32) -> Result<(), FileFault> {
        if !self.surroundings.files {
            return Ok(());
        }
        let unreadable = |error| FileFault::Unreadable { path: path.to_owned(), error };
        let metadata = File::open(path).and_then(|file| file.metadata()).map_err(unreadable)?;
        let mode = metadata.permissions().mode() & 0o7777;
        if !metadata.is_file() {
            Err(FileFault::NotAFile(path.to_owned()))
        } else if mode & refused != 0 {
            Err(FileFault::LaxMode { path: path.to_owned(), mode, wanted: 0o600 })
        } else {
            Ok(())
        }
    }

    pub(super) fn variable(&self, name: &str) -> Result<Zeroizing<String>, FileFault> {
        let value = (self.surroundings.variable)(name).map(Zeroizing::new);
        value.ok_or_else(|| FileFault::NoVariable(name.to_owned()))
    }

    /// A secret from where it is kept. Who may read a file that a secret store has put there is the store's decision.
    pub(super) fn secret(&self, source: &SecretSource) -> Result<Zeroizing<String>, FileFault> {
        match source {
            SecretSource::Variable(name) => self.variable(name),
            SecretSource::File(path) => read_text(&self.path(path), SECRET_BYTES_MAX).map(Zeroizing::new),
        }
    }
}
