//! Settled invoices, and how far the feeds of nodes were followed.

use crate::{failure::Failure, rows::column, session::Session};
use l402::PaymentHash;
use l402_lightning::{MilliSat, Settlement};
use l402_paywall::{FeedPosition, SettlementTotals};
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

/// One step: what it says, in the order in which everybody writes.
pub(crate) struct Record {
    hashes: Vec<[u8; 32]>,
    amounts: Vec<i64>,
    settled_at: Vec<i64>,
    /// Those that were overpaid, and by how much.
    overpaid: Vec<[u8; 32]>,
    excesses: Vec<i64>,
    /// A feed's name and its cursor.
    feed: Option<(String, i64)>,
}

const INSERT: &str = "INSERT INTO settled (payment_hash, amount_msat, settled_at) \
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) ON CONFLICT DO NOTHING RETURNING amount_msat";
/// Whoever asked for one invoice learns that it was settled, and the feed may tell only later that it was overpaid.
const SET_EXCESS: &str = "UPDATE settled SET excess_msat = told.excess_msat \
    FROM unnest($1::bytea[], $2::bigint[]) AS told (payment_hash, excess_msat) \
    WHERE settled.payment_hash = told.payment_hash AND settled.excess_msat = 0 RETURNING settled.excess_msat";
const COUNT: &str = "UPDATE totals SET count = count + $1, amount_msat = amount_msat + $2, \
    overpaid = overpaid + $3, excess_msat = excess_msat + $4";
const ADVANCE: &str = "INSERT INTO feed (name, cursor) VALUES ($1, $2) \
    ON CONFLICT (name) DO UPDATE SET cursor = greatest(feed.cursor, excluded.cursor)";

impl Record {
    pub(crate) fn new(settlements: &[Settlement], feed: Option<FeedPosition<'_>>) -> Result<Self, Failure> {
        let signed = |number| i64::try_from(number).map_err(|_| Failure::Range);
        let mut settlements: Vec<&Settlement> = settlements.iter().collect();
        settlements.sort_by_key(|settlement| *settlement.payment_hash.as_bytes());
        let feed = match feed {
            Some(FeedPosition { feed, cursor }) => Some((feed.to_owned(), signed(cursor)?)),
            None => None,
        };
        let hash = |settlement: &&Settlement| *settlement.payment_hash.as_bytes();
        let amount = |settlement: &&Settlement| signed(settlement.amount.as_msat());
        let excess = |settlement: &&Settlement| signed(settlement.excess().as_msat());
        let time = |settlement: &&Settlement| signed(settlement.settled_at);
        let overpaid: Vec<&Settlement> =
            settlements.iter().filter(|one| one.excess() > MilliSat::ZERO).copied().collect();
        Ok(Self {
            hashes: settlements.iter().map(hash).collect(),
            amounts: settlements.iter().map(amount).collect::<Result<_, _>>()?,
            settled_at: settlements.iter().map(time).collect::<Result<_, _>>()?,
            overpaid: overpaid.iter().map(hash).collect(),
            excesses: overpaid.iter().map(excess).collect::<Result<_, _>>()?,
            feed,
        })
    }

    /// Writes it. Repeated, it changes nothing.
    pub(crate) async fn write(&self, session: &Session) -> Result<(), Failure> {
        let client = &session.client;
        client.batch_execute("BEGIN").await?;
        let hashes: Vec<&[u8]> = self.hashes.iter().map(|hash| &hash[..]).collect();
        let columns: [(&(dyn ToSql + Sync), Type); 3] = [
            (&hashes, Type::BYTEA_ARRAY),
            (&self.amounts, Type::INT8_ARRAY),
            (&self.settled_at, Type::INT8_ARRAY),
        ];
        let fresh = client.query_typed(INSERT, &columns).await?;
        let (count, amount) = sum(&fresh)?;
        let (overpaid, excess) =
            if self.overpaid.is_empty() { (0, 0) } else { sum(&self.set_excess(session).await?)? };
        if count > 0 || overpaid > 0 {
            let news = [&count, &amount, &overpaid, &excess];
            client.execute_typed(COUNT, &news.map(|number| (number as _, Type::INT8))).await?;
        }
        if let Some((name, cursor)) = &self.feed {
            client.execute_typed(ADVANCE, &[(name, Type::TEXT), (cursor, Type::INT8)]).await?;
        }
        Ok(client.batch_execute("COMMIT").await?)
    }

    /// The excesses that were not known before.
    async fn set_excess(&self, session: &Session) -> Result<Vec<Row>, Failure> {
        let hashes: Vec<&[u8]> = self.overpaid.iter().map(|hash| &hash[..]).collect();
        let columns: [(&(dyn ToSql + Sync), Type); 2] =
            [(&hashes, Type::BYTEA_ARRAY), (&self.excesses, Type::INT8_ARRAY)];
        Ok(session.client.query_typed(SET_EXCESS, &columns).await?)
    }
}

/// How many rows, and the sum of their only column.
fn sum(rows: &[Row]) -> Result<(i64, i64), Failure> {
    let count = i64::try_from(rows.len()).map_err(|_| Failure::Range)?;
    let mut sum = 0_i64;
    for row in rows {
        sum = sum.checked_add(column(row, 0)?).ok_or(Failure::Range)?;
    }
    Ok((count, sum))
}

pub(crate) async fn cursor(session: &Session, feed: &str) -> Result<u64, Failure> {
    let find = "SELECT cursor FROM feed WHERE name = $1";
    let found = session.client.query_typed_opt(find, &[(&feed, Type::TEXT)]).await?;
    found.map_or(Ok(0), |row| column::<i64>(&row, 0).map(i64::unsigned_abs))
}

pub(crate) async fn is_settled(session: &Session, payment_hash: PaymentHash) -> Result<bool, Failure> {
    let find = "SELECT 1 FROM settled WHERE payment_hash = $1";
    let hash = &payment_hash.as_bytes()[..];
    Ok(session.client.query_typed_opt(find, &[(&hash, Type::BYTEA)]).await?.is_some())
}

pub(crate) async fn totals(session: &Session) -> Result<SettlementTotals, Failure> {
    let find = "SELECT count, amount_msat, overpaid, excess_msat FROM totals";
    let row = session.client.query_typed_one(find, &[]).await?;
    let number = |index| column::<i64>(&row, index).map(i64::unsigned_abs);
    Ok(SettlementTotals {
        count: number(0)?,
        amount: MilliSat::from_msat(number(1)?),
        overpaid: number(2)?,
        excess: MilliSat::from_msat(number(3)?),
    })
}
