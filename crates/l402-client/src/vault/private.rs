//! Files that only their owner may touch: folders 0700, files 0600, never through a link, replaced atomically.
//!
//! Lax modes are refused, not repaired: whoever could read a token file may already have read it.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;
use zeroize::Zeroizing;

/// Largest file that is read: a record holds a token (4 KiB) and an invoice (7 KiB) as text.
const FILE_BYTES_MAX: usize = 64 * 1024;
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Any right for group or others.
const LAX_BITS: u32 = 0o077;

/// Why a private file or folder is not used.
#[derive(Debug, Error)]
pub enum PrivateFileError {
    /// Group or others have rights in it.
    #[error("{path} is open to others (mode {mode:o})")]
    Lax {
        /// What was found.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to another user.
    #[error("{path} belongs to another user")]
    Owner {
        /// What was found.
        path: PathBuf,
    },
    /// A symbolic link, device, pipe, or a folder where a file should be, or the other way round.
    #[error("{path} is not a plain file or folder")]
    Kind {
        /// What was found.
        path: PathBuf,
    },
    /// Larger than anything this client writes.
    #[error("{path} is too large")]
    TooLarge {
        /// What was found.
        path: PathBuf,
    },
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// What was worked on.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl PrivateFileError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

/// Creates `path` as a private folder (and, with default modes, the folders above it), or checks that it is one.
/// With a folder created, the one above is synced, so that it is still there after a crash.
pub(crate) fn folder(path: &Path) -> Result<(), PrivateFileError> {
    let at = |source| PrivateFileError::io(path, source);
    match DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Ok(()) => sync_parent(path)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = path.parent().ok_or_else(|| at(error))?;
            std::fs::create_dir_all(above).map_err(|source| PrivateFileError::io(above, source))?;
            return folder(path);
        }
        Err(error) => return Err(at(error)),
    }
    check(path, &std::fs::symlink_metadata(path).map_err(at)?, Kind::Folder)
}

/// Reads a private file whole, or `None` if there is none. The buffer is wiped when dropped.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, PrivateFileError> {
    let at = |source| PrivateFileError::io(path, source);
    let file = match OpenOptions::new().read(true).custom_flags(no_follow()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(link_or(path, error)),
    };
    let metadata = file.metadata().map_err(at)?;
    check(path, &metadata, Kind::File)?;
    if metadata.len() > FILE_BYTES_MAX as u64 {
        return Err(PrivateFileError::TooLarge { path: path.to_owned() });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX));
    file.take(FILE_BYTES_MAX as u64).read_to_end(&mut bytes).map_err(at)?;
    Ok(Some(bytes))
}

/// Replaces `path` durably: when this returns, the new bytes survive a crash; at every moment before, the old do.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), PrivateFileError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("file");
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // Unique among live processes by pid, within this one by count; a leftover of a dead one is replaced.
    let temporary = path.with_file_name(format!(".{name}.{}.{count}.tmp", std::process::id()));
    let at = |source| PrivateFileError::io(&temporary, source);
    discard(&temporary)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .custom_flags(no_follow())
        .open(&temporary)
        .map_err(at)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    drop(file);
    if let Err(error) = written.and_then(|()| std::fs::rename(&temporary, path)) {
        discard(&temporary)?;
        return Err(PrivateFileError::io(path, error));
    }
    sync_parent(path)
}

/// Removes `path` durably; that it is not there is no error.
pub(crate) fn remove(path: &Path) -> Result<(), PrivateFileError> {
    discard(path)?;
    sync_parent(path)
}

/// Opens, or creates, a private file for locking.
pub(crate) fn lock_file(path: &Path) -> Result<File, PrivateFileError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .custom_flags(no_follow())
        .open(path)
        .map_err(|error| link_or(path, error))?;
    let metadata = file.metadata().map_err(|source| PrivateFileError::io(path, source))?;
    check(path, &metadata, Kind::File)?;
    Ok(file)
}

#[derive(Clone, Copy)]
enum Kind {
    Folder,
    File,
}

fn check(path: &Path, metadata: &Metadata, kind: Kind) -> Result<(), PrivateFileError> {
    let path = || path.to_owned();
    let right_kind = match kind {
        Kind::Folder => metadata.is_dir(),
        Kind::File => metadata.is_file(),
    };
    if !right_kind {
        return Err(PrivateFileError::Kind { path: path() });
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(PrivateFileError::Owner { path: path() });
    }
    if metadata.mode() & LAX_BITS != 0 {
        return Err(PrivateFileError::Lax { path: path(), mode: metadata.mode() & 0o7777 });
    }
    Ok(())
}

fn discard(path: &Path) -> Result<(), PrivateFileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(PrivateFileError::io(path, error)),
        _ => Ok(()),
    }
}

fn sync_parent(path: &Path) -> Result<(), PrivateFileError> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(above)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| PrivateFileError::io(above, source))
}

/// `O_NOFOLLOW`: a link in the last place is an error, never a way out of the folder.
fn no_follow() -> i32 {
    rustix::fs::OFlags::NOFOLLOW.bits().cast_signed()
}

fn link_or(path: &Path, error: io::Error) -> PrivateFileError {
    if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
        PrivateFileError::Kind { path: path.to_owned() }
    } else {
        PrivateFileError::io(path, error)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/private");
        folder(&path).unwrap();
        (dir, path)
    }

    #[test]
    fn what_is_created_is_private() {
        let (_dir, path) = place();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        replace(&path.join("a"), b"one").unwrap();
        assert_eq!(std::fs::metadata(path.join("a")).unwrap().mode() & 0o777, 0o600);
        replace(&path.join("a"), b"two").unwrap();
        assert_eq!(read(&path.join("a")).unwrap().unwrap().as_slice(), b"two");
        remove(&path.join("a")).unwrap();
        remove(&path.join("a")).unwrap();
        assert!(read(&path.join("a")).unwrap().is_none());
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
    }

    #[test]
    fn lax_modes_are_refused() {
        let (_dir, path) = place();
        let file = path.join("a");
        replace(&file, b"x").unwrap();
        set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read(&file), Err(PrivateFileError::Lax { mode: 0o640, .. })));
        assert!(matches!(lock_file(&file), Err(PrivateFileError::Lax { .. })));
        set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(folder(&path), Err(PrivateFileError::Lax { mode: 0o755, .. })));
    }

    #[test]
    fn links_are_not_followed() {
        let (_dir, path) = place();
        replace(&path.join("real"), b"x").unwrap();
        symlink(path.join("real"), path.join("link")).unwrap();
        assert!(matches!(read(&path.join("link")), Err(PrivateFileError::Kind { .. })));
        assert!(matches!(lock_file(&path.join("link")), Err(PrivateFileError::Kind { .. })));
        folder(&path.join("sub")).unwrap();
        symlink(path.join("sub"), path.join("sublink")).unwrap();
        assert!(matches!(folder(&path.join("sublink")), Err(PrivateFileError::Kind { .. })));
        // Replacing a link replaces the link itself and leaves its target alone.
        replace(&path.join("link"), b"y").unwrap();
        assert_eq!(read(&path.join("real")).unwrap().unwrap().as_slice(), b"x");
    }

    #[test]
    fn files_of_other_users_are_refused() {
        let (_dir, path) = place();
        let file = path.join("a");
        replace(&file, b"x").unwrap();
        // Only the superuser can give files away; anybody else cannot have made such a file either.
        if std::os::unix::fs::chown(&file, Some(12_345), None).is_ok() {
            assert!(matches!(read(&file), Err(PrivateFileError::Owner { .. })));
            std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
            assert!(matches!(folder(&path), Err(PrivateFileError::Owner { .. })));
        }
    }

    #[test]
    fn oversized_files_are_refused() {
        let (_dir, path) = place();
        replace(&path.join("big"), &vec![b'x'; 65 * 1024]).unwrap();
        assert!(matches!(read(&path.join("big")), Err(PrivateFileError::TooLarge { .. })));
    }
}
