//! The key file: a few lines of text, mode 0600, ended by a checksum so that a torn write is seen.
//!
//! ```text
//! octroi-keys 1
//! epoch 5f2c9a01 created 1763700000 root <64 hex> preimage <64 hex>
//! current 5f2c9a01
//! checksum <16 hex>
//! ```

use l402::EpochId;
use sha2::{Digest, Sha256};
use std::{
    fmt::{self, Write as _},
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

const HEADER: &str = "octroi-keys 1";
/// A ring of this many epochs is decades of rotation; a longer file is not one of ours.
const EPOCHS_MAX: usize = 64;
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The master keys of all epochs.
#[derive(Clone, Debug)]
pub struct KeyFile {
    epochs: Vec<Epoch>,
    current: usize,
}

/// One epoch: an id in every token it mints, and two independent masters.
#[derive(Clone)]
pub struct Epoch {
    id: EpochId,
    created: u64,
    root: Zeroizing<[u8; 32]>,
    preimage: Zeroizing<[u8; 32]>,
}

/// Why a key file cannot be used. Nothing is ever invented in its place.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is no such file.
    #[error("key file {} does not exist", .0.display())]
    Missing(PathBuf),
    /// It could not be read or written.
    #[error("key file {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Others may read it.
    #[error("key file {} has mode {mode:04o}; only its owner may read it (chmod 600)", path.display())]
    LaxMode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not a regular file.
    #[error("key file {} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// The checksum at its end is missing or wrong: the file was cut or edited.
    #[error("the keys are incomplete or were changed: the checksum at their end does not match")]
    Torn,
    /// A line that says nothing we know.
    #[error("line {0} of the keys is not understood")]
    Line(usize),
    /// `current` names an epoch that is not there.
    #[error("the keys name {0} as the current epoch, but hold no such epoch")]
    UnknownEpoch(EpochId),
    /// The epoch to retire is the one that mints.
    #[error("epoch {0} is current; rotate first, then retire it")]
    RetireCurrent(EpochId),
    /// Too many epochs.
    #[error("the keys hold {EPOCHS_MAX} epochs already; retire old ones first")]
    Full,
}

impl KeyFile {
    /// A first epoch. `entropy` fills its argument with random bytes.
    pub fn generate(now: u64, entropy: &mut dyn FnMut(&mut [u8])) -> Self {
        Self { epochs: vec![Epoch::generate(now, entropy)], current: 0 }
    }

    /// Reads a key file; refuses one that others may read.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let io_error = |error| KeyFileError::Io { path: path.to_owned(), error };
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(KeyFileError::Missing(path.to_owned()));
            }
            other => other.map_err(io_error)?,
        };
        let metadata = file.metadata().map_err(io_error)?;
        if !metadata.is_file() {
            return Err(KeyFileError::NotAFile(path.to_owned()));
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::LaxMode { path: path.to_owned(), mode });
        }
        let mut text = Zeroizing::new(String::new());
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(io_error)?;
        Self::parse(&text)
    }

    /// Reads keys from text, as an environment variable or a mounted secret holds them.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        let (body, checksum) = text.trim_end().rsplit_once("checksum ").ok_or(KeyFileError::Torn)?;
        if checksum != checksum_of(body) {
            return Err(KeyFileError::Torn);
        }
        let mut epochs: Vec<Epoch> = Vec::new();
        let mut current = None;
        for (number, line) in body.lines().enumerate() {
            let line_error = || KeyFileError::Line(number + 1);
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                _ if number == 0 && line == HEADER => {}
                ["epoch", id, "created", created, "root", root, "preimage", preimage] if number > 0 => {
                    let epoch = Epoch::parse(id, created, root, preimage).ok_or_else(line_error)?;
                    if epochs.iter().any(|other| other.id == epoch.id) {
                        return Err(line_error());
                    }
                    epochs.push(epoch);
                }
                ["current", id] if number > 0 && current.is_none() => {
                    current = Some(id.parse::<EpochId>().map_err(|_| line_error())?);
                }
                _ => return Err(line_error()),
            }
        }
        let current = current.ok_or(KeyFileError::Torn)?;
        let index = epochs.iter().position(|epoch| epoch.id == current);
        Ok(Self { epochs, current: index.ok_or(KeyFileError::UnknownEpoch(current))? })
    }

    /// Writes the file for the first time; an existing one is left alone and is an error.
    pub fn create(&self, path: &Path) -> Result<(), KeyFileError> {
        self.write_to(path)
            .and_then(|()| sync_folder_of(path))
            .map_err(|error| KeyFileError::Io { path: path.to_owned(), error })
    }

    /// Replaces the file: all of the new one or all of the old one, whenever the power goes.
    pub fn save(&self, path: &Path) -> Result<(), KeyFileError> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let replace = || {
            match fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            self.write_to(&new)?;
            fs::rename(&new, path)?;
            sync_folder_of(path)
        };
        replace().map_err(|error| KeyFileError::Io { path: path.to_owned(), error })
    }

    fn write_to(&self, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?; // whatever the umask says
        file.write_all(self.to_text().as_bytes())?;
        file.sync_all()
    }

    /// The text of the file; it is the secret itself.
    fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(4096));
        text.push_str(HEADER);
        text.push('\n');
        for epoch in &self.epochs {
            epoch.write_line(&mut text);
        }
        let current = self.epochs[self.current].id;
        text.push_str("current ");
        text.push_str(&current.to_string());
        text.push('\n');
        let checksum = checksum_of(&text);
        text.push_str("checksum ");
        text.push_str(&checksum);
        text.push('\n');
        text
    }

    /// The epochs, oldest first.
    pub fn epochs(&self) -> &[Epoch] {
        &self.epochs
    }

    /// The epoch that mints.
    pub fn current(&self) -> EpochId {
        self.epochs[self.current].id
    }

    pub(super) fn current_index(&self) -> usize {
        self.current
    }

    /// Adds an epoch and makes it current; tokens of the others stay good.
    pub fn rotate(&mut self, now: u64, entropy: &mut dyn FnMut(&mut [u8])) -> Result<EpochId, KeyFileError> {
        if self.epochs.len() >= EPOCHS_MAX {
            return Err(KeyFileError::Full);
        }
        let mut epoch = Epoch::generate(now, entropy);
        while self.epochs.iter().any(|other| other.id == epoch.id) {
            epoch = Epoch::generate(now, entropy);
        }
        self.epochs.push(epoch);
        self.current = self.epochs.len() - 1;
        Ok(self.current())
    }

    /// Takes an epoch out: every token it minted is refused from the next start or reload on.
    pub fn retire(&mut self, id: EpochId) -> Result<(), KeyFileError> {
        let index =
            self.epochs.iter().position(|epoch| epoch.id == id).ok_or(KeyFileError::UnknownEpoch(id))?;
        if index == self.current {
            return Err(KeyFileError::RetireCurrent(id));
        }
        self.epochs.remove(index);
        self.current -= usize::from(index < self.current);
        Ok(())
    }
}

impl Epoch {
    fn generate(now: u64, entropy: &mut dyn FnMut(&mut [u8])) -> Self {
        let mut id = [0; 4];
        let (mut root, mut preimage) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        entropy(&mut id);
        entropy(root.as_mut_slice());
        entropy(preimage.as_mut_slice());
        Self { id: EpochId(id), created: now, root, preimage }
    }

    fn parse(id: &str, created: &str, root: &str, preimage: &str) -> Option<Self> {
        let secret = |text: &str| {
            let mut bytes = Zeroizing::new([0; 32]);
            hex::decode_to_slice(text, bytes.as_mut_slice()).ok()?;
            (bytes.iter().any(|byte| *byte != 0)).then_some(bytes)
        };
        Some(Self {
            id: id.parse().ok()?,
            created: created.parse().ok()?,
            root: secret(root)?,
            preimage: secret(preimage)?,
        })
    }

    fn write_line(&self, text: &mut String) {
        let root = Zeroizing::new(hex::encode(self.root.as_slice()));
        let preimage = Zeroizing::new(hex::encode(self.preimage.as_slice()));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "epoch {} created {} root {} preimage {}",
            self.id, self.created, *root, *preimage
        );
    }

    /// Its id: the first four bytes of the token ids it mints.
    pub fn id(&self) -> EpochId {
        self.id
    }

    /// When it was made, in Unix seconds.
    pub fn created(&self) -> u64 {
        self.created
    }

    pub(super) fn root_master(&self) -> &[u8; 32] {
        &self.root
    }

    pub(super) fn preimage_master(&self) -> &[u8; 32] {
        &self.preimage
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Epoch").field("id", &self.id).field("created", &self.created).finish_non_exhaustive()
    }
}

fn checksum_of(body: &str) -> String {
    hex::encode(&Sha256::digest(body.as_bytes())[..8])
}

/// A name is only durable once its folder is.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting() -> impl FnMut(&mut [u8]) {
        let mut next = 0_u8;
        move |bytes: &mut [u8]| {
            next = next.wrapping_add(1);
            bytes.fill(next);
        }
    }

    fn saved() -> (tempfile::TempDir, PathBuf, KeyFile) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("keys");
        let keys = KeyFile::generate(1_763_700_000, &mut counting());
        keys.create(&path).expect("created");
        (folder, path, keys)
    }

    #[test]
    fn rotation_keeps_old_epochs_and_retiring_takes_them_out() {
        let (_folder, path, mut keys) = saved();
        let first = keys.current();
        let mut entropy = counting();
        entropy(&mut [0; 1]);
        let second = keys.rotate(1_763_700_100, &mut entropy).expect("room for one more");
        keys.save(&path).expect("saved");
        let mut loaded = KeyFile::load(&path).expect("readable");
        assert_eq!(loaded.epochs().iter().map(Epoch::id).collect::<Vec<_>>(), [first, second]);
        assert_eq!(loaded.current(), second);
        assert!(matches!(loaded.retire(second), Err(KeyFileError::RetireCurrent(_))));
        loaded.retire(first).expect("not current");
        assert_eq!(loaded.current(), second);
        assert!(matches!(loaded.retire(first), Err(KeyFileError::UnknownEpoch(_))));
    }

    #[test]
    fn an_existing_file_is_never_overwritten_by_create() {
        let (_folder, path, keys) = saved();
        let before = fs::read(&path).expect("readable");
        assert!(matches!(keys.create(&path), Err(KeyFileError::Io { .. })));
        assert_eq!(fs::read(&path).expect("readable"), before);
    }

    #[test]
    fn lax_modes_are_refused() {
        let (_folder, path, _) = saved();
        for mode in [0o604, 0o640, 0o644, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            assert!(matches!(KeyFile::load(&path), Err(KeyFileError::LaxMode { .. })), "{mode:o}");
        }
    }

    #[test]
    fn a_file_cut_at_any_byte_or_changed_is_refused() {
        let (_folder, path, _) = saved();
        let text = fs::read_to_string(&path).expect("readable");
        for length in 0..text.len() - 1 {
            assert!(KeyFile::parse(&text[..length]).is_err(), "cut at {length}");
        }
        assert!(matches!(KeyFile::parse(&text.replacen("root 0", "root 1", 1)), Err(KeyFileError::Torn)));
        assert!(matches!(KeyFile::load(&path.join("x")), Err(KeyFileError::Io { .. })));
        assert!(matches!(KeyFile::load(Path::new("/nonexistent/keys")), Err(KeyFileError::Missing(_))));
    }

    #[test]
    fn an_unknown_current_epoch_is_named() {
        let (_folder, path, _) = saved();
        let text = fs::read_to_string(&path).expect("readable");
        let body = text.split("current").next().expect("a body").to_owned() + "current deadbeef\n";
        let text = format!("{body}checksum {}\n", checksum_of(&body));
        assert!(matches!(KeyFile::parse(&text), Err(KeyFileError::UnknownEpoch(_))));
    }

    #[test]
    fn secrets_do_not_print() {
        let (_folder, _path, keys) = saved();
        let shown = format!("{keys:?}");
        assert!(!shown.contains("0202") && !shown.contains("0303"), "{shown}");
    }
}
