//! Which file a ledger is, and how far its journal went: a copy that was put in its place is another file, or does not have
//! the line that was written last.

use crate::{file::open_error, row::first, trouble::Trouble};
use rusqlite::Connection;
use std::{fmt, fs, os::unix::fs::MetadataExt as _, path::Path};

/// What is noted of the file that is served.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mark {
    device: u64,
    inode: u64,
    /// A line of the journal; 0 while there is none.
    line: i64,
    /// What no other ledger has there: the reservation that the line ended, or the account that it opened, in hex.
    name: String,
}

impl Mark {
    /// The mark of a file as it is now.
    pub(super) fn of(path: &Path, connection: &Connection) -> Result<Self, Trouble> {
        let (device, inode) = file(path)?;
        let line =
            connection.query_row("SELECT coalesce(max(line), 0) FROM journal", [], |row| row.get(0))?;
        Ok(Self { device, inode, line, name: name(connection, line)? })
    }

    /// Whether this was noted of the same file, as it is now or was before.
    pub(super) fn is_of(&self, path: &Path, connection: &Connection) -> Result<bool, Trouble> {
        Ok(file(path)? == (self.device, self.inode) && name(connection, self.line)? == self.name)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (device, inode) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let (line, name) = (words.next()?.parse().ok()?, words.next()?.to_owned());
        words.next().is_none().then_some(Self { device, inode, line, name })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} {} {}", self.device, self.inode, self.line, self.name)
    }
}

fn file(path: &Path) -> Result<(u64, u64), Trouble> {
    let metadata = fs::metadata(path).map_err(|error| Trouble::Refused(open_error(path, &error)))?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Of a line that is not there, as before the first one, it is a dash.
fn name(connection: &Connection, line: i64) -> Result<String, Trouble> {
    let sql = "SELECT lower(hex(coalesce(reservation, opened, at))) FROM journal WHERE line = ?1";
    let name = first(connection, sql, [line], |row| Ok(row.get(0)?))?;
    Ok(name.unwrap_or_else(|| "-".to_owned()))
}
