//! Settlements, each written down once.

use crate::trouble::{Trouble, signed};
use l402::PaymentHash;
use l402_lightning::{MilliSat, Settlement};
use l402_paywall::{SettlementTotals, StoreError};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

/// One step of a feed, or one fact.
pub(super) struct Record {
    pub(super) settlements: Vec<Settlement>,
    /// A feed's name and its cursor.
    pub(super) feed: Option<(String, u64)>,
}

/// The row of `totals`, or what is added to it.
#[derive(Default)]
struct Totals {
    count: i64,
    amount: i64,
    overpaid: i64,
    excess: i64,
}

/// Writes it whole or not at all.
pub(super) fn record(transaction: &mut Transaction<'_>, record: &Record) -> Result<(), Trouble> {
    let savepoint = transaction.savepoint()?;
    match write(&savepoint, record) {
        Ok(()) => savepoint.commit()?,
        Err(Trouble::Refused(error)) => {
            savepoint.finish()?; // rolls back
            return Err(Trouble::Refused(error));
        }
        Err(trouble) => return Err(trouble),
    }
    Ok(())
}

fn write(connection: &Connection, record: &Record) -> Result<(), Trouble> {
    let mut news = Totals::default();
    let mut insert = connection.prepare_cached(
        "INSERT INTO settled (payment_hash, amount_msat, settled_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    for settlement in &record.settlements {
        let (msat, settled_at) = (signed(settlement.amount.as_msat())?, signed(settlement.settled_at)?);
        let hash = settlement.payment_hash.as_bytes();
        if insert.execute(params![hash, msat, settled_at])? == 1 {
            news.count += 1;
            news.amount = sum(news.amount, msat)?;
        }
        let excess = signed(settlement.excess().as_msat())?;
        if excess > 0 && set_excess(connection, hash, excess)? {
            news.overpaid += 1;
            news.excess = sum(news.excess, excess)?;
        }
    }
    if news.count > 0 || news.overpaid > 0 {
        add_to_totals(connection, &news)?;
    }
    if let Some((name, cursor)) = &record.feed {
        let mut advance = connection.prepare_cached(
            "INSERT INTO feed (name, cursor) VALUES (?1, ?2) \
             ON CONFLICT (name) DO UPDATE SET cursor = max(cursor, excluded.cursor)",
        )?;
        advance.execute(params![name, signed(*cursor)?])?;
    }
    Ok(())
}

/// Says whether it was not known before: whoever asked for one invoice learns that it was settled, and the feed may tell
/// only later that it was overpaid.
fn set_excess(connection: &Connection, hash: &[u8; 32], excess: i64) -> Result<bool, Trouble> {
    let mut update = connection
        .prepare_cached("UPDATE settled SET excess_msat = ?2 WHERE payment_hash = ?1 AND excess_msat = 0")?;
    Ok(update.execute(params![hash, excess])? == 1)
}

fn add_to_totals(connection: &Connection, news: &Totals) -> Result<(), Trouble> {
    let before = read_totals(connection)?;
    let mut update = connection
        .prepare_cached("UPDATE totals SET count = ?1, amount_msat = ?2, overpaid = ?3, excess_msat = ?4")?;
    update.execute(params![
        sum(before.count, news.count)?,
        sum(before.amount, news.amount)?,
        sum(before.overpaid, news.overpaid)?,
        sum(before.excess, news.excess)?
    ])?;
    Ok(())
}

fn read_totals(connection: &Connection) -> Result<Totals, Trouble> {
    let mut statement =
        connection.prepare_cached("SELECT count, amount_msat, overpaid, excess_msat FROM totals")?;
    Ok(statement.query_row([], |row| {
        let (count, amount, overpaid, excess) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(Totals { count, amount, overpaid, excess })
    })?)
}

pub(super) fn cursor(connection: &Connection, feed: &str) -> Result<u64, Trouble> {
    let mut statement = connection.prepare_cached("SELECT cursor FROM feed WHERE name = ?1")?;
    let cursor: Option<i64> = statement.query_row([feed], |row| row.get(0)).optional()?;
    Ok(cursor.map_or(0, i64::unsigned_abs))
}

pub(super) fn is_settled(connection: &Connection, payment_hash: PaymentHash) -> Result<bool, Trouble> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM settled WHERE payment_hash = ?1")?;
    Ok(statement.exists(params![payment_hash.as_bytes()])?)
}

pub(super) fn totals(connection: &Connection) -> Result<SettlementTotals, Trouble> {
    let totals = read_totals(connection)?;
    let amount = |msat: i64| MilliSat::from_msat(msat.unsigned_abs());
    Ok(SettlementTotals {
        count: totals.count.unsigned_abs(),
        amount: amount(totals.amount),
        overpaid: totals.overpaid.unsigned_abs(),
        excess: amount(totals.excess),
    })
}

fn sum(one: i64, other: i64) -> Result<i64, Trouble> {
    one.checked_add(other).ok_or(Trouble::Refused(StoreError::Range))
}
