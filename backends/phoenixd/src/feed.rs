//! What was received, in the order of time, from phoenixd's records.
//!
//! `GET /payments/incoming` lists received payments newest first, between two times. A settlement's place is made of the
//! millisecond at which it was completed and of its payment hash, so it is the same at every reading and two payments of
//! one millisecond have two places.
//!
//! A clock that was set back gives a new payment an earlier time than one that was told already. So every reading begins
//! a little before its cursor, and the feed remembers what it has told of that time.

use crate::{api::Api, refusal::Refusal};
use l402::PaymentHash;
use l402_lightning::{InvoicerError, MilliSat, SETTLEMENTS_MAX, Settlement};
use l402_node_http::{Fault, Fields};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Bits of a place that the payment hash fills; the milliseconds above them last until the year 2248 in an `i64`.
const HASH_BITS: u32 = 20;
const MILLIS_MAX: u64 = (1 << 43) - 1;
/// How far before its cursor a reading begins, in milliseconds.
const OVERLAP_MILLIS: u64 = 2_000;
/// Most records of one answer: one more than are told at once, to see whether there are more.
const RECORDS_MAX: usize = SETTLEMENTS_MAX + 1;

/// The feed of one adapter.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    told: Mutex<Told>,
}

/// What was told last.
#[derive(Debug, Default)]
struct Told {
    /// The last place that was handed out.
    cursor: u64,
    /// What was told, or lay before it, and when it was completed, as far back as a reading begins.
    hashes: HashMap<PaymentHash, u64>,
}

/// A received payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Received {
    millis: u64,
    settlement: Settlement,
}

/// All that was received in a stretch of time.
struct Stretch {
    received: Vec<Received>,
    /// Its last millisecond; `None`: now.
    end: Option<u64>,
}

impl Feed {
    /// What settled after `cursor`, oldest first; empty if nothing has.
    pub(crate) async fn after(&self, api: &Api, cursor: u64) -> Result<Vec<Settlement>, InvoicerError> {
        // Another cursor than the last one handed out: what lies before it was told to somebody, by whomever.
        let mut told = self.recall(cursor);
        let trusting = told.is_none();
        let mut hashes = told.take().unwrap_or_default();
        let mut from = (cursor >> HASH_BITS).saturating_sub(OVERLAP_MILLIS);
        loop {
            let stretch = Stretch::read(api, from).await?;
            let is_new = |one: &&Received| {
                let before = one.settlement.index <= cursor;
                !before || !(trusting || hashes.contains_key(&one.settlement.payment_hash))
            };
            let mut news: Vec<Received> = stretch.received.iter().filter(is_new).copied().collect();
            news.sort_by_key(|one| one.settlement.index);
            news.truncate(SETTLEMENTS_MAX);
            let last = news.last().map_or(cursor, |one| one.settlement.index);
            hashes.extend(
                stretch
                    .received
                    .iter()
                    .filter(|one| one.settlement.index <= last)
                    .map(|one| (one.settlement.payment_hash, one.millis)),
            );
            match stretch.end {
                Some(end) if news.is_empty() => from = end + 1,
                _ => {
                    self.remember(last, hashes);
                    return Ok(news.into_iter().map(|one| one.settlement).collect());
                }
            }
        }
    }

    fn recall(&self, cursor: u64) -> Option<HashMap<PaymentHash, u64>> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        (told.cursor == cursor).then(|| told.hashes.clone())
    }

    fn remember(&self, cursor: u64, mut hashes: HashMap<PaymentHash, u64>) {
        let begin = (cursor >> HASH_BITS).saturating_sub(OVERLAP_MILLIS);
        hashes.retain(|_, millis| *millis >= begin);
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Told { cursor, hashes };
    }
}

impl Stretch {
    /// The longest stretch from `from` on that is known to hold no more than can be told at once. phoenixd lists the
    /// newest first, so the oldest are found by halving the time.
    async fn read(api: &Api, from: u64) -> Result<Self, Refusal> {
        let received = list(api, from, None).await?;
        if received.len() < RECORDS_MAX {
            return Ok(Self { received, end: None });
        }
        let mut low = from;
        let mut high = received.iter().map(|one| one.millis).max().unwrap_or(from);
        while low < high {
            let middle = low + (high - low) / 2;
            let received = list(api, low, Some(middle)).await?;
            match received.len() {
                0 => low = middle + 1,
                1..RECORDS_MAX => return Ok(Self { received, end: Some(middle) }),
                _ => high = middle,
            }
        }
        // So many in one millisecond is more than channels can carry.
        Err(Fault::Garbled("completedAt").into())
    }
}

/// What was received between two milliseconds, both included, as much as fits into an answer.
async fn list(api: &Api, from: u64, to: Option<u64>) -> Result<Vec<Received>, Refusal> {
    let to_field = to.map(|to| format!("&to={to}")).unwrap_or_default();
    let path = format!("payments/incoming?from={from}&limit={RECORDS_MAX}&offset=0{to_field}");
    let records = api.list(&path).await?;
    if records.len() > RECORDS_MAX {
        return Err(Fault::Garbled("the number of payments").into());
    }
    let between = from..=to.unwrap_or(MILLIS_MAX);
    let mut received = Vec::with_capacity(records.len());
    for record in &records {
        let one = Received::read(record)?;
        if !between.contains(&one.millis) {
            return Err(Fault::Garbled("completedAt").into());
        }
        received.push(one);
    }
    Ok(received)
}

impl Received {
    fn read(record: &Fields) -> Result<Self, Fault> {
        if !record.flag("isPaid")? {
            return Err(Fault::Garbled("isPaid"));
        }
        let millis = record.number("completedAt")?;
        if millis > MILLIS_MAX {
            return Err(Fault::Garbled("completedAt"));
        }
        let payment_hash = record.payment_hash("paymentHash")?;
        let settlement = Settlement {
            index: place(millis, payment_hash),
            payment_hash,
            amount: received(record)?,
            invoiced: requested(record)?,
            settled_at: millis / 1_000,
        };
        Ok(Self { millis, settlement })
    }
}

/// What a record says was received: whole satoshis, after what phoenixd kept of the payment for new liquidity. So it can
/// be less than the invoice asked for, though its payer paid it all.
pub(crate) fn received(record: &Fields) -> Result<MilliSat, Fault> {
    MilliSat::from_sat(record.number("receivedSat")?).ok_or(Fault::Garbled("receivedSat"))
}

/// What the invoice asked for; `None` if it left that to its payer. What phoenixd kept of the payment hides as much of an
/// excess.
fn requested(record: &Fields) -> Result<Option<MilliSat>, Fault> {
    let garbled = Fault::Garbled("requestedSat");
    record
        .get("requestedSat")
        .map(|_| MilliSat::from_sat(record.number("requestedSat")?).ok_or(garbled))
        .transpose()
}

fn place(millis: u64, payment_hash: PaymentHash) -> u64 {
    let [first, second, third, ..] = *payment_hash.as_bytes();
    let bits = u64::from(u32::from_be_bytes([0, first, second, third])) >> (24 - HASH_BITS);
    millis << HASH_BITS | bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_later_millisecond_is_a_later_place_whatever_the_hash() {
        let (least, most) = (PaymentHash::from_bytes([0; 32]), PaymentHash::from_bytes([0xff; 32]));
        assert!(place(1, most) < place(2, least));
        assert!(place(1, least) < place(1, most));
        assert_eq!(place(MILLIS_MAX, most), u64::MAX >> 1);
        assert_eq!(place(7, most) >> HASH_BITS, 7);
    }

    #[test]
    fn what_was_asked_for_is_read_where_the_daemon_says_it() {
        let hash = PaymentHash::from_bytes([7; 32]).to_string();
        let mut record =
            json!({ "isPaid": true, "completedAt": 1_000, "paymentHash": hash, "receivedSat": 12 });
        let read = |record: &Value| Received::read(&Fields::of(record.clone()).unwrap());
        let told =
            |record: &Value| read(record).map(|one| (one.settlement.invoiced, one.settlement.excess()));
        assert_eq!(told(&record), Ok((None, MilliSat::ZERO)));
        record["requestedSat"] = Value::Null;
        assert_eq!(told(&record), Ok((None, MilliSat::ZERO)));
        record["requestedSat"] = 10.into();
        assert_eq!(told(&record), Ok((MilliSat::from_sat(10), MilliSat::from_msat(2_000))));
        for wrong in [json!(-1), json!("ten"), json!(u64::MAX)] {
            record["requestedSat"] = wrong;
            assert_eq!(told(&record), Err(Fault::Garbled("requestedSat")));
        }
    }

    #[test]
    fn only_one_stretch_back_is_remembered() {
        let feed = Feed::default();
        let (old, new) = (PaymentHash::from_bytes([1; 32]), PaymentHash::from_bytes([2; 32]));
        let cursor = place(10_000, new);
        feed.remember(cursor, HashMap::from([(old, 7_999), (new, 10_000)]));
        assert_eq!(feed.recall(cursor), Some(HashMap::from([(new, 10_000)])));
        assert_eq!(feed.recall(cursor + 1), None);
    }
}
