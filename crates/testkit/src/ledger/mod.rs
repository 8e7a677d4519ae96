//! What every ledger of metered tokens has to keep, as scenarios that run over all of them.
//!
//! A store's tests give a rig, and [`ledger_contract!`](crate::ledger_contract) makes one test of each scenario, each
//! with a fresh rig, and one that plays random histories against a model which knows nothing of the state machine:
//!
//! ```text
//! async fn rig() -> MyRig { .. }
//! testkit::ledger_contract!(rig);
//! ```
//!
//! Every scenario ends with a crash, and with all units where they belong.

#![expect(clippy::panic, reason = "a promise that is not kept ends the scenario")]

mod budget;
mod claim;
mod credit;
mod deadline;
mod ending;
mod history;
mod journal;
mod model;
mod reserve;
mod revoke;
mod rows;
mod teller;

pub use budget::*;
pub use claim::*;
pub use credit::*;
pub use deadline::*;
pub use ending::*;
pub use history::random_histories_agree_with_the_model;
pub use journal::*;
pub use reserve::*;
pub use revoke::*;
pub use rows::Rows;

use l402_lightning::BoxFuture;
use l402_paywall::ledger::Ledger;
use std::sync::Arc;

/// A ledger under test; one fresh and empty ledger per rig.
pub trait LedgerRig: Send + Sync {
    /// The ledger as this gateway has it open, numbered from 0. Where only one gateway can have it open, every number
    /// gives that one. The suite keeps none across a [`reopen`](Self::reopen).
    fn ledger(&self, gateway: usize) -> Arc<dyn Ledger>;

    /// Every gateway dies without a word and opens the ledger again. Whatever was acknowledged is still there.
    /// Nothing to do for a ledger that lives in memory.
    fn reopen(&self) -> BoxFuture<'_, ()>;
}

/// Makes one test of each scenario of [`ledger`](crate::ledger), and one of random histories, in a module
/// `ledger_contract`. Takes the name of an `async fn() -> impl LedgerRig`.
#[macro_export]
macro_rules! ledger_contract {
    ($rig:ident) => {
        $crate::ledger_scenarios! { ledger_tests $rig }
    };
}

/// One test of each scenario in a list.
#[doc(hidden)]
#[macro_export]
macro_rules! ledger_tests {
    ($rig:ident [$($scenario:ident)*]) => {
        mod ledger_contract {
            use super::$rig;
            $(
                #[test]
                fn $scenario() {
                    $crate::contract::run(async {
                        let rig = $rig().await;
                        $crate::ledger::$scenario(&rig).await;
                    });
                }
            )*

            #[test]
            fn random_histories_agree_with_the_model() {
                $crate::ledger::random_histories_agree_with_the_model($rig);
            }
        }
    };
}

/// Hands the list of scenarios on to a macro of this crate.
#[doc(hidden)]
#[macro_export]
macro_rules! ledger_scenarios {
    ($then:ident $($first:tt)*) => {
        $crate::$then! { $($first)* [
            a_token_that_nobody_paid_leaves_no_row
            a_purchase_is_credited_once
            presentations_at_once_credit_once
            a_reservation_books_its_purchase
            a_later_pack_size_changes_nothing_that_was_bought
            what_is_reserved_cannot_be_spent_twice
            a_reservation_is_made_once
            a_reservation_asked_for_many_times_at_once_is_made_once
            a_name_that_is_taken_is_a_conflict
            too_few_units_leave_everything_as_it_was
            a_thousand_reservations_at_once_spend_exactly_the_balance
            a_request_may_cost_nothing
            an_extension_is_made_once
            an_extension_beyond_the_balance_changes_nothing
            steps_of_an_unknown_reservation_change_nothing
            a_settlement_charges_once
            a_release_gives_back_once
            an_expiry_ends_a_reservation_once_by_its_rule
            the_first_ending_counts
            of_endings_at_once_one_counts
            more_than_is_reserved_is_an_overrun
            a_copy_spends_from_the_same_balance_within_its_budget
            copies_of_copies_stay_within_every_budget
            siblings_have_budgets_of_their_own
            a_budget_above_the_balance_is_limited_by_the_balance
            a_refused_reservation_opens_no_budget
            every_ending_reaches_every_budget
            copies_at_once_spend_exactly_their_budget
            a_claimed_request_in_flight_is_not_made_again
            an_answered_request_is_answered_again
            another_request_under_the_same_claim_differs
            an_expired_claim_can_be_made_anew
            a_released_request_frees_its_claim
            a_refused_request_makes_no_claim
            of_equal_requests_at_once_one_is_made
            a_revoked_token_is_owed_its_balance
            what_a_revoked_token_has_open_still_ends
            nothing_more_is_reserved_for_a_revoked_token
            a_token_that_was_never_seen_can_be_revoked
            revocations_are_told_from_a_mark
            overdue_reservations_are_told_oldest_first
            a_deadline_only_moves_later
            what_has_ended_is_never_overdue
            claims_in_flight_outlive_the_sweep
            the_journal_tells_what_changed_for_good_in_order
            the_journal_can_be_read_in_parts
            running_sums_end_at_the_totals
            the_largest_units_do_not_overflow
        ] }
    };
}

crate::ledger_scenarios! { contract_names }

#[cfg(test)]
mod tests {
    use super::SCENARIOS;
    use std::{collections::BTreeSet, fs, path::Path};

    #[test]
    fn every_scenario_is_in_its_list() {
        let mut written = BTreeSet::new();
        for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ledger")).unwrap() {
            let source = fs::read_to_string(file.unwrap().path()).unwrap();
            let functions = source.lines().filter_map(|line| line.strip_prefix("pub async fn "));
            written.extend(functions.filter_map(|rest| Some(rest.split_once('(')?.0.to_owned())));
        }
        let listed: BTreeSet<_> = SCENARIOS.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(written, listed);
        assert_eq!(listed.len(), SCENARIOS.len(), "no scenario twice");
    }
}
