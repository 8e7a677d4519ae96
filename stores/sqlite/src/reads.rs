//! What is asked of the ledger without changing it. Each read sees the last commit.

use crate::{
    row::{self, ENTRIES, account_key, account_sql, all, chain, first, units, unsigned},
    trouble::{Trouble, damaged},
};
use l402::TokenId;
use l402_paywall::ledger::{AccountKey, Entry, Handle, Holding, Reservation, ReservationId, Revocations};
use rusqlite::{Connection, params};

/// Open reservations whose deadline has passed. One on an account that is not there cannot be ended and is no reason not
/// to end the others; the audit tells of it.
pub(super) fn overdue(connection: &Connection, now: u64, max: usize) -> Result<Vec<Handle>, Trouble> {
    let sql = "SELECT r.id, a.key, r.caps, r.claim FROM reservation r JOIN account a ON a.id = r.account \
               WHERE r.deadline <= ?1 ORDER BY r.deadline, r.id LIMIT ?2";
    let handles = all(connection, sql, params![capped(now), limit(max)], |row| {
        let (id, caps): (_, Option<String>) = (ReservationId::from_bytes(row.get(0)?), row.get(2)?);
        let claim = row.get(3)?;
        let accounts = chain(connection, account_key(row, 1)?, caps.as_deref())?;
        Ok(accounts.map(|accounts| Handle { id, accounts: accounts.into(), claim }))
    })?;
    Ok(handles.into_iter().flatten().collect())
}

pub(super) fn revoked_since(connection: &Connection, mark: u64) -> Result<Revocations, Trouble> {
    let sql = "SELECT mark, token_id FROM revoked WHERE mark > ?1 ORDER BY mark";
    let mut revocations = Revocations { mark, tokens: Vec::new() };
    revocations.tokens = all(connection, sql, [capped(mark)], |row| {
        revocations.mark = unsigned(row, 0)?;
        Ok(TokenId::from_bytes(row.get(1)?))
    })?;
    Ok(revocations)
}

pub(super) fn holding(connection: &Connection, token_id: TokenId) -> Result<Option<Holding>, Trouble> {
    let transaction = connection.unchecked_transaction()?;
    let sql = account_sql!("WHERE a.token_id = ?1 ORDER BY a.id DESC LIMIT 1");
    let Some((id, key, account)) = first(&transaction, sql, [token_id.as_bytes()], row::account)? else {
        return Ok(None);
    };
    let open = open_of(&transaction, id, key)?;
    let caps = all(&transaction, account_sql!("WHERE a.purchase = ?1 ORDER BY a.id"), [id], |row| {
        let (_, key, account) = row::account(row)?;
        Ok((key, account))
    })?;
    Ok(Some(Holding { account, open, caps }))
}

/// Found by reading through all that are open: an index of them by account would be written with every request, and this
/// is asked seldom.
fn open_of(connection: &Connection, id: i64, key: AccountKey) -> Result<Vec<Reservation>, Trouble> {
    let sql = "SELECT id, caps, claim, units, deadline FROM reservation WHERE account = ?1 ORDER BY id";
    all(connection, sql, [id], |row| {
        let (id, caps): (_, Option<String>) = (ReservationId::from_bytes(row.get(0)?), row.get(1)?);
        let accounts = chain(connection, key, caps.as_deref())?;
        let accounts =
            accounts.ok_or_else(|| damaged(format!("{id:?} draws on an account that is not there")))?;
        let handle = Handle { id, accounts: accounts.into(), claim: row.get(2)? };
        Ok(Reservation { handle, units: units(row, 3)?, deadline: unsigned(row, 4)? })
    })
}

pub(super) fn journal(connection: &Connection, after: u64, max: usize) -> Result<Vec<(u64, Entry)>, Trouble> {
    all(connection, ENTRIES, params![capped(after), limit(max)], |row| row::entry(connection, row))
}

/// Nothing in the file is beyond what a column can hold.
fn capped(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn limit(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX)
}
