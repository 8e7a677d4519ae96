//! Whether every unit is where it belongs: everything is read, in one snapshot.

use crate::{
    address::Address,
    failure::Failure,
    rows::{self, column},
    session::Session,
};
use l402_paywall::ledger::{Audit, Breach, Totals};
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::Row;

/// An audit may take this long.
const LIMIT: Duration = Duration::from_hours(1);

/// Whole tables are read here, and joined, which other statements must not do.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; \
    SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on";

const ACCOUNTS: &str = "SELECT count(*) FILTER (WHERE parent IS NULL), count(*) FILTER (WHERE parent IS NOT NULL), \
        (SELECT count(*) FROM reservations), \
        coalesce(sum(credited) FILTER (WHERE parent IS NULL), 0)::text, \
        coalesce(sum(debited) FILTER (WHERE parent IS NULL), 0)::text, \
        coalesce(sum(balance) FILTER (WHERE parent IS NULL), 0)::text, \
        coalesce(sum(reserved) FILTER (WHERE parent IS NULL), 0)::text, \
        coalesce(sum(owed) FILTER (WHERE parent IS NULL), 0)::text \
    FROM accounts";

/// Each account beside what the open reservations and the journal say of it; an account that is not there has nothing.
const MISPLACED: &str = "WITH \
    set_aside AS ( \
        SELECT substring(accounts FROM 32 * i + 1 FOR 32) AS key, sum(units) AS units \
        FROM reservations CROSS JOIN LATERAL generate_series(0, length(accounts) / 32 - 1) AS i GROUP BY 1), \
    charged AS ( \
        SELECT substring(accounts FROM 32 * i + 1 FOR 32) AS key, sum(charged) AS units \
        FROM journal CROSS JOIN LATERAL generate_series(0, length(accounts) / 32 - 1) AS i \
        WHERE reservation IS NOT NULL GROUP BY 1), \
    booked AS ( \
        SELECT coalesce(cap, substring(accounts FOR 32)) AS key, sum(credited) AS credited, sum(owed) AS owed \
        FROM journal GROUP BY 1), \
    beside AS ( \
        SELECT key, \
            a.credited::numeric <> a.debited::numeric + a.balance + a.reserved + a.owed AS unbalanced, \
            coalesce(a.reserved, 0) <> coalesce(s.units, 0) AS reserved, \
            coalesce(a.credited, 0) <> coalesce(b.credited, 0) AS credited, \
            coalesce(a.debited, 0) <> coalesce(c.units, 0) AS debited, \
            coalesce(a.owed, 0) <> coalesce(b.owed, 0) AS owed \
        FROM accounts a FULL JOIN set_aside s USING (key) FULL JOIN charged c USING (key) FULL JOIN booked b USING (key)) \
    SELECT key, coalesce(unbalanced, false), reserved, credited, debited, owed FROM beside \
    WHERE unbalanced OR reserved OR credited OR debited OR owed ORDER BY key LIMIT 100";

const ORPHANS: &str = "SELECT id FROM reservations WHERE EXISTS ( \
        SELECT FROM generate_series(0, length(accounts) / 32 - 1) AS i \
        WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.key = substring(reservations.accounts FROM 32 * i + 1 FOR 32))) \
    ORDER BY id LIMIT 100";

/// Over a connection of its own, so that nobody waits for it.
pub(crate) async fn audit(address: &Address) -> Result<Audit, Failure> {
    let session = Session::open(address).await?;
    let slow = |_| Failure::Lost("the audit takes longer than an hour".to_owned());
    timeout(LIMIT, read(&session)).await.map_err(slow)?
}

async fn read(session: &Session) -> Result<Audit, Failure> {
    let client = &session.client;
    client.batch_execute(BEGIN).await?;
    let sums = client.query_typed_one(ACCOUNTS, &[]).await?;
    let misplaced = client.query_typed(MISPLACED, &[]).await?;
    let orphans = client.query_typed(ORPHANS, &[]).await?;
    client.batch_execute("COMMIT").await?;
    let mut breaches = Vec::new();
    for row in &misplaced {
        let key = rows::account_key(column(row, 0)?)?;
        let kinds = [Breach::Unbalanced, Breach::Reserved, Breach::Credited, Breach::Debited, Breach::Owed];
        for (index, breach) in kinds.into_iter().enumerate() {
            if column(row, index + 1)? {
                breaches.push(breach(key));
            }
        }
    }
    for row in &orphans {
        breaches.push(Breach::Orphan(rows::reservation_id(column(row, 0)?)?));
    }
    breaches.truncate(Audit::BREACHES_MAX);
    let count = |index| column::<i64>(&sums, index).map(i64::unsigned_abs);
    Ok(Audit {
        purchases: count(0)?,
        caps: count(1)?,
        open: count(2)?,
        totals: Totals {
            credited: wide(&sums, 3)?,
            debited: wide(&sums, 4)?,
            balance: wide(&sums, 5)?,
            reserved: wide(&sums, 6)?,
            owed: wide(&sums, 7)?,
        },
        breaches,
    })
}

/// A sum that may not fit an integer of the database.
fn wide(row: &Row, index: usize) -> Result<u128, Failure> {
    let digits: &str = column(row, index)?;
    digits.parse().map_err(|_| Failure::Damaged("a sum of accounts is negative".to_owned()))
}
