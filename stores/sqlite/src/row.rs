//! How the ledger's rows are spelled in the file.

use crate::trouble::{Trouble, damaged};
use bytes::Bytes;
use l402::{Name, TokenId};
use l402_paywall::ledger::{
    Account, AccountKey, ClaimRecord, ClaimState, EndedBy, Ending, Entry, EntryKind, Handle, Owner,
    ReservationId, Units,
};
use rusqlite::{Connection, Params, Row};

/// An account's columns, for [`account`], with a condition on `a`.
macro_rules! account_sql {
    ($condition:literal) => {
        concat!(
            "SELECT a.id, a.key, a.token_id, a.service, p.key, a.credited, a.debited, a.balance, a.reserved, a.owed, \
             a.is_revoked FROM account a LEFT JOIN account p ON p.id = a.purchase ",
            $condition
        )
    };
}
pub(super) use account_sql;

/// Kinds of journal lines.
pub(super) const CREDITED: i64 = 1;
pub(super) const CAP_OPENED: i64 = 2;
pub(super) const REVOKED: i64 = 6;

/// The first row, read.
pub(super) fn first<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, Trouble>,
) -> Result<Option<T>, Trouble> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}

/// All rows, read.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, Trouble>,
) -> Result<Vec<T>, Trouble> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// A row of `account_sql`.
pub(super) fn account(row: &Row<'_>) -> Result<(i64, AccountKey, Account), Trouble> {
    let key = account_key(row, 1)?;
    let token_id: Option<[u8; 32]> = row.get(2)?;
    let service: Option<String> = row.get(3)?;
    let purchase: Option<[u8; 32]> = row.get(4)?;
    let owner = match (token_id, service, purchase) {
        (Some(token_id), Some(service), None) => {
            let service =
                Name::try_from(service.as_str()).map_err(|_| damaged(format!("{key:?} has no service")))?;
            Owner::Purchase { token_id: TokenId::from_bytes(token_id), service }
        }
        (None, None, Some(purchase)) => Owner::Cap(AccountKey::from_bytes(purchase)),
        _ => return Err(damaged(format!("{key:?} has no owner"))),
    };
    let account = Account {
        owner,
        credited: units(row, 5)?,
        debited: units(row, 6)?,
        balance: units(row, 7)?,
        reserved: units(row, 8)?,
        owed: units(row, 9)?,
        is_revoked: row.get(10)?,
    };
    Ok((row.get(0)?, key, account))
}

/// Columns: reservation, request, expiry, whether it is answered, answer.
pub(super) fn claim(row: &Row<'_>) -> Result<ClaimRecord, Trouble> {
    let answer: Option<Vec<u8>> = row.get(4)?;
    let is_answered: bool = row.get(3)?;
    let state =
        if is_answered { ClaimState::Answered(answer.map(Bytes::from)) } else { ClaimState::InFlight };
    let reservation = ReservationId::from_bytes(row.get(0)?);
    Ok(ClaimRecord { reservation, request: row.get(1)?, expires_at: unsigned(row, 2)?, state })
}

/// Columns: kind, reserved, charged, overrun.
pub(super) fn ending(row: &Row<'_>) -> Result<Ending, Trouble> {
    let by = ended_by(row.get(0)?).ok_or_else(|| damaged("a reservation ended in no known way"))?;
    Ok(Ending { by, reserved: units(row, 1)?, charged: units(row, 2)?, overrun: units(row, 3)? })
}

/// What [`entry`] reads.
pub(super) const ENTRIES: &str = "SELECT j.line, j.at, j.kind, a.key, j.caps, j.opened, j.reservation, j.claim, \
     j.credited, j.reserved, j.charged, j.overrun, j.owed \
     FROM journal j LEFT JOIN account a ON a.id = j.account WHERE j.line > ?1 ORDER BY j.line LIMIT ?2";

/// A line of the journal and its number.
pub(super) fn entry(connection: &Connection, row: &Row<'_>) -> Result<(u64, Entry), Trouble> {
    let line = unsigned(row, 0)?;
    let wrong = |what: &str| damaged(format!("line {line} of the journal {what}"));
    let account: Option<[u8; 32]> = row.get(3)?;
    let account = AccountKey::from_bytes(account.ok_or_else(|| wrong("tells of no account"))?);
    let kind = match row.get(2)? {
        CREDITED => EntryKind::Credited,
        CAP_OPENED => EntryKind::CapOpened(account_key(row, 5)?),
        REVOKED => EntryKind::Revoked,
        kind => {
            let by = ended_by(kind).ok_or_else(|| wrong("is of no known kind"))?;
            let caps: Option<String> = row.get(4)?;
            let accounts = chain(connection, account, caps.as_deref())?;
            let accounts = accounts.ok_or_else(|| wrong("tells of no account"))?;
            let id = ReservationId::from_bytes(row.get(6)?);
            EntryKind::Ended { handle: Handle { id, accounts: accounts.into(), claim: row.get(7)? }, by }
        }
    };
    let entry = Entry {
        at: unsigned(row, 1)?,
        kind,
        account,
        credited: units(row, 8)?,
        reserved: units(row, 9)?,
        charged: units(row, 10)?,
        overrun: units(row, 11)?,
        owed: units(row, 12)?,
    };
    Ok((line, entry))
}

/// The accounts that a reservation draws on; `None` where one is not there.
pub(super) fn chain(
    connection: &Connection,
    own: AccountKey,
    caps: Option<&str>,
) -> Result<Option<Vec<AccountKey>>, Trouble> {
    let mut keys = vec![own];
    for id in cap_ids(caps)? {
        match key_of(connection, id)? {
            Some(key) => keys.push(key),
            None => return Ok(None),
        }
    }
    Ok(Some(keys))
}

/// The name of the account with this id.
pub(super) fn key_of(connection: &Connection, id: i64) -> Result<Option<AccountKey>, Trouble> {
    first(connection, "SELECT key FROM account WHERE id = ?1", [id], |row| account_key(row, 0))
}

/// The ids in a `caps` column.
pub(super) fn cap_ids(caps: Option<&str>) -> Result<Vec<i64>, Trouble> {
    let Some(text) = caps else { return Ok(Vec::new()) };
    let ids = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let ids: Option<Vec<i64>> = ids.and_then(|ids| ids.split(',').map(|id| id.parse().ok()).collect());
    ids.ok_or_else(|| damaged("a list of accounts cannot be read"))
}

/// A `caps` column with these ids.
pub(super) fn caps_text(ids: &[i64]) -> Option<String> {
    if ids.is_empty() {
        return None;
    }
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    Some(format!("[{}]", ids.join(",")))
}

/// The kind of a line that tells how a reservation ended.
pub(super) fn ended_kind(by: EndedBy) -> i64 {
    match by {
        EndedBy::Settle => 3,
        EndedBy::Release => 4,
        EndedBy::Expire => 5,
    }
}

pub(super) fn account_key(row: &Row<'_>, column: usize) -> Result<AccountKey, Trouble> {
    Ok(AccountKey::from_bytes(row.get(column)?))
}

pub(super) fn units(row: &Row<'_>, column: usize) -> Result<Units, Trouble> {
    Units::from_signed(row.get(column)?).ok_or_else(|| damaged("a number of units is below zero"))
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> Result<u64, Trouble> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| damaged("a number is below zero"))
}

fn ended_by(kind: i64) -> Option<EndedBy> {
    [EndedBy::Settle, EndedBy::Release, EndedBy::Expire].into_iter().find(|by| ended_kind(*by) == kind)
}
