//! What the node remembers: the newest unpaid invoices, and every payment.

use crate::{FailureReason, InvoiceState, MilliSat, SETTLEMENTS_MAX, Settlement};
use l402::{PaymentHash, Preimage};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Unpaid invoices that are remembered; the oldest is forgotten first. About 0.5 KiB each.
pub const OPEN_INVOICES_MAX: usize = 4_096;

/// Payments that are remembered, and so can be made. About 0.7 KiB each.
pub const PAYMENTS_MAX: usize = 250_000;

/// Failed payments that are remembered; the oldest is forgotten first.
const FAILURES_MAX: usize = 1_024;

/// What the node's wallet starts with: ten bitcoin, for a node that costs nothing.
pub const WALLET_START: MilliSat = MilliSat::from_msat(1_000_000_000_000);

/// One payment that was made.
#[derive(Clone, Debug)]
pub struct PaymentRecord {
    /// Its place in the order of payments, from 1.
    pub index: u64,
    /// The hash that was paid.
    pub payment_hash: PaymentHash,
    /// What the payer learned.
    pub preimage: Preimage,
    /// What was received.
    pub amount: MilliSat,
    /// What the invoice asked for; see [`Knobs::set_surplus`](super::Knobs::set_surplus).
    pub invoiced: MilliSat,
    /// What it cost on top.
    pub fee: MilliSat,
    /// When it began, in unix seconds.
    pub created_at: u64,
    /// When it was done, in unix seconds.
    pub settled_at: u64,
    /// The invoice that was paid.
    pub invoice: Box<str>,
    /// How often the wallet was asked to pay this hash. More than once is a caller that pays blindly.
    pub attempts: u32,
}

/// The node's memory. Every method takes the lock once and never waits while holding it.
pub(super) struct Ledger {
    records: Mutex<Records>,
    /// The number of payments made, for those who wait for the next one.
    settled: watch::Sender<u64>,
}

/// What lies under the lock.
struct Records {
    open: HashMap<PaymentHash, OpenInvoice>,
    open_order: VecDeque<PaymentHash>,
    added: u64,
    in_flight: HashMap<PaymentHash, PaymentRecord>,
    payments: Vec<PaymentRecord>,
    by_hash: HashMap<PaymentHash, usize>,
    failures: HashMap<PaymentHash, FailedPayment>,
    failure_order: VecDeque<PaymentHash>,
    balance: MilliSat,
}

/// An unpaid invoice. Everything else about it is in its text.
struct OpenInvoice {
    text: Box<str>,
    expires_at: u64,
    add_index: u64,
    cancelled: bool,
}

/// A payment that failed.
#[derive(Clone, Debug)]
pub(super) struct FailedPayment {
    pub(super) payment_hash: PaymentHash,
    pub(super) amount: MilliSat,
    pub(super) reason: FailureReason,
    pub(super) created_at: u64,
    pub(super) invoice: Box<str>,
}

/// What is known about a payment.
#[derive(Clone, Debug)]
pub(super) enum PaymentEntry {
    Unknown,
    InFlight(PaymentRecord),
    Succeeded(PaymentRecord),
    Failed(FailedPayment),
}

/// What is known about an invoice.
#[derive(Clone, Debug)]
pub(super) struct InvoiceEntry {
    pub(super) text: Box<str>,
    pub(super) state: InvoiceState,
    /// Its place in the order of invoices; 0 once that is forgotten.
    pub(super) add_index: u64,
    pub(super) payment: Option<PaymentRecord>,
}

/// Why a payment does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoBeginning {
    /// It was made before.
    AlreadyPaid,
    /// It is being made.
    InTransition,
    /// It failed, and is remembered as failed.
    Failed(FailureReason),
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            records: Mutex::new(Records {
                open: HashMap::new(),
                open_order: VecDeque::new(),
                added: 0,
                in_flight: HashMap::new(),
                payments: Vec::new(),
                by_hash: HashMap::new(),
                failures: HashMap::new(),
                failure_order: VecDeque::new(),
                balance: WALLET_START,
            }),
            settled: watch::Sender::new(0),
        }
    }

    /// Remembers a new invoice and returns its number; `None` if its payment hash is taken.
    pub(super) fn add_invoice(&self, hash: PaymentHash, text: &str, expires_at: u64) -> Option<u64> {
        let text: Box<str> = text.into();
        let mut records = self.lock();
        let records = &mut *records;
        if records.open.contains_key(&hash) || records.paying(hash) {
            return None;
        }
        records.added += 1;
        if records.open_order.len() >= OPEN_INVOICES_MAX
            && let Some(oldest) = records.open_order.pop_front()
        {
            records.open.remove(&oldest);
        }
        records.open_order.push_back(hash);
        records
            .open
            .insert(hash, OpenInvoice { text, expires_at, add_index: records.added, cancelled: false });
        debug_assert!(
            records.open.len() == records.open_order.len() && records.open.len() <= OPEN_INVOICES_MAX
        );
        Some(records.added)
    }

    /// What is known about an invoice at `now`; `None` if nothing is.
    pub(super) fn invoice(&self, hash: PaymentHash, now: u64) -> Option<InvoiceEntry> {
        let records = self.lock();
        let open = records.open.get(&hash);
        let add_index = open.map_or(0, |open| open.add_index);
        if let Some(payment) = records.payment(hash) {
            let state = InvoiceState::Settled { amount: payment.amount };
            let payment = payment.clone();
            return Some(InvoiceEntry {
                text: payment.invoice.clone(),
                state,
                add_index,
                payment: Some(payment),
            });
        }
        let open = open?;
        let expired = now >= open.expires_at && !records.in_flight.contains_key(&hash);
        let state = match (open.cancelled, expired) {
            (true, _) => InvoiceState::Cancelled,
            (false, true) => InvoiceState::Expired,
            (false, false) => InvoiceState::Open,
        };
        Some(InvoiceEntry { text: open.text.clone(), state, add_index, payment: None })
    }

    /// Withdraws an invoice; `false` if it is paid or being paid.
    pub(super) fn cancel(&self, hash: PaymentHash) -> bool {
        let mut records = self.lock();
        if records.paying(hash) {
            return false;
        }
        if let Some(open) = records.open.get_mut(&hash) {
            open.cancelled = true;
        }
        true
    }

    /// Begins a payment: from here on it is in flight, and whatever it costs has left the wallet.
    /// The wallet keeps `reserve`.
    pub(super) fn begin(&self, record: PaymentRecord, reserve: MilliSat) -> Result<(), NoBeginning> {
        let mut records = self.lock();
        let hash = record.payment_hash;
        if let Some(payment) = records.payment_mut(hash) {
            payment.attempts = payment.attempts.saturating_add(1);
            return Err(NoBeginning::AlreadyPaid);
        }
        if let Some(payment) = records.in_flight.get_mut(&hash) {
            payment.attempts = payment.attempts.saturating_add(1);
            return Err(NoBeginning::InTransition);
        }
        if records.open.get(&hash).is_some_and(|open| open.cancelled) {
            return Err(records.fail(&record, FailureReason::IncorrectPaymentDetails));
        }
        let cost = record.amount.checked_add(record.fee);
        let Some(balance) =
            cost.and_then(|cost| records.balance.checked_sub(cost)).filter(|balance| *balance >= reserve)
        else {
            return Err(records.fail(&record, FailureReason::InsufficientBalance));
        };
        if records.payments.len() + records.in_flight.len() >= PAYMENTS_MAX {
            return Err(records.fail(&record, FailureReason::Other));
        }
        records.balance = balance;
        records.failures.remove(&hash);
        records.in_flight.insert(hash, record);
        Ok(())
    }

    /// Remembers a payment that failed before it began, unless the hash was paid or is being paid.
    pub(super) fn fail(&self, record: &PaymentRecord, reason: FailureReason) -> NoBeginning {
        let mut records = self.lock();
        if records.payment(record.payment_hash).is_some() {
            return NoBeginning::AlreadyPaid;
        }
        if records.in_flight.contains_key(&record.payment_hash) {
            return NoBeginning::InTransition;
        }
        records.fail(record, reason)
    }

    /// Ends a payment in flight: it has succeeded. Gives the payment, also if it had ended before.
    pub(super) fn commit(&self, hash: PaymentHash, now: u64) -> Option<PaymentRecord> {
        let mut records = self.lock();
        if let Some(record) = records.in_flight.remove(&hash) {
            self.settled.send_replace(records.settle(record, now));
        }
        records.payment(hash).cloned()
    }

    /// Ends every payment in flight: they have succeeded, those first that began first.
    pub(super) fn commit_all(&self, now: u64) {
        let mut records = self.lock();
        let mut ended: Vec<_> = records.in_flight.drain().map(|(_, record)| record).collect();
        ended.sort_by_key(|record| record.created_at);
        for record in ended {
            self.settled.send_replace(records.settle(record, now));
        }
    }

    /// What is known about a payment.
    pub(super) fn entry(&self, hash: PaymentHash) -> PaymentEntry {
        let records = self.lock();
        if let Some(payment) = records.payment(hash) {
            PaymentEntry::Succeeded(payment.clone())
        } else if let Some(payment) = records.in_flight.get(&hash) {
            PaymentEntry::InFlight(payment.clone())
        } else if let Some(failed) = records.failures.get(&hash) {
            PaymentEntry::Failed(failed.clone())
        } else {
            PaymentEntry::Unknown
        }
    }

    /// A payment that was made.
    pub(super) fn payment(&self, hash: PaymentHash) -> Option<PaymentRecord> {
        self.lock().payment(hash).cloned()
    }

    /// Payments in their order, from the one after the first `skip`, at most `count`.
    pub(super) fn payments(&self, skip: usize, count: usize) -> Vec<PaymentRecord> {
        self.lock().payments.iter().skip(skip).take(count).cloned().collect()
    }

    /// How many payments were made.
    pub(super) fn payment_count(&self) -> usize {
        self.lock().payments.len()
    }

    /// Settlements after a cursor, oldest first, at most [`SETTLEMENTS_MAX`].
    pub(super) fn settlements(&self, cursor: u64) -> Vec<Settlement> {
        let skip = usize::try_from(cursor).unwrap_or(usize::MAX);
        let records = self.lock();
        let settlement = |record: &PaymentRecord| Settlement {
            index: record.index,
            payment_hash: record.payment_hash,
            amount: record.amount,
            invoiced: Some(record.invoiced),
            settled_at: record.settled_at,
        };
        records.payments.iter().skip(skip).take(SETTLEMENTS_MAX).map(settlement).collect()
    }

    /// Told of each payment made from now on.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.settled.subscribe()
    }

    pub(super) fn balance(&self) -> MilliSat {
        self.lock().balance
    }

    pub(super) fn open_invoices(&self) -> usize {
        self.lock().open.len()
    }

    pub(super) fn issued_invoices(&self) -> u64 {
        self.lock().added
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        // No method panics between two assignments that belong together.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records {
    fn payment(&self, hash: PaymentHash) -> Option<&PaymentRecord> {
        self.payments.get(*self.by_hash.get(&hash)?)
    }

    fn payment_mut(&mut self, hash: PaymentHash) -> Option<&mut PaymentRecord> {
        self.payments.get_mut(*self.by_hash.get(&hash)?)
    }

    fn paying(&self, hash: PaymentHash) -> bool {
        self.by_hash.contains_key(&hash) || self.in_flight.contains_key(&hash)
    }

    /// Adds a payment that has ended and returns its number.
    fn settle(&mut self, mut record: PaymentRecord, now: u64) -> u64 {
        record.settled_at = now;
        let place = self.payments.len();
        record.index = place as u64 + 1;
        let index = record.index;
        self.by_hash.insert(record.payment_hash, place);
        self.payments.push(record);
        debug_assert_eq!(self.by_hash.len(), self.payments.len());
        index
    }

    fn fail(&mut self, record: &PaymentRecord, reason: FailureReason) -> NoBeginning {
        let failed = FailedPayment {
            payment_hash: record.payment_hash,
            amount: record.amount,
            reason,
            created_at: record.created_at,
            invoice: record.invoice.clone(),
        };
        if self.failures.insert(record.payment_hash, failed).is_none() {
            self.failure_order.push_back(record.payment_hash);
        }
        if self.failure_order.len() > FAILURES_MAX
            && let Some(oldest) = self.failure_order.pop_front()
        {
            self.failures.remove(&oldest);
        }
        NoBeginning::Failed(reason)
    }
}
