//! Promises that an adapter on the buyer's side can break, and the scenarios that find them.

use crate::{
    assert_found, finds,
    wallet::{Adapter, Wallet},
};
use l402::{PaymentHash, Preimage};
use l402_lightning::{
    FailureReason, Invoice, MilliSat, NotSent, Paid, PayError, Payer as _, PaymentState, UnknownCause,
};
use std::sync::atomic::Ordering;
use testkit::contract::{buyer, run};

/// One broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slip {
    KeepsThePreimage,
    NamesAnotherAmount,
    PaysAgain,
    CallsPaidUnpaid,
    ForgetsWhatOthersPaid,
    KnowsWhatNeverWas,
    CallsUnknownFailed,
    CallsInFlightFailed,
    IgnoresTheFeeLimit,
    CallsFailuresUnknown,
    InventsPreimages,
    OpensForAnybody,
    ShowsTheCredential,
}

impl Adapter {
    pub(crate) async fn paid_with_slips(
        &self,
        invoice: &Invoice,
        answer: Result<Paid, PayError>,
    ) -> Result<Paid, PayError> {
        match (self.service.slip, answer) {
            (Some(Slip::NamesAnotherAmount), Ok(paid)) => {
                Ok(Paid { amount: MilliSat::from_msat(paid.amount.as_msat() + 1), ..paid })
            }
            (Some(Slip::PaysAgain), Err(PayError::AlreadyKnown)) => {
                self.service.again.fetch_add(1, Ordering::SeqCst);
                match self.lookup(invoice.payment_hash()).await? {
                    PaymentState::Succeeded(paid) => Ok(paid),
                    _ => Err(PayError::AlreadyKnown),
                }
            }
            (Some(Slip::CallsPaidUnpaid), Err(PayError::AlreadyKnown)) => {
                Err(PayError::Failed(FailureReason::Other))
            }
            (Some(Slip::CallsUnknownFailed), Err(PayError::OutcomeUnknown(cause))) => Err(match cause {
                UnknownCause::Cut => PayError::NotSent(NotSent::Unreachable),
                _ => PayError::Failed(FailureReason::Timeout),
            }),
            (Some(Slip::CallsFailuresUnknown), Err(error)) if error.nothing_paid() => {
                Err(PayError::OutcomeUnknown(UnknownCause::WalletFailed))
            }
            (Some(Slip::InventsPreimages), Err(PayError::OutcomeUnknown(_))) => Ok(Paid {
                preimage: Preimage::from_bytes([0; 32]),
                amount: invoice.amount().unwrap_or_default(),
                fee: MilliSat::ZERO,
            }),
            (_, answer) => answer,
        }
    }

    pub(crate) fn state_with_slips(
        &self,
        payment_hash: PaymentHash,
        state: Result<PaymentState, PayError>,
    ) -> Result<PaymentState, PayError> {
        match (self.service.slip, state) {
            (Some(Slip::ForgetsWhatOthersPaid), Ok(_)) if !self.is_own(payment_hash) => {
                Ok(PaymentState::Unknown)
            }
            (Some(Slip::KnowsWhatNeverWas), Ok(PaymentState::Unknown)) => Ok(PaymentState::InFlight),
            (Some(Slip::CallsInFlightFailed), Ok(PaymentState::InFlight)) => {
                Ok(PaymentState::Failed(FailureReason::Timeout))
            }
            (_, state) => state,
        }
    }
}

/// Runs each scenario against a service with each of its slips; every one has to fail.
macro_rules! assert_all_found {
    ($($scenario:ident: $($slip:ident)+;)*) => {
        let tried = [$($({
            let scenario = || run(async { buyer::$scenario(&Wallet::new(Some(Slip::$slip))).await });
            (stringify!($scenario), format!("{:?}", Slip::$slip), finds(scenario))
        }),+),*];
        assert_found(&tried, buyer::SCENARIOS);
    };
}

#[test]
fn every_scenario_of_a_buyer_finds_a_broken_promise() {
    assert_all_found! {
        the_wallet_can_do_what_a_purchase_needs: KeepsThePreimage;
        a_payment_gives_the_preimage_of_the_hash: NamesAnotherAmount;
        a_payment_is_made_once: PaysAgain CallsPaidUnpaid;
        a_payment_asked_for_twice_at_once_is_made_once: PaysAgain CallsPaidUnpaid;
        a_payment_that_was_made_is_known_to_a_new_adapter: ForgetsWhatOthersPaid;
        a_payment_that_was_never_made_is_unknown: KnowsWhatNeverWas;
        a_payment_in_flight_outlives_its_time_limit: CallsUnknownFailed CallsInFlightFailed PaysAgain;
        a_payment_in_flight_outlives_its_caller: CallsInFlightFailed PaysAgain;
        a_payment_whose_answer_is_lost_is_found_by_its_hash: CallsUnknownFailed PaysAgain ForgetsWhatOthersPaid;
        a_payment_that_was_dropped_is_made_at_most_once: PaysAgain CallsPaidUnpaid;
        a_fee_above_the_limit_is_not_paid: IgnoresTheFeeLimit CallsFailuresUnknown;
        without_a_route_nothing_is_paid: CallsFailuresUnknown;
        without_money_nothing_is_paid: CallsFailuresUnknown;
        an_expired_invoice_is_not_paid: CallsFailuresUnknown;
        an_invoice_for_another_network_is_not_paid: CallsFailuresUnknown;
        an_invoice_without_an_amount_is_not_paid: CallsFailuresUnknown;
        a_wallet_that_is_down_was_not_asked: CallsFailuresUnknown;
        a_locked_wallet_pays_nothing: CallsFailuresUnknown;
        a_wallet_that_hangs_leaves_the_outcome_unknown: CallsUnknownFailed InventsPreimages;
        an_answer_that_is_not_in_the_format_leaves_the_outcome_unknown: CallsUnknownFailed InventsPreimages;
        an_answer_that_breaks_off_leaves_the_outcome_unknown: CallsUnknownFailed InventsPreimages;
        an_answer_that_is_too_large_leaves_the_outcome_unknown: CallsUnknownFailed InventsPreimages;
        a_success_without_a_preimage_is_no_success: CallsUnknownFailed InventsPreimages;
        another_preimage_is_seen: CallsUnknownFailed PaysAgain;
        a_wrong_credential_pays_nothing: OpensForAnybody;
        a_missing_permission_to_pay_is_named: OpensForAnybody;
        a_changed_certificate_pays_nothing: OpensForAnybody;
        errors_show_no_secret: ShowsTheCredential;
    }
}
