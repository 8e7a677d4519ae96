//! Settlements, each written down once.

use crate::trouble::{Trouble, signed};
use l402_lightning::Settlement;
use l402_paywall::StoreError;
use rusqlite::{Connection, Transaction, params};

/// One step of a feed, or one fact.
pub(super) struct Record {
    pub(super) settlements: Vec<Settlement>,
    /// A feed's name and its cursor.
    pub(super) feed: Option<(String, u64)>,
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
    let (mut count, mut amount) = (0_i64, 0_i64);
    let mut insert = connection.prepare_cached(
        "INSERT INTO settled (payment_hash, amount_msat, settled_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    for settlement in &record.settlements {
        let (msat, settled_at) = (signed(settlement.amount.as_msat())?, signed(settlement.settled_at)?);
        if insert.execute(params![settlement.payment_hash.as_bytes(), msat, settled_at])? == 1 {
            count += 1;
            amount = sum(amount, msat)?;
        }
    }
    if count > 0 {
        add_to_totals(connection, count, amount)?;
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

fn add_to_totals(connection: &Connection, count: i64, amount: i64) -> Result<(), Trouble> {
    let mut totals = connection.prepare_cached("SELECT count, amount_msat FROM totals")?;
    let (counted, before): (i64, i64) = totals.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut update = connection.prepare_cached("UPDATE totals SET count = ?1, amount_msat = ?2")?;
    update.execute(params![sum(counted, count)?, sum(before, amount)?])?;
    Ok(())
}

fn sum(one: i64, other: i64) -> Result<i64, Trouble> {
    one.checked_add(other).ok_or(Trouble::Refused(StoreError::Range))
}
