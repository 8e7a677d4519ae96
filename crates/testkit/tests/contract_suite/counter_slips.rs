//! Promises that an adapter on the seller's side can break, and the scenarios that find them.

use crate::{
    assert_found,
    counter::{Adapter, Counter, Kind},
    finds,
};
use l402::PaymentHash;
use l402_lightning::{
    Invoice, InvoiceRequest, InvoiceState, Invoicer as _, InvoicerError, MilliSat, SETTLEMENTS_MAX,
    Settlement,
};
use std::{sync::atomic::Ordering, time::Duration};
use testkit::contract::{NodeFault, run, seller};

/// One broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slip {
    ChangesItsMind,
    IgnoresThePreimage,
    RefusesRepeats,
    ForgetsLostInvoices,
    HandsOutAnyInvoice,
    CutsDescriptions,
    MakesUpAnExpiry,
    RoundsAmounts,
    SaysSettled,
    SaysOpen,
    NeverExpires,
    HandsOutWhatIsClosed,
    CancelsNothing,
    KnowsOnlyItsOwn,
    SaysThatItIsBehind,
    GuessesStates,
    HidesWhatIsWrong,
    ForgetsAtRestart,
    CallsLiesOutages,
    TrustsAnyCertificate,
    ShowsTheCredential,
    AnswersEmpty,
    TellsNewestFirst,
    TakesAllForThePrice,
    IgnoresTheCursor,
    TellsTooMuch,
    TakesAway,
    CountsAnewAfterRestart,
    EndsWithItsLine,
    NumbersRepeats,
    GuessesWhatItMissed,
    InventsSettlements,
}

impl Adapter {
    pub(crate) async fn create_with_slips(&self, asked: InvoiceRequest) -> Result<Invoice, InvoicerError> {
        let mut request = asked.clone();
        match self.service.slip {
            Some(Slip::IgnoresThePreimage) => request.preimage = None,
            Some(Slip::CutsDescriptions) => {
                request.description = asked.description.chars().take(20).collect();
            }
            Some(Slip::MakesUpAnExpiry) => request.expiry_secs = asked.expiry_secs.clamp(1, 86_400),
            Some(Slip::RoundsAmounts) => {
                request.amount = MilliSat::from_sat(asked.amount.sats_rounded_up()).expect("a small amount");
            }
            Some(Slip::RefusesRepeats) => {
                return Ok(Invoice::parse(&self.service.node.create_text(&request).await?)?);
            }
            _ => {}
        }
        let hash = request.preimage.as_ref().map(l402::Preimage::payment_hash);
        match self.service.node.create(request.clone()).await {
            Err(InvoicerError::Unreachable) if self.slips(Slip::ForgetsLostInvoices) => {
                self.service.node.create(InvoiceRequest { preimage: None, ..request }).await
            }
            Err(InvoicerError::Duplicate) if self.slips(Slip::HandsOutAnyInvoice) => {
                let known = hash.and_then(|hash| {
                    self.service.issued.lock().expect("no panic under the lock").get(&hash).cloned()
                });
                known.ok_or(InvoicerError::Duplicate)
            }
            Ok(invoice) if self.slips(Slip::CallsLiesOutages) && is_lie(&invoice, &asked) => {
                Err(InvoicerError::Unreachable)
            }
            answer => answer,
        }
    }

    pub(crate) fn state_with_slips(&self, state: InvoiceState) -> InvoiceState {
        let restarted = self.service.before_restart.load(Ordering::SeqCst) > 0;
        match (self.service.slip, state) {
            (Some(Slip::SaysSettled), InvoiceState::Open) => {
                InvoiceState::Settled { amount: MilliSat::from_msat(10_000) }
            }
            (Some(Slip::SaysOpen), InvoiceState::Unknown)
            | (Some(Slip::NeverExpires), InvoiceState::Expired) => InvoiceState::Open,
            (Some(Slip::ForgetsAtRestart), _) if restarted => InvoiceState::Unknown,
            (_, state) => state,
        }
    }

    pub(crate) async fn settlements_with_slips(&self, cursor: u64) -> Result<Vec<Settlement>, InvoicerError> {
        let service = &self.service;
        if self.slips(Slip::InventsSettlements) && self.fault() == Some(NodeFault::Garble) {
            return Ok(vec![invented()]);
        }
        if self.slips(Slip::EndsWithItsLine) && service.feed_was_cut.load(Ordering::SeqCst) {
            return Err(InvoicerError::Garbled { field: "the stream" });
        }
        let before_restart = service.before_restart.load(Ordering::SeqCst);
        let from = match service.slip {
            Some(Slip::IgnoresTheCursor) => 0,
            Some(Slip::TakesAway) => cursor.max(self.told.load(Ordering::SeqCst)),
            Some(Slip::CountsAnewAfterRestart) => cursor.max(before_restart),
            _ => cursor,
        };
        let waiting = service.node.settlements(from);
        let answer = if matches!(service.slip, Some(Slip::AnswersEmpty | Slip::TakesAway)) {
            tokio::time::timeout(Duration::from_millis(50), waiting).await.unwrap_or(Ok(Vec::new()))
        } else {
            waiting.await
        };
        service.feed_was_cut.fetch_or(answer.is_err(), Ordering::SeqCst);
        let mut told = answer?;
        match service.slip {
            Some(Slip::TellsNewestFirst) => told.reverse(),
            Some(Slip::TakesAllForThePrice) => {
                for one in &mut told {
                    one.invoiced = Some(one.amount);
                }
            }
            Some(Slip::TellsTooMuch) if told.len() == SETTLEMENTS_MAX => {
                told.extend(service.node.settlements(from + SETTLEMENTS_MAX as u64).await?);
            }
            Some(Slip::TakesAway) => {
                self.told.fetch_max(told.last().map_or(0, |last| last.index), Ordering::SeqCst);
            }
            Some(Slip::CountsAnewAfterRestart) => {
                for settlement in &mut told {
                    settlement.index -= before_restart;
                }
            }
            Some(Slip::NumbersRepeats) if self.fault() == Some(NodeFault::FeedDuplicate) => {
                let repeat = |one: Settlement| [one, Settlement { index: one.index + 1, ..one }];
                told = told.into_iter().flat_map(repeat).collect();
            }
            Some(Slip::GuessesWhatItMissed) => {
                let unnoticed = service.unnoticed.lock().expect("no panic under the lock");
                for missed in told.iter_mut().filter(|one| unnoticed.contains(&one.payment_hash)) {
                    missed.amount = MilliSat::from_msat(1);
                }
            }
            _ => {}
        }
        Ok(told)
    }
}

fn is_lie(invoice: &Invoice, asked: &InvoiceRequest) -> bool {
    let right = invoice.amount() == Some(asked.amount)
        && invoice.network() == l402_lightning::Network::Regtest
        && invoice.expiry_secs() == u64::from(asked.expiry_secs)
        && invoice.description().is_some_and(|text| text.as_raw() == asked.description)
        && asked.preimage.as_ref().is_none_or(|preimage| preimage.payment_hash() == invoice.payment_hash());
    !right
}

fn invented() -> Settlement {
    let payment_hash = PaymentHash::from_bytes([9; 32]);
    let amount = MilliSat::from_msat(1);
    Settlement { index: 1, payment_hash, amount, invoiced: None, settled_at: 1_700_000_000 }
}

/// Runs each scenario against a service with each of its slips; every one has to fail.
macro_rules! assert_all_found {
    ($($scenario:ident: $($slip:ident)+;)*) => {
        let tried = [$($({
            let scenario = || run(async { seller::$scenario(&Counter::new(Kind::Rich, Some(Slip::$slip))).await });
            (stringify!($scenario), format!("{:?}", Slip::$slip), finds(scenario))
        }),+),*];
        assert_found(&tried, seller::SCENARIOS);
    };
}

#[test]
fn every_scenario_of_a_seller_finds_a_broken_promise() {
    assert_all_found! {
        the_capabilities_are_constant_and_name_the_network: ChangesItsMind;
        create_gives_the_invoice_that_was_asked_for: IgnoresThePreimage;
        the_same_create_again_gives_the_same_invoice: RefusesRepeats IgnoresThePreimage;
        the_same_create_twice_at_once_makes_one_invoice: RefusesRepeats IgnoresThePreimage;
        create_after_a_lost_answer_makes_no_second_invoice: RefusesRepeats ForgetsLostInvoices;
        create_that_was_dropped_can_be_repeated: RefusesRepeats IgnoresThePreimage;
        another_request_with_a_used_preimage_is_a_duplicate: HandsOutAnyInvoice IgnoresThePreimage;
        a_request_whose_invoice_can_no_longer_be_paid_is_a_duplicate: HandsOutAnyInvoice;
        descriptions_arrive_as_they_were_written: CutsDescriptions;
        requests_beyond_the_node_are_unsupported: MakesUpAnExpiry CutsDescriptions;
        amounts_are_exact_or_unsupported: RoundsAmounts;
        a_preimage_is_taken_or_unsupported: IgnoresThePreimage;
        what_nobody_issued_is_unknown: SaysOpen;
        an_invoice_is_open_until_it_is_settled: SaysSettled;
        an_invoice_expires: NeverExpires;
        an_open_invoice_is_handed_out_until_it_is_closed: HandsOutWhatIsClosed;
        a_withdrawn_invoice_is_cancelled: CancelsNothing;
        a_settled_invoice_cannot_be_withdrawn: CancelsNothing;
        a_new_adapter_knows_what_an_earlier_one_issued: KnowsOnlyItsOwn;
        a_healthy_node_is_probed_well: SaysThatItIsBehind;
        a_node_that_is_down_is_unreachable: GuessesStates;
        a_node_that_hangs_times_out: HidesWhatIsWrong GuessesStates;
        a_locked_node_is_called_locked: HidesWhatIsWrong;
        a_starting_node_is_called_starting: HidesWhatIsWrong;
        answers_that_are_not_in_the_format_are_errors: GuessesStates;
        answers_that_break_off_are_errors: GuessesStates;
        answers_that_are_too_large_are_errors: GuessesStates;
        a_node_that_restarts_goes_on_as_before: ForgetsAtRestart;
        an_invoice_for_another_network_never_passes: CallsLiesOutages;
        an_invoice_for_another_amount_never_passes: CallsLiesOutages;
        an_invoice_with_another_hash_never_passes: CallsLiesOutages;
        an_invoice_with_another_expiry_never_passes: CallsLiesOutages;
        an_invoice_with_another_description_never_passes: CallsLiesOutages;
        a_wrong_credential_is_unauthorized: HidesWhatIsWrong;
        a_missing_permission_is_named: HidesWhatIsWrong;
        a_changed_certificate_is_refused: TrustsAnyCertificate;
        errors_show_no_secret: ShowsTheCredential;
        the_feed_waits_and_then_tells: AnswersEmpty;
        the_feed_tells_each_settlement_in_order: TellsNewestFirst;
        an_overpaid_invoice_is_told_with_its_excess: TakesAllForThePrice;
        the_feed_goes_on_from_its_cursor: IgnoresTheCursor;
        the_feed_tells_of_many_settlements_in_bounded_answers: TellsTooMuch;
        the_feed_loses_nothing_when_it_is_dropped: TakesAway;
        the_feed_survives_a_restart_of_the_node: CountsAnewAfterRestart;
        the_feed_survives_a_cut: EndsWithItsLine;
        notifications_that_come_twice_are_one_settlement: NumbersRepeats;
        notifications_out_of_order_lose_nothing: TellsNewestFirst;
        lost_notifications_are_made_up_for: GuessesWhatItMissed;
        a_garbled_feed_invents_nothing: InventsSettlements;
    }
}
