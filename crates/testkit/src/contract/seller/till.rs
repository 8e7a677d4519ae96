//! What a gateway makes of a settlement feed: each settlement once, and a cursor to go on with.

use super::shop::Shop;
use crate::contract::{SellerRig, wait::within};
use l402::PaymentHash;
use l402_lightning::{
    CLOCK_SKEW_SECS_MAX, Invoice, Invoicer, InvoicerError, MilliSat, SETTLEMENTS_MAX, Settlement,
    SettlementFeed,
};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// How often the feed may break before it has told what it has to.
const BREAKS_MAX: usize = 20;
/// The pause after a break, so that a feed which breaks at once is not asked in a loop.
const BREAK_PAUSE: Duration = Duration::from_millis(100);

/// Reads a feed and holds every answer against what was really settled.
pub(super) struct Till {
    invoicer: Arc<dyn Invoicer>,
    /// What was sold, with what was received for it, whether or not it has been reported yet.
    sold: HashMap<PaymentHash, MilliSat>,
    seen: HashMap<PaymentHash, Settlement>,
    pub(super) cursor: u64,
    opened_at: u64,
    breaks_left: usize,
}

impl Till {
    /// A till that has seen nothing.
    pub(super) fn new<R: SellerRig>(shop: &Shop<'_, R>) -> Self {
        Self {
            invoicer: Arc::clone(&shop.invoicer),
            sold: HashMap::new(),
            seen: HashMap::new(),
            cursor: 0,
            opened_at: shop.rig.now(),
            breaks_left: 0,
        }
    }

    /// From here on the feed may break, and is asked again.
    pub(super) fn forgive_breaks(&mut self) {
        self.breaks_left = BREAKS_MAX;
    }

    /// Goes on with another adapter, from where it stands.
    pub(super) fn go_on_with(&mut self, invoicer: Arc<dyn Invoicer>) {
        self.invoicer = invoicer;
    }

    /// Starts from the beginning, as after a restart of a node whose cursors do not outlive it.
    pub(super) fn begin_anew(&mut self) {
        self.cursor = 0;
        self.seen.clear();
    }

    /// Reads until each of these was reported. What was settled and is not among them may be reported, too, where it
    /// was [`sold`](Self::sold).
    pub(super) async fn read(&mut self, wanted: &[&Invoice], rig: &impl SellerRig) {
        self.sold(wanted);
        while wanted.iter().any(|invoice| !self.seen.contains_key(&invoice.payment_hash())) {
            let answer = within("settlements", self.invoicer.settlements(self.cursor)).await;
            self.take(answer, rig.now()).await;
        }
    }

    /// What may be reported: invoices that were settled as they asked.
    pub(super) fn sold(&mut self, invoices: &[&Invoice]) {
        for invoice in invoices {
            self.sold.entry(invoice.payment_hash()).or_insert_with(|| invoice.amount().unwrap_or_default());
        }
    }

    /// One that was settled with so much.
    pub(super) fn sold_for(&mut self, invoice: &Invoice, amount: MilliSat) {
        self.sold.insert(invoice.payment_hash(), amount);
    }

    /// What was reported of an invoice.
    pub(super) fn told_of(&self, invoice: &Invoice) -> Settlement {
        self.seen[&invoice.payment_hash()]
    }

    /// Takes one answer of the feed.
    pub(super) async fn take(&mut self, answer: Result<Vec<Settlement>, InvoicerError>, now: u64) {
        let settlements = match answer {
            Ok(settlements) => settlements,
            Err(InvoicerError::Unreachable | InvoicerError::Timeout) if self.breaks_left > 0 => {
                self.breaks_left -= 1;
                tokio::time::sleep(BREAK_PAUSE).await;
                return;
            }
            Err(error) => panic!("settlements has to tell what was settled: {error:?}"),
        };
        assert!(!settlements.is_empty(), "settlements has to wait for the first one");
        assert!(settlements.len() <= SETTLEMENTS_MAX, "at most {SETTLEMENTS_MAX} settlements in an answer");
        let rising = settlements.is_sorted_by_key(|settlement| settlement.index);
        assert!(rising, "an answer's settlements have to be oldest first: {settlements:?}");
        for settlement in &settlements {
            self.take_one(settlement, now);
        }
        self.cursor = settlements.last().map_or(self.cursor, |last| last.index);
    }

    fn take_one(&mut self, settlement: &Settlement, now: u64) {
        let Some(received) = self.sold.get(&settlement.payment_hash) else {
            panic!("the feed must not invent: {settlement:?}")
        };
        assert_eq!(settlement.amount, *received, "the amount has to be what was received");
        let times = self.opened_at.saturating_sub(CLOCK_SKEW_SECS_MAX)..=now + CLOCK_SKEW_SECS_MAX;
        assert!(
            times.contains(&settlement.settled_at),
            "the time has to be that of the payment: {settlement:?}"
        );
        if let Some(before) = self.seen.get(&settlement.payment_hash) {
            assert_eq!(before.index, settlement.index, "a repeated report has to keep its place");
            return;
        }
        let taken = self.seen.values().any(|seen| seen.index == settlement.index);
        assert!(settlement.index > 0 && !taken, "each settlement has a place of its own: {settlement:?}");
        if self.invoicer.capabilities().settlement_feed == SettlementFeed::Resumable {
            let highest = self.seen.values().map(|seen| seen.index).max().unwrap_or(0);
            assert!(settlement.index > highest, "places have to rise beyond {highest}: {settlement:?}");
        }
        self.seen.insert(settlement.payment_hash, *settlement);
    }
}
