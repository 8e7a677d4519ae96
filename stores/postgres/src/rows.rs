//! Rows as the ledger's types, and back.

use crate::failure::Failure;
use bytes::Bytes;
use l402::{Name, TokenId};
use l402_paywall::ledger::{
    Account, AccountKey, ClaimRecord, ClaimState, EndedBy, Ending, Entry, EntryKind, Handle, Owner,
    Reservation, ReservationId, TokenRecord, Units,
};
use std::{fmt, sync::Arc};
use tokio_postgres::{
    Row,
    types::{FromSql, IsNull, ToSql, Type, private::BytesMut, to_sql_checked},
};

/// `journal.kind`
pub(crate) mod kind {
    pub(crate) const CREDITED: i16 = 1;
    pub(crate) const CAP_OPENED: i16 = 2;
    pub(crate) const SETTLED: i16 = 3;
    pub(crate) const RELEASED: i16 = 4;
    pub(crate) const EXPIRED: i16 = 5;
    pub(crate) const REVOKED: i16 = 6;
}

/// Answers that are kept for whoever asks again. They are somebody's, so no log of statements shows them.
#[derive(Default)]
pub(crate) struct Answers<'a>(pub(crate) Vec<Option<&'a [u8]>>);

/// Columns of `accounts`, in the order of [`account`].
pub(crate) const ACCOUNT: &str =
    "key, token_id, service, parent, credited, debited, balance, reserved, owed, is_revoked";
/// Columns of `reservations`, in the order of [`reservation`].
pub(crate) const RESERVATION: &str = "id, accounts, claim, units, deadline";
/// Columns of `journal`, in the order of [`entry`].
pub(crate) const ENTRY: &str =
    "line, at, kind, accounts, credited, reserved, charged, overrun, owed, reservation, claim, cap";

pub(crate) fn account(row: &Row) -> Result<(AccountKey, Account), Failure> {
    let parent: Option<&[u8]> = column(row, 3)?;
    let owner = match parent {
        Some(parent) => Owner::Cap(account_key(parent)?),
        None => Owner::Purchase {
            token_id: token_id(column(row, 1)?)?,
            service: Name::try_from(column::<&str>(row, 2)?).map_err(|_| damaged("a service"))?,
        },
    };
    let account = Account {
        owner,
        credited: units(row, 4)?,
        debited: units(row, 5)?,
        balance: units(row, 6)?,
        reserved: units(row, 7)?,
        owed: units(row, 8)?,
        is_revoked: column(row, 9)?,
    };
    Ok((account_key(column(row, 0)?)?, account))
}

pub(crate) fn reservation(row: &Row) -> Result<Reservation, Failure> {
    let id = reservation_id(column(row, 0)?)?;
    let (accounts, claim) = (chain(column(row, 1)?)?, key_or_none(column(row, 2)?)?);
    Ok(Reservation {
        handle: Handle { id, accounts, claim },
        units: units(row, 3)?,
        deadline: column::<i64>(row, 4)?.unsigned_abs(),
    })
}

/// From `reservation, kind, reserved, charged, overrun`.
pub(crate) fn ending(row: &Row) -> Result<(ReservationId, Ending), Failure> {
    let by = ended_by(column(row, 1)?).ok_or_else(|| damaged("a kind of line"))?;
    let (reserved, charged, overrun) = (units(row, 2)?, units(row, 3)?, units(row, 4)?);
    Ok((reservation_id(column(row, 0)?)?, Ending { by, reserved, charged, overrun }))
}

/// From `token_id, account, revoked_at`.
pub(crate) fn token(row: &Row) -> Result<(TokenId, TokenRecord), Failure> {
    let account = column::<Option<&[u8]>>(row, 1)?.map(account_key).transpose()?;
    let revoked_at = column::<Option<i64>>(row, 2)?.map(i64::unsigned_abs);
    Ok((token_id(column(row, 0)?)?, TokenRecord { revoked_at, account }))
}

/// From `key, reservation, request, expires_at, is_answered, answer`.
pub(crate) fn claim(row: &Row) -> Result<([u8; 32], ClaimRecord), Failure> {
    let answer = column::<Option<&[u8]>>(row, 5)?.map(Bytes::copy_from_slice);
    let is_answered: bool = column(row, 4)?;
    let record = ClaimRecord {
        reservation: reservation_id(column(row, 1)?)?,
        request: array(column(row, 2)?)?,
        expires_at: column::<i64>(row, 3)?.unsigned_abs(),
        state: if is_answered { ClaimState::Answered(answer) } else { ClaimState::InFlight },
    };
    Ok((array(column(row, 0)?)?, record))
}

pub(crate) fn entry(row: &Row) -> Result<(u64, Entry), Failure> {
    let accounts = chain(column(row, 3)?)?;
    let account = *accounts.first().ok_or_else(|| damaged("a line's accounts"))?;
    let number: i16 = column(row, 2)?;
    let kind = match (number, ended_by(number)) {
        (kind::CREDITED, _) => EntryKind::Credited,
        (kind::CAP_OPENED, _) => EntryKind::CapOpened(account_key(column(row, 11)?)?),
        (kind::REVOKED, _) => EntryKind::Revoked,
        (_, Some(by)) => {
            let (id, claim) = (reservation_id(column(row, 9)?)?, key_or_none(column(row, 10)?)?);
            EntryKind::Ended { handle: Handle { id, accounts, claim }, by }
        }
        _ => return Err(damaged("a kind of line")),
    };
    let entry = Entry {
        at: column::<i64>(row, 1)?.unsigned_abs(),
        kind,
        account,
        credited: units(row, 4)?,
        reserved: units(row, 5)?,
        charged: units(row, 6)?,
        overrun: units(row, 7)?,
        owed: units(row, 8)?,
    };
    Ok((column::<i64>(row, 0)?.unsigned_abs(), entry))
}

/// The keys of a chain of accounts, one after the other.
pub(crate) fn chain_bytes(accounts: &[AccountKey]) -> Vec<u8> {
    accounts.iter().flat_map(AccountKey::as_bytes).copied().collect()
}

/// Times that no row can hold are later than any clock will ever say.
pub(crate) fn seconds(at: u64) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

pub(crate) fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, Failure> {
    row.try_get(index).map_err(|error| Failure::Damaged(format!("a row is not as it was written: {error}")))
}

pub(crate) fn account_key(bytes: &[u8]) -> Result<AccountKey, Failure> {
    array(bytes).map(AccountKey::from_bytes)
}

pub(crate) fn token_id(bytes: &[u8]) -> Result<TokenId, Failure> {
    array(bytes).map(TokenId::from_bytes)
}

pub(crate) fn reservation_id(bytes: &[u8]) -> Result<ReservationId, Failure> {
    array(bytes).map(ReservationId::from_bytes)
}

fn key_or_none(bytes: Option<&[u8]>) -> Result<Option<[u8; 32]>, Failure> {
    bytes.map(array).transpose()
}

fn chain(bytes: &[u8]) -> Result<Arc<[AccountKey]>, Failure> {
    bytes.chunks(32).map(account_key).collect()
}

fn ended_by(number: i16) -> Option<EndedBy> {
    match number {
        kind::SETTLED => Some(EndedBy::Settle),
        kind::RELEASED => Some(EndedBy::Release),
        kind::EXPIRED => Some(EndedBy::Expire),
        _ => None,
    }
}

fn units(row: &Row, index: usize) -> Result<Units, Failure> {
    Units::from_signed(column(row, index)?).ok_or_else(|| damaged("a number of units"))
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Failure> {
    bytes.try_into().map_err(|_| damaged("a key"))
}

fn damaged(what: &str) -> Failure {
    Failure::Damaged(format!("{what} is not as it was written"))
}

impl fmt::Debug for Answers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answers", self.0.len())
    }
}

impl ToSql for Answers<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.0.to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        <Vec<Option<&[u8]>> as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}
