//! Where a body goes.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use l402_client::Answer;

use crate::failure::{Exit, Failure};

/// Standard output, or a file that was opened before anything was asked.
pub(crate) enum Output {
    Standard,
    File {
        file: File,
        path: PathBuf,
        /// This run made the file: it goes again if nothing comes.
        created: bool,
        /// Pipes and devices have no length.
        regular: bool,
    },
}

impl Output {
    /// Opens `path`, or standard output. The file keeps its content until a body arrives.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::Standard) };
        let unwritable = |error: io::Error| {
            Failure::new(Exit::Other, "output", format!("{}: {error}", path.display()))
                .hint("nothing was requested or paid")
        };
        let created =
            matches!(std::fs::symlink_metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound);
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(unwritable)?;
        let regular = file.metadata().map_err(unwritable)?.is_file();
        Ok(Self::File { file, path: path.to_owned(), created, regular })
    }

    /// The file, if it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Standard => None,
            Self::File { path, .. } => Some(path),
        }
    }

    /// Bytes in the file.
    pub(crate) fn length(&self) -> Result<u64, Failure> {
        match self {
            Self::Standard => Ok(0),
            Self::File { file, .. } => {
                file.metadata().map(|metadata| metadata.len()).map_err(|e| self.failed(&e))
            }
        }
    }

    /// Goes to `offset` of the file.
    pub(crate) fn seek(&mut self, offset: u64) -> Result<(), Failure> {
        if let Self::File { file, .. } = self {
            let moved = file.seek(SeekFrom::Start(offset)).map(|_| ());
            moved.map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// Empties the file: a whole body is about to come.
    pub(crate) fn truncate(&mut self) -> Result<(), Failure> {
        if let Self::File { file, regular: true, .. } = self {
            let emptied = file.set_len(0).and_then(|()| file.rewind());
            emptied.map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = match self {
            Self::Standard => io::stdout().lock().write_all(bytes),
            Self::File { file, .. } => file.write_all(bytes),
        };
        written.map_err(|error| self.failed(&error))
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        let flushed = match self {
            Self::Standard => io::stdout().lock().flush(),
            Self::File { file, .. } => file.flush(),
        };
        flushed.map_err(|error| self.failed(&error))
    }

    /// Nothing came: an empty file of our own making goes again.
    pub(crate) fn abandon(&self) {
        if let Self::File { path, created: true, .. } = self {
            // Left over, it is an empty file: no harm, and nothing better to report than what ended the run.
            let _ = std::fs::remove_file(path);
        }
    }

    fn failed(&self, error: &io::Error) -> Failure {
        let place =
            self.path().map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
        Failure::new(Exit::Other, "output", format!("{place}: {error}"))
            .hint("what was paid for is kept: run it again with another output")
    }
}

/// The head of an answer as HTTP/1.1 writes it.
pub(crate) fn head(answer: &Answer) -> Vec<u8> {
    let status = answer.status();
    let reason = status.canonical_reason().map(|reason| format!(" {reason}")).unwrap_or_default();
    let mut head = format!("{:?} {}{reason}\r\n", answer.version(), status.as_u16()).into_bytes();
    for (name, value) in answer.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}
