//! Why something cannot be done: it alone is at fault, or the file is.

use crate::file::{is_damage, reason};
use l402_paywall::{StoreError, ledger::BookError};
use rusqlite::Error;
use std::path::Path;

#[derive(Debug)]
pub(super) enum Trouble {
    /// This step or read alone is refused; others are not concerned.
    Refused(StoreError),
    /// SQLite failed.
    Sql(Error),
}

/// A row cannot be what was written.
pub(super) fn damaged(what: impl Into<String>) -> Trouble {
    Trouble::Refused(StoreError::Damaged(what.into()))
}

/// Damage is told with the file that is damaged.
pub(super) fn at(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Damaged(what) => StoreError::Damaged(format!("{}: {what}", path.display())),
        error => error,
    }
}

/// SQLite's integers are signed.
pub(super) fn signed(value: u64) -> Result<i64, Trouble> {
    i64::try_from(value).map_err(|_| Trouble::Refused(StoreError::Range))
}

impl Trouble {
    /// As a reader tells it.
    pub(super) fn on_reading(self) -> StoreError {
        match self {
            Self::Refused(error) => error,
            Self::Sql(error) if is_damage(&error) => StoreError::Damaged(reason(&error)),
            Self::Sql(error) => StoreError::Read(reason(&error)),
        }
    }

    /// As a writer tells it.
    pub(super) fn on_writing(&self) -> StoreError {
        match self {
            Self::Refused(error) => error.clone(),
            Self::Sql(error) if is_damage(error) => StoreError::Damaged(reason(error)),
            Self::Sql(error) => StoreError::Write(reason(error)),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            // A value that was read is not of its column's kind: that row is damaged, the file may be whole.
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..) => damaged(error.to_string()),
            error => Self::Sql(error),
        }
    }
}

impl From<BookError> for Trouble {
    fn from(error: BookError) -> Self {
        Self::Refused(StoreError::Book(error))
    }
}
