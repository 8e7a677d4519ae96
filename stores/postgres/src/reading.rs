//! Questions about balances, and the sweep of what has passed its time.

use crate::{
    failure::Failure,
    rows::{self, column},
    session::Session,
};
use l402::TokenId;
use l402_paywall::ledger::{Entry, Handle, Holding, Revocations};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_postgres::types::Type;

/// Expired claims that one sweep forgets.
const CLAIMS_MAX: i64 = 1_000;

/// Up to which line the journal is known to be complete. Gateways number their lines before they commit them, so a line
/// may become visible after later ones; nobody is to read past one that is still to come.
#[derive(Default)]
pub(crate) struct Horizon(AtomicU64);

/// A thousand of the claims that have expired; what is left is found again.
pub(crate) async fn forget_claims(session: &Session, now: u64) -> Result<(), Failure> {
    let forget = "DELETE FROM claims WHERE key IN \
                      (SELECT key FROM claims WHERE is_answered AND expires_at <= $1 LIMIT $2) \
                  AND is_answered AND expires_at <= $1";
    let now = rows::seconds(now);
    session.client.execute_typed(forget, &[(&now, Type::INT8), (&CLAIMS_MAX, Type::INT8)]).await?;
    Ok(())
}

/// Open reservations that are overdue.
pub(crate) async fn overdue(session: &Session, until: u64, max: usize) -> Result<Vec<Handle>, Failure> {
    let until = rows::seconds(until);
    let find = format!(
        "SELECT {} FROM reservations WHERE deadline <= $1 ORDER BY deadline, id LIMIT $2",
        rows::RESERVATION
    );
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let found = session.client.query_typed(&find, &[(&until, Type::INT8), (&max, Type::INT8)]).await?;
    found.iter().map(|row| rows::reservation(row).map(|reservation| reservation.handle)).collect()
}

pub(crate) async fn revoked_since(session: &Session, mark: u64) -> Result<Revocations, Failure> {
    let find = "SELECT mark, token_id FROM tokens WHERE mark > $1 ORDER BY mark";
    let after = i64::try_from(mark).unwrap_or(i64::MAX);
    let found = session.client.query_typed(find, &[(&after, Type::INT8)]).await?;
    let mut revocations = Revocations { mark, tokens: Vec::with_capacity(found.len()) };
    for row in &found {
        revocations.mark = column::<i64>(row, 0)?.unsigned_abs();
        revocations.tokens.push(rows::token_id(column(row, 1)?)?);
    }
    Ok(revocations)
}

pub(crate) async fn holding(session: &Session, token_id: TokenId) -> Result<Option<Holding>, Failure> {
    session.client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let holding = holding_in_snapshot(session, token_id).await?;
    session.client.batch_execute("COMMIT").await?;
    Ok(holding)
}

async fn holding_in_snapshot(session: &Session, token_id: TokenId) -> Result<Option<Holding>, Failure> {
    let client = &session.client;
    let find = format!(
        "SELECT {} FROM accounts WHERE key = (SELECT account FROM tokens WHERE token_id = $1)",
        rows::ACCOUNT
    );
    let found = client.query_typed_opt(&find, &[(&&token_id.as_bytes()[..], Type::BYTEA)]).await?;
    let Some((key, account)) = found.map(|row| rows::account(&row)).transpose()? else { return Ok(None) };
    let key = &key.as_bytes()[..];
    let open = format!(
        "SELECT {} FROM reservations WHERE substring(accounts FOR 32) = $1 ORDER BY id",
        rows::RESERVATION
    );
    let open = client.query_typed(&open, &[(&key, Type::BYTEA)]).await?;
    let caps = format!("SELECT {} FROM accounts WHERE parent = $1 ORDER BY key", rows::ACCOUNT);
    let caps = client.query_typed(&caps, &[(&key, Type::BYTEA)]).await?;
    Ok(Some(Holding {
        account,
        open: open.iter().map(rows::reservation).collect::<Result<_, _>>()?,
        caps: caps.iter().map(rows::account).collect::<Result<_, _>>()?,
    }))
}

pub(crate) async fn journal(
    session: &Session,
    horizon: &Horizon,
    lock: i64,
    after: u64,
    max: usize,
) -> Result<Vec<(u64, Entry)>, Failure> {
    let known = lines(session, horizon.0.load(Ordering::Relaxed), after, max).await?;
    if known.len() == max {
        return Ok(known);
    }
    // Whoever writes lines holds this lock shared until its commit: once it is had, no line is under way.
    let look = format!("BEGIN; SELECT pg_advisory_xact_lock({lock})");
    session.client.batch_execute(&look).await?;
    let last = session.client.query_typed_one("SELECT coalesce(max(line), 0) FROM journal", &[]).await?;
    session.client.batch_execute("COMMIT").await?;
    let last = column::<i64>(&last, 0)?.unsigned_abs();
    horizon.0.fetch_max(last, Ordering::Relaxed);
    lines(session, last, after, max).await
}

/// Lines behind `after`, up to `last`.
async fn lines(session: &Session, last: u64, after: u64, max: usize) -> Result<Vec<(u64, Entry)>, Failure> {
    if after >= last {
        return Ok(Vec::new());
    }
    let find =
        format!("SELECT {} FROM journal WHERE line > $1 AND line <= $2 ORDER BY line LIMIT $3", rows::ENTRY);
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let last = i64::try_from(last).unwrap_or(i64::MAX);
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&after, Type::INT8), (&last, Type::INT8), (&max, Type::INT8)];
    let found = session.client.query_typed(&find, &parameters).await?;
    found.iter().map(rows::entry).collect()
}
