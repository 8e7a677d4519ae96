//! Which scenario finds which mistake.

use crate::{slips::Slip, store::Drawer};
use std::collections::BTreeSet;
use testkit::{
    contract::run,
    ledger::{self, SCENARIOS},
};

/// Runs each scenario against a store that makes each of its mistakes; every one has to fail.
macro_rules! tried {
    ($($scenario:ident: $($slip:ident)+;)*) => {
        [$($({
            let scenario = || run(async { ledger::$scenario(&Drawer::new(Some(Slip::$slip))).await });
            (stringify!($scenario), Slip::$slip, std::panic::catch_unwind(scenario).is_err())
        }),+),*]
    };
}

#[test]
fn every_scenario_finds_a_mistake_and_every_mistake_is_found() {
    let tried = tried! {
        a_token_that_nobody_paid_leaves_no_row: KnowsEverybody;
        a_purchase_is_credited_once: CreditsTwice TellsEverybodyItWasThem TellsOnlyThePurchase LosesTheLastStep;
        presentations_at_once_credit_once: CreditsTwice TellsEverybodyItWasThem;
        a_reservation_books_its_purchase: CreditsTwice TellsEverybodyItWasThem;
        a_later_pack_size_changes_nothing_that_was_bought: TakesTheNewPack ReservesWithoutChecking;
        what_is_reserved_cannot_be_spent_twice: ReservesWithoutChecking;
        a_reservation_is_made_once: ReservesTwice ForgetsEndings LosesTheLastStep;
        a_reservation_asked_for_many_times_at_once_is_made_once: ReservesTwice;
        a_name_that_is_taken_is_a_conflict: IgnoresConflicts;
        too_few_units_leave_everything_as_it_was: ReservesWithoutChecking InventsEndings;
        a_thousand_reservations_at_once_spend_exactly_the_balance: ReservesWithoutChecking;
        a_request_may_cost_nothing: ReservesNothingForNothing;
        an_extension_is_made_once: ExtendsTwice LosesTheLastStep;
        an_extension_beyond_the_balance_changes_nothing: ExtendsTwice MovesRefusedDeadlines;
        steps_of_an_unknown_reservation_change_nothing: InventsEndings;
        a_settlement_charges_once: SettlesTwice KeepsTheRest ForgetsEndings KeepsEndedOpen LosesTheLastStep;
        a_release_gives_back_once: ReleasesTwice KeepsTheRest ForgetsEndings KeepsEndedOpen;
        an_expiry_ends_a_reservation_once_by_its_rule: AlwaysReleasesTheAbandoned KeepsTheRest KeepsEndedOpen;
        the_first_ending_counts: SettlesTwice ReleasesTwice ForgetsEndings TellsEverybodyItWasThem;
        of_endings_at_once_one_counts: SettlesTwice ReleasesTwice TellsEverybodyItWasThem;
        more_than_is_reserved_is_an_overrun: ChargesTheOverrun JournalForgetsOverruns;
        a_copy_spends_from_the_same_balance_within_its_budget: IgnoresBudgets TellsOnlyThePurchase;
        copies_of_copies_stay_within_every_budget: IgnoresBudgets SharesBudgetsOfSiblings;
        siblings_have_budgets_of_their_own: SharesBudgetsOfSiblings;
        a_budget_above_the_balance_is_limited_by_the_balance: IgnoresBudgets;
        a_refused_reservation_opens_no_budget: OpensRefusedBudgets;
        every_ending_reaches_every_budget: ForgetsBudgetsAtTheEnd KeepsTheRest AlwaysReleasesTheAbandoned;
        copies_at_once_spend_exactly_their_budget: IgnoresBudgets ReservesWithoutChecking;
        a_claimed_request_in_flight_is_not_made_again: ForgetsClaims;
        an_answered_request_is_answered_again: ForgetsClaims ForgetsAnswers LosesTheLastStep;
        another_request_under_the_same_claim_differs: IgnoresTheRequest ForgetsClaims;
        an_expired_claim_can_be_made_anew: KeepsClaimsForEver;
        a_released_request_frees_its_claim: KeepsReleasedClaims AlwaysReleasesTheAbandoned;
        a_refused_request_makes_no_claim: ClaimsForTheRefused;
        of_equal_requests_at_once_one_is_made: ForgetsClaims;
        a_revoked_token_is_owed_its_balance: OwesTwice ForgetsRevocations LosesTheLastStep;
        what_a_revoked_token_has_open_still_ends: GivesBackToTheRevoked OwesTwice;
        nothing_more_is_reserved_for_a_revoked_token: ForgetsRevocations;
        a_token_that_was_never_seen_can_be_revoked: RevokesOnlyWhatItKnows;
        revocations_are_told_from_a_mark: TellsAllRevocations ForgetsRevocations;
        overdue_reservations_are_told_oldest_first: SweepsTheNewestFirst SweepsLate SweepsWithoutLimit;
        a_deadline_only_moves_later: TakesAnyDeadline;
        what_has_ended_is_never_overdue: KeepsEndedOpen;
        claims_in_flight_outlive_the_sweep: SweepsClaimsInFlight KeepsClaimsForEver;
        the_journal_tells_what_changed_for_good_in_order: JournalTellsOfReservations JournalRunsBackwards
            JournalForgetsOverruns;
        the_journal_can_be_read_in_parts: JournalStartsAnew JournalRunsBackwards;
        running_sums_end_at_the_totals: ChargesTheOverrun KeepsTheRest;
        the_largest_units_do_not_overflow: AddsUpIn64Bits RefusesTheLargest;
    };
    let missed: Vec<_> = tried.iter().filter(|(_, _, found)| !found).collect();
    assert!(missed.is_empty(), "scenarios that do not find a mistake: {missed:?}");
    let names: BTreeSet<_> = tried.iter().map(|(scenario, _, _)| *scenario).collect();
    let untried: Vec<_> = SCENARIOS.iter().filter(|name| !names.contains(*name)).collect();
    assert!(untried.is_empty(), "no mistake is known that these find: {untried:?}");
}

/// How often the histories are played before a mistake counts as missed: chance alone must not fail a test.
const ROUNDS: u32 = 10;

/// The random histories alone find what no scenario thought of.
#[test]
fn random_histories_find_mistakes_of_every_kind() {
    let slips = [
        Slip::CreditsTwice,
        Slip::TakesTheNewPack,
        Slip::ReservesWithoutChecking,
        Slip::ReservesTwice,
        Slip::ExtendsTwice,
        Slip::TakesAnyDeadline,
        Slip::SettlesTwice,
        Slip::ReleasesTwice,
        Slip::ChargesTheOverrun,
        Slip::AlwaysReleasesTheAbandoned,
        Slip::IgnoresBudgets,
        Slip::SharesBudgetsOfSiblings,
        Slip::ForgetsBudgetsAtTheEnd,
        Slip::ForgetsClaims,
        Slip::KeepsReleasedClaims,
        Slip::ForgetsRevocations,
        Slip::GivesBackToTheRevoked,
        Slip::LosesTheLastStep,
    ];
    let is_missed = |slip: &Slip| {
        let rig = || std::future::ready(Drawer::new(Some(*slip)));
        let passes =
            || std::panic::catch_unwind(|| ledger::random_histories_agree_with_the_model(rig)).is_ok();
        (0..ROUNDS).all(|_| passes())
    };
    let missed: Vec<_> = slips.iter().filter(|slip| is_missed(slip)).collect();
    assert!(missed.is_empty(), "no history finds {missed:?}");
}
