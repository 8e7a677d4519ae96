//! What is said of the money when lnd ends a call in words.

use crate::{
    rig::{Rig, Transport},
    wallet::{Breakdown, Limits, Refused},
};
use l402_lightning::{MilliSat, NotSent, Paid, PayError, PayLimits, PaymentState, UnknownCause};
use std::time::Duration;
use testkit::contract::{BuyerRig as _, PayFault};

const PRICE: MilliSat = MilliSat::from_msat(10_000);
const LIMITS: PayLimits =
    PayLimits { fee_max: MilliSat::from_msat(1_234), timeout: Duration::from_millis(2_900) };

/// Pays one invoice while lnd breaks down; also gives how often money moved.
async fn pay(rig: &Rig, breakdown: Breakdown) -> (Result<Paid, PayError>, usize) {
    let payer = rig.open().await.unwrap();
    let invoice = rig.invoice(PRICE);
    rig.wallet.break_down(breakdown);
    (payer.pay(&invoice, LIMITS).await, rig.payment_count(invoice.payment_hash()))
}

fn refusal(code: u16, message: &str) -> Breakdown {
    Breakdown { refused: Refused::new(code, message), begun: false, told: false }
}

#[tokio::test]
async fn words_that_are_not_known_are_handed_on_once_lnd_does_not_know_the_payment() {
    for transport in Transport::ALL {
        let rig = Rig::new(transport);
        for code in [2, 3, 9] {
            let (answer, moves) = pay(&rig, refusal(code, "self-payments not allowed")).await;
            let Err(PayError::NotSent(NotSent::Refused { message })) = answer else { panic!("{answer:?}") };
            assert_eq!((message.as_raw(), moves), ("self-payments not allowed", 0));
        }
    }
}

/// Such words come of a payment that has begun; "nothing was paid" would be a lie.
#[tokio::test]
async fn a_router_that_shuts_down_after_it_began_is_not_taken_for_a_refusal() {
    for transport in Transport::ALL {
        let rig = Rig::new(transport);
        let mut breakdown = refusal(2, "routerrpc server shutting down");
        breakdown.begun = true;
        let (answer, moves) = pay(&rig, breakdown.clone()).await;
        assert_eq!((answer.unwrap_err(), moves), (PayError::AlreadyKnown, 1));
        breakdown.told = true;
        let (answer, moves) = pay(&rig, breakdown).await;
        assert_eq!(answer.unwrap_err(), PayError::OutcomeUnknown(UnknownCause::WalletFailed));
        assert_eq!(moves, 1);
    }
}

#[tokio::test]
async fn a_node_that_goes_away_leaves_the_outcome_open() {
    for transport in Transport::ALL {
        let rig = Rig::new(transport);
        for begun in [false, true] {
            let mut breakdown = refusal(14, "transport is closing");
            breakdown.begun = begun;
            let (answer, _) = pay(&rig, breakdown).await;
            assert!(matches!(answer, Err(PayError::OutcomeUnknown(_))), "{transport:?} {answer:?}");
        }
    }
}

#[tokio::test]
async fn lnds_own_refusals_are_told_apart() {
    for transport in Transport::ALL {
        let rig = Rig::new(transport);
        let starting = "the RPC server is in the process of starting up, but not yet ready to accept calls";
        for (message, why) in [
            (starting, NotSent::Starting),
            ("wallet not created, create one to enable full RPC access", NotSent::Locked),
            ("cannot get macaroon: root key with id 1 doesn't exist", NotSent::Unauthorized),
        ] {
            let (answer, moves) = pay(&rig, refusal(2, message)).await;
            assert_eq!((answer.unwrap_err(), moves), (PayError::NotSent(why), 0));
        }
        let (answer, _) = pay(&rig, refusal(6, "payment already exists")).await;
        assert_eq!(answer.unwrap_err(), PayError::AlreadyKnown);
    }
}

/// lnd reads a missing fee limit as none at all, and a timeout of 0 as a minute.
#[tokio::test]
async fn limits_are_always_sent() {
    for transport in Transport::ALL {
        let rig = Rig::new(transport);
        let payer = rig.open().await.unwrap();
        payer.pay(&rig.invoice(PRICE), LIMITS).await.unwrap();
        assert_eq!(rig.wallet.limits(), Limits { timeout_secs: 2, fee_limit_msat: 1_234 });
        let limits =
            PayLimits { fee_max: MilliSat::from_msat(u64::MAX), timeout: Duration::from_millis(900) };
        payer.pay(&rig.invoice(PRICE), limits).await.unwrap();
        assert_eq!(rig.wallet.limits(), Limits { timeout_secs: 1, fee_limit_msat: i64::MAX });
    }
}

/// An error of a question says nothing of the money, whatever the same error would mean for a payment.
#[tokio::test]
async fn a_question_that_fails_never_says_that_nothing_was_paid() {
    for transport in Transport::ALL {
        let rig = Rig::new(transport);
        let payer = rig.open().await.unwrap();
        let invoice = rig.invoice(PRICE);
        payer.pay(&invoice, LIMITS).await.unwrap();
        for fault in [PayFault::Down, PayFault::Locked, PayFault::Garble] {
            rig.arm(fault);
            let error = payer.lookup(invoice.payment_hash()).await.unwrap_err();
            assert!(!error.nothing_paid(), "{transport:?} {fault:?} {error:?}");
            rig.heal();
        }
        let state = payer.lookup(invoice.payment_hash()).await;
        assert!(matches!(state, Ok(PaymentState::Succeeded(_))), "{state:?}");
    }
}
