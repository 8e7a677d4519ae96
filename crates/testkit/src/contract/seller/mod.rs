//! The node that is paid.

mod auth;
mod create;
mod feed;
mod feed_faults;
mod lies;
mod limits;
mod outage;
mod shop;
mod states;
mod till;

pub use auth::*;
pub use create::*;
pub use feed::*;
pub use feed_faults::*;
pub use lies::*;
pub use limits::*;
pub use outage::*;
pub use states::*;

/// Hands the list of scenarios on to a macro of this crate.
#[doc(hidden)]
#[macro_export]
macro_rules! seller_scenarios {
    ($then:ident $($first:tt)*) => {
        $crate::$then! { $($first)* [
            the_capabilities_are_constant_and_name_the_network
            create_gives_the_invoice_that_was_asked_for
            the_same_create_again_gives_the_same_invoice
            the_same_create_twice_at_once_makes_one_invoice
            create_after_a_lost_answer_makes_no_second_invoice
            create_that_was_dropped_can_be_repeated
            another_request_with_a_used_preimage_is_a_duplicate
            a_request_whose_invoice_can_no_longer_be_paid_is_a_duplicate
            descriptions_arrive_as_they_were_written
            requests_beyond_the_node_are_unsupported
            amounts_are_exact_or_unsupported
            a_preimage_is_taken_or_unsupported
            what_nobody_issued_is_unknown
            an_invoice_is_open_until_it_is_settled
            an_invoice_expires
            an_open_invoice_is_handed_out_until_it_is_closed
            a_withdrawn_invoice_is_cancelled
            a_settled_invoice_cannot_be_withdrawn
            a_new_adapter_knows_what_an_earlier_one_issued
            a_healthy_node_is_probed_well
            a_node_that_is_down_is_unreachable
            a_node_that_hangs_times_out
            a_locked_node_is_called_locked
            a_starting_node_is_called_starting
            answers_that_are_not_in_the_format_are_errors
            answers_that_break_off_are_errors
            answers_that_are_too_large_are_errors
            a_node_that_restarts_goes_on_as_before
            an_invoice_for_another_network_never_passes
            an_invoice_for_another_amount_never_passes
            an_invoice_with_another_hash_never_passes
            an_invoice_with_another_expiry_never_passes
            an_invoice_with_another_description_never_passes
            a_wrong_credential_is_unauthorized
            a_missing_permission_is_named
            a_changed_certificate_is_refused
            errors_show_no_secret
            the_feed_waits_and_then_tells
            the_feed_tells_each_settlement_in_order
            an_overpaid_invoice_is_told_with_its_excess
            the_feed_goes_on_from_its_cursor
            the_feed_tells_of_many_settlements_in_bounded_answers
            the_feed_loses_nothing_when_it_is_dropped
            the_feed_survives_a_restart_of_the_node
            the_feed_survives_a_cut
            notifications_that_come_twice_are_one_settlement
            notifications_out_of_order_lose_nothing
            lost_notifications_are_made_up_for
            a_garbled_feed_invents_nothing
        ] }
    };
}

crate::seller_scenarios! { contract_names }
