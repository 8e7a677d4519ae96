//! The node that pays.

mod auth;
mod fate;
mod nonsense;
mod pay;
mod purse;
mod refusal;

pub use auth::*;
pub use fate::*;
pub use nonsense::*;
pub use pay::*;
pub use refusal::*;

/// Hands the list of scenarios on to a macro of this crate.
#[doc(hidden)]
#[macro_export]
macro_rules! buyer_scenarios {
    ($then:ident $($first:tt)*) => {
        $crate::$then! { $($first)* [
            the_wallet_can_do_what_a_purchase_needs
            a_payment_gives_the_preimage_of_the_hash
            a_payment_is_made_once
            a_payment_asked_for_twice_at_once_is_made_once
            a_payment_that_was_made_is_known_to_a_new_adapter
            a_payment_that_was_never_made_is_unknown
            a_payment_in_flight_outlives_its_time_limit
            a_payment_in_flight_outlives_its_caller
            a_payment_whose_answer_is_lost_is_found_by_its_hash
            a_payment_that_was_dropped_is_made_at_most_once
            a_fee_above_the_limit_is_not_paid
            without_a_route_nothing_is_paid
            without_money_nothing_is_paid
            an_expired_invoice_is_not_paid
            an_invoice_for_another_network_is_not_paid
            an_invoice_without_an_amount_is_not_paid
            a_wallet_that_is_down_was_not_asked
            a_locked_wallet_pays_nothing
            a_wallet_that_hangs_leaves_the_outcome_unknown
            an_answer_that_is_not_in_the_format_leaves_the_outcome_unknown
            an_answer_that_breaks_off_leaves_the_outcome_unknown
            an_answer_that_is_too_large_leaves_the_outcome_unknown
            a_success_without_a_preimage_is_no_success
            another_preimage_is_seen
            a_wrong_credential_pays_nothing
            a_missing_permission_to_pay_is_named
            a_changed_certificate_pays_nothing
            errors_show_no_secret
        ] }
    };
}

crate::buyer_scenarios! { contract_names }
