//! The ledger's rows: loaded as steps need them, written once at the end of their transaction, and kept for the next one as
//! long as nobody else has written in between.

use crate::{
    changes,
    row::{self, account_sql, cap_ids, first, key_of, units, unsigned},
    trouble::{Trouble, damaged, signed},
};
use l402::TokenId;
use l402_paywall::ledger::{
    Account, AccountKey, Book, Effect, Handle, Needs, Operation, Owner, Reservation, ReservationId,
    TokenRecord,
};
use rusqlite::{Connection, Row};
use std::collections::HashMap;

/// Rows that are kept at most, some hundred bytes each; then all are forgotten and loaded anew.
const ROWS_MAX: usize = 65_536;

#[derive(Default)]
pub(super) struct Sheet {
    book: Book,
    /// What <https://sqlite.org/pragma.html#pragma_data_version> was: another number means that another connection wrote.
    version: i64,
    /// Accounts that are in the file, by name and by id.
    ids: HashMap<AccountKey, i64>,
    keys: HashMap<i64, AccountKey>,
    /// Those of them that are purchases.
    by_token: HashMap<TokenId, AccountKey>,
}

impl Sheet {
    /// What can be relied on in the transaction that has just begun.
    pub(super) fn carry_on(self, connection: &Connection) -> Result<Self, Trouble> {
        let version = first(connection, "PRAGMA data_version", [], |row| Ok(row.get(0)?))?;
        let version = version.ok_or_else(|| damaged("it has no version"))?;
        let is_current = version == self.version && self.book.rows() <= ROWS_MAX;
        Ok(if is_current { self } else { Self { version, ..Self::default() } })
    }

    /// Does one step. When it is refused, nothing of it has happened.
    pub(super) fn step(
        &mut self,
        connection: &Connection,
        operation: &Operation,
        at: u64,
    ) -> Result<Effect, Trouble> {
        check_times(operation, at)?;
        let missing = self.book.missing(&operation.needs());
        self.load(connection, missing)?;
        Ok(self.book.apply(operation, at)?)
    }

    /// Writes down what the steps have changed. What is kept may be relied on once the transaction is committed.
    pub(super) fn write(&mut self, connection: &Connection) -> Result<(), Trouble> {
        let changes = self.book.take_changes();
        changes::write(connection, &changes, &mut self.ids)?;
        self.book.forget_ended(&changes);
        Ok(())
    }

    fn load(&mut self, connection: &Connection, missing: Needs) -> Result<(), Trouble> {
        for key in missing.accounts {
            let found = first(connection, account_sql!("WHERE a.key = ?1"), [key.as_bytes()], row::account)?;
            self.put(key, found)?;
        }
        if let Some(token_id) = missing.token {
            self.load_token(connection, token_id)?;
        }
        if let Some(id) = missing.reservation {
            self.load_reservation(connection, id)?;
        }
        if let Some(key) = missing.claim {
            let sql =
                "SELECT reservation, request, expires_at, is_answered, answer FROM claim WHERE key = ?1";
            self.book.load_claim(key, first(connection, sql, [key], row::claim)?);
        }
        Ok(())
    }

    fn put(&mut self, key: AccountKey, found: Option<(i64, AccountKey, Account)>) -> Result<(), Trouble> {
        let Some((id, _, account)) = found else {
            self.book.load_account(key, None);
            return Ok(());
        };
        // What is wrong already must not be made worse; and writing it would be refused, with all that is written with it.
        if !account.is_balanced() {
            return Err(damaged(format!("{key:?} does not add up")));
        }
        if let Owner::Purchase { token_id, .. } = &account.owner {
            self.by_token.insert(*token_id, key);
        }
        self.ids.insert(key, id);
        self.keys.insert(id, key);
        self.book.load_account(key, Some(account));
        Ok(())
    }

    fn load_token(&mut self, connection: &Connection, token_id: TokenId) -> Result<(), Trouble> {
        let name = [token_id.as_bytes()];
        if !self.by_token.contains_key(&token_id) {
            let sql = account_sql!("WHERE a.token_id = ?1 ORDER BY a.id DESC LIMIT 1");
            if let Some(found) = first(connection, sql, name, row::account)? {
                self.put(found.1, Some(found))?;
            }
        }
        let sql = "SELECT at FROM revoked WHERE token_id = ?1";
        let revoked_at = first(connection, sql, name, |row| unsigned(row, 0))?;
        let account = self.by_token.get(&token_id).copied();
        self.book.load_token(token_id, TokenRecord { revoked_at, account });
        Ok(())
    }

    fn load_reservation(&mut self, connection: &Connection, id: ReservationId) -> Result<(), Trouble> {
        let sql = "SELECT account, caps, units, deadline, claim FROM reservation WHERE id = ?1";
        let open = first(connection, sql, [id.as_bytes()], |row| self.reservation(connection, id, row))?;
        let mut ended = None;
        if open.is_none() {
            let sql = "SELECT kind, reserved, charged, overrun FROM journal WHERE reservation = ?1";
            ended = first(connection, sql, [id.as_bytes()], row::ending)?;
        }
        self.book.load_reservation(id, open, ended);
        Ok(())
    }

    fn reservation(
        &self,
        connection: &Connection,
        id: ReservationId,
        row: &Row<'_>,
    ) -> Result<Reservation, Trouble> {
        let caps: Option<String> = row.get(1)?;
        let mut accounts = Vec::with_capacity(1);
        for account in std::iter::once(row.get(0)?).chain(cap_ids(caps.as_deref())?) {
            // Almost always loaded with the step's other rows.
            let key = match self.keys.get(&account) {
                Some(key) => Some(*key),
                None => key_of(connection, account)?,
            };
            accounts
                .push(key.ok_or_else(|| damaged(format!("{id:?} draws on an account that is not there")))?);
        }
        let handle = Handle { id, accounts: accounts.into(), claim: row.get(4)? };
        Ok(Reservation { handle, units: units(row, 2)?, deadline: unsigned(row, 3)? })
    }
}

/// Times that no column could hold are refused before anything has changed.
fn check_times(operation: &Operation, at: u64) -> Result<(), Trouble> {
    signed(at)?;
    match operation {
        Operation::Reserve(reserve) => {
            signed(reserve.deadline)?;
            if let Some(claim) = &reserve.claim {
                signed(claim.expires_at)?;
            }
        }
        Operation::Extend { deadline, .. } => {
            signed(*deadline)?;
        }
        Operation::Credit(_)
        | Operation::Settle { .. }
        | Operation::Release(_)
        | Operation::Expire { .. }
        | Operation::Revoke(_) => {}
    }
    Ok(())
}
