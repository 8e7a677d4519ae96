//! What can go wrong between this process and the server, sorted by what to do about it.

use l402_paywall::StoreError;
use std::{error::Error as _, fmt::Write as _};
use tokio_postgres::error::SqlState;

/// Longest reason that is told, in bytes; the server writes what it likes.
const REASON_MAX: usize = 300;

/// Why an exchange with the server did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The server, or the way to it, is gone. What was asked for may or may not have happened.
    Lost(String),
    /// Others came first, or hold what is needed. Nothing happened; the same can be asked for again.
    Conflict(String),
    /// The server does not do it, and would not if it were asked again at once. Nothing happened.
    Refused(String),
    /// A number does not fit. Nothing happened.
    Range,
    /// The rows cannot have been written by a ledger.
    Damaged(String),
}

impl Failure {
    /// As whoever wrote is told.
    pub(crate) fn of_write(self) -> StoreError {
        match self {
            Self::Lost(reason) | Self::Conflict(reason) => StoreError::Unreachable(reason),
            Self::Refused(reason) => StoreError::Write(reason),
            Self::Range => StoreError::Range,
            Self::Damaged(reason) => StoreError::Damaged(reason),
        }
    }

    /// As whoever read is told.
    pub(crate) fn of_read(self) -> StoreError {
        match self {
            Self::Refused(reason) => StoreError::Read(reason),
            other => other.of_write(),
        }
    }

    /// As whoever opened the store is told.
    pub(crate) fn of_opening(self) -> StoreError {
        match self {
            Self::Refused(reason) => open_error(&reason),
            other => other.of_write(),
        }
    }
}

/// The ledger cannot be opened as it is named or set up.
pub(crate) fn open_error(reason: &str) -> StoreError {
    StoreError::Database(reason.to_owned())
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let reason = reason(&error);
        let Some(code) = error.code() else { return Self::Lost(reason) };
        // https://www.postgresql.org/docs/current/errcodes-appendix.html
        if *code == SqlState::NUMERIC_VALUE_OUT_OF_RANGE {
            Self::Range
        } else if is_conflict(code) {
            Self::Conflict(reason)
        } else if is_loss(code) {
            Self::Lost(reason)
        } else if code.code().starts_with("XX") {
            Self::Damaged(reason)
        } else {
            Self::Refused(reason)
        }
    }
}

/// Two transactions wanted the same, or one waited too long for the other.
fn is_conflict(code: &SqlState) -> bool {
    const CONFLICTS: [&SqlState; 5] = [
        &SqlState::T_R_SERIALIZATION_FAILURE,
        &SqlState::T_R_DEADLOCK_DETECTED,
        &SqlState::UNIQUE_VIOLATION,
        &SqlState::LOCK_NOT_AVAILABLE,
        &SqlState::QUERY_CANCELED,
    ];
    CONFLICTS.contains(&code)
}

/// The server stops, starts, has become a standby, has no room for the connection, or has ended it.
fn is_loss(code: &SqlState) -> bool {
    const LOSSES: [&SqlState; 5] = [
        &SqlState::READ_ONLY_SQL_TRANSACTION,
        &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        &SqlState::TOO_MANY_CONNECTIONS,
        &SqlState::CANNOT_CONNECT_NOW,
        &SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN,
    ];
    LOSSES.contains(&code) || code.code().starts_with("08") || code.code().starts_with("57P")
}

/// What the server or the system says, in one line. Neither knows the URL.
fn reason(error: &tokio_postgres::Error) -> String {
    let mut text = match error.as_db_error() {
        Some(told) => format!("{} (SQLSTATE {})", told.message(), told.code().code()),
        None => error.to_string(),
    };
    if error.as_db_error().is_none() {
        let mut cause = error.source();
        while let Some(inner) = cause {
            let _ = write!(text, ": {inner}"); // writing to a string cannot fail
            cause = inner.source();
        }
    }
    let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.truncate(text.floor_char_boundary(REASON_MAX));
    text
}
