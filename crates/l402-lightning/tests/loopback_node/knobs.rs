//! The loopback node misbehaves on demand.

use super::{LIMITS, NOW, checked, fresh, node, request};
use l402_lightning::{
    FailureReason, InvoiceRequest, InvoiceState, Invoicer, InvoicerError, MilliSat, Network, PayError,
    PayLimits, Payer, PaymentState, UnknownCause,
    loopback::{Fault, WALLET_START, When, WrongPayment, WrongState, WrongTrack},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

#[tokio::test(start_paused = true)]
async fn cancels_and_probes_fail_and_hang_on_demand() {
    let (node, now) = node();
    let hash = node.create(request()).await.unwrap().payment_hash();
    now.store(NOW + 7, Ordering::Relaxed);
    let status = node.probe().await.unwrap();
    assert_eq!((status.network, status.clock), (Some(Network::Regtest), Some(NOW + 7)));
    for (when, state) in [(When::Before, InvoiceState::Open), (When::After, InvoiceState::Cancelled)] {
        node.knobs().cancel().set_times(1, Fault::Cut(when));
        assert_eq!(node.cancel(hash).await, Err(InvoicerError::Unreachable));
        assert_eq!(Invoicer::lookup(&node, hash).await, Ok(state));
        node.knobs().probe().set_times(1, Fault::Fail(when));
        assert!(matches!(node.probe().await, Err(InvoicerError::Refused { .. })));
    }
    node.knobs().probe().set(Fault::Hang(When::Before));
    assert!(tokio::time::timeout(Duration::from_mins(1), node.probe()).await.is_err());
    node.knobs().clear();
    assert!(node.probe().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn create_fails_hangs_is_cut_and_duplicates_on_demand() {
    let (node, _) = node();
    let create = async |fault| {
        node.knobs().create().set_times(1, fault);
        tokio::time::timeout(Duration::from_secs(5), node.create(request())).await
    };
    assert!(matches!(create(Fault::Fail(When::Before)).await, Ok(Err(InvoicerError::Refused { .. }))));
    assert_eq!(create(Fault::Cut(When::Before)).await, Ok(Err(InvoicerError::Unreachable)));
    assert!(create(Fault::Hang(When::Before)).await.is_err());
    assert_eq!(node.open_invoices(), 0);
    assert_eq!(create(Fault::Cut(When::After)).await, Ok(Err(InvoicerError::Unreachable)));
    assert_eq!(node.open_invoices(), 1);
    let made = node.create(request()).await.unwrap();
    assert_eq!(node.open_invoice(made.payment_hash()).await, Ok(Some(made)));

    let begun = tokio::time::Instant::now();
    node.knobs().create().delay(Duration::from_secs(3));
    let other = InvoiceRequest { preimage: Some(fresh()), ..request() };
    node.knobs().create().set_times(1, Fault::Duplicate);
    assert_eq!(checked(&node.create(other.clone()).await.unwrap(), &other), Ok(()));
    assert_eq!((begun.elapsed(), node.open_invoices()), (Duration::from_secs(3), 2));
    node.knobs().create().set_times(1, Fault::Duplicate);
    let other = InvoiceRequest { preimage: Some(fresh()), ..request() };
    assert_eq!(node.create_text(&other).await, Err(InvoicerError::Duplicate));
}

#[tokio::test(start_paused = true)]
async fn lookups_fail_hang_and_lie_on_demand() {
    let (node, _) = node();
    let hash = node.create(request()).await.unwrap().payment_hash();
    let lookup = async |fault| {
        node.knobs().lookup().set_times(1, fault);
        tokio::time::timeout(Duration::from_secs(5), Invoicer::lookup(&node, hash)).await
    };
    assert!(matches!(lookup(Fault::Fail(When::After)).await, Ok(Err(InvoicerError::Refused { .. }))));
    assert_eq!(lookup(Fault::Cut(When::Before)).await, Ok(Err(InvoicerError::Unreachable)));
    assert!(lookup(Fault::Hang(When::After)).await.is_err());
    assert_eq!(lookup(Fault::Wrong(WrongState::Unknown)).await, Ok(Ok(InvoiceState::Unknown)));
    let settled = InvoiceState::Settled { amount: MilliSat::from_msat(10_500) };
    assert_eq!(lookup(Fault::Wrong(WrongState::Settled)).await, Ok(Ok(settled)));
    assert_eq!(lookup(Fault::Duplicate).await, Ok(Ok(InvoiceState::Open)));
}

#[tokio::test(start_paused = true)]
async fn a_payment_whose_answer_is_lost_happened_once_or_not_at_all() {
    let (node, _) = node();
    for (fault, paid) in [
        (Fault::Fail(When::Before), false),
        (Fault::Fail(When::After), true),
        (Fault::Cut(When::Before), false),
        (Fault::Cut(When::After), true),
        (Fault::Hang(When::Before), false),
        (Fault::Hang(When::After), true),
        (Fault::Duplicate, true),
        (Fault::Wrong(WrongPayment::Failed), true),
        (Fault::Wrong(WrongPayment::InFlight), true),
        (Fault::Wrong(WrongPayment::NoPreimage), true),
    ] {
        let invoice = node.create(InvoiceRequest { preimage: None, ..request() }).await.unwrap();
        node.knobs().pay().set_times(1, fault);
        let answer = tokio::time::timeout(Duration::from_secs(90), node.pay(&invoice, LIMITS)).await;
        assert!(!matches!(answer, Ok(Ok(_))), "{fault:?}");
        let state = Payer::lookup(&node, invoice.payment_hash()).await.unwrap();
        assert_eq!(matches!(state, PaymentState::Succeeded(_)), paid, "{fault:?}");
        assert_eq!(node.payment(invoice.payment_hash()).is_some(), paid, "{fault:?}");
        let again = node.pay(&invoice, LIMITS).await;
        assert_eq!(again.is_ok(), !paid, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_answers_that_lie_about_a_payment_name_their_kind() {
    let (node, _) = node();
    let pay = async |fault| {
        let invoice = node.create(InvoiceRequest { preimage: None, ..request() }).await.unwrap();
        node.knobs().pay().set_times(1, fault);
        let paid = node.pay(&invoice, LIMITS).await;
        paid.map(|paid| (*paid.preimage.as_bytes(), paid.preimage.payment_hash() == invoice.payment_hash()))
    };
    let unknown = |cause| Err(PayError::OutcomeUnknown(cause));
    assert_eq!(pay(Fault::Fail(When::After)).await, unknown(UnknownCause::WalletFailed));
    assert_eq!(pay(Fault::Cut(When::After)).await, unknown(UnknownCause::Cut));
    assert_eq!(pay(Fault::Hang(When::After)).await, unknown(UnknownCause::Timeout));
    assert_eq!(pay(Fault::Wrong(WrongPayment::NoPreimage)).await, unknown(UnknownCause::NoPreimage));
    assert_eq!(pay(Fault::Wrong(WrongPayment::ZeroPreimage)).await, Ok(([0; 32], false)));
    assert!(matches!(pay(Fault::Wrong(WrongPayment::WrongPreimage)).await, Ok((_, false))));
    assert_eq!(pay(Fault::Duplicate).await, Err(PayError::AlreadyKnown));
    assert_eq!(pay(Fault::Wrong(WrongPayment::Failed)).await, Err(PayError::Failed(FailureReason::NoRoute)));
}

#[tokio::test]
async fn tracking_lies_on_demand() {
    let (node, _) = node();
    let invoice = node.create(request()).await.unwrap();
    node.pay(&invoice, LIMITS).await.unwrap();
    let track = async |wrong| {
        node.knobs().track().set_times(1, Fault::Wrong(wrong));
        Payer::lookup(&node, invoice.payment_hash()).await
    };
    assert!(matches!(track(WrongTrack::Unknown).await, Ok(PaymentState::Unknown)));
    let payment = WrongTrack::Payment;
    assert!(matches!(track(payment(WrongPayment::InFlight)).await, Ok(PaymentState::InFlight)));
    assert!(matches!(track(payment(WrongPayment::Failed)).await, Ok(PaymentState::Failed(_))));
    assert!(matches!(
        track(payment(WrongPayment::NoPreimage)).await,
        Err(PayError::OutcomeUnknown(UnknownCause::NoPreimage))
    ));
    assert!(matches!(
        track(payment(WrongPayment::ZeroPreimage)).await,
        Ok(PaymentState::Succeeded(paid)) if paid.preimage.as_bytes() == &[0; 32]
    ));
}

#[tokio::test(start_paused = true)]
async fn a_payment_that_is_held_outlives_everybody_who_waits_for_it() {
    let (node, _) = node();
    let node = Arc::new(node);
    node.knobs().hold_payments();
    let invoice = node.create(request()).await.unwrap();
    let hash = invoice.payment_hash();
    let hasty = PayLimits { timeout: Duration::from_secs(1), ..LIMITS };
    assert_eq!(node.pay(&invoice, hasty).await.unwrap_err(), PayError::OutcomeUnknown(UnknownCause::Timeout));
    node.knobs().clear();
    let other = node.create(InvoiceRequest { preimage: None, ..request() }).await.unwrap();
    let waiting = tokio::spawn({
        let (node, other) = (Arc::clone(&node), other.clone());
        async move { node.pay(&other, LIMITS).await }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    for hash in [hash, other.payment_hash()] {
        assert!(matches!(Payer::lookup(&*node, hash).await, Ok(PaymentState::InFlight)));
        assert!(node.is_in_flight(hash) && node.payment(hash).is_none());
    }
    assert_eq!(node.pay(&invoice, LIMITS).await.unwrap_err(), PayError::AlreadyKnown);
    assert!(matches!(node.cancel(hash).await, Err(InvoicerError::Refused { .. })));

    node.release_payments();
    assert_eq!(waiting.await.unwrap().unwrap().preimage.payment_hash(), other.payment_hash());
    assert!(matches!(Payer::lookup(&*node, hash).await, Ok(PaymentState::Succeeded(_))));
    assert!(!node.is_in_flight(hash));
    assert_eq!(node.payments().iter().map(|payment| payment.index).collect::<Vec<_>>(), [1, 2]);
    let next = node.create(InvoiceRequest { preimage: None, ..request() }).await.unwrap();
    assert!(node.pay(&next, hasty).await.is_ok(), "and no more is held");
}

#[tokio::test]
async fn the_wallet_keeps_its_reserve() {
    let (node, _) = node();
    let invoice = node.create(request()).await.unwrap();
    let reserve = WALLET_START.checked_sub(MilliSat::from_msat(10_499)).unwrap();
    node.knobs().set_reserve(reserve);
    let error = node.pay(&invoice, LIMITS).await.unwrap_err();
    assert_eq!(error, PayError::Failed(FailureReason::InsufficientBalance));
    assert_eq!((node.payments().len(), node.balance()), (0, WALLET_START));
    node.knobs().set_reserve(reserve.checked_sub(MilliSat::from_msat(1)).unwrap());
    node.pay(&invoice, LIMITS).await.unwrap();
}

/// Up to twice what was asked for, as BOLT 4 has it; the invoice asks for as much as before.
#[tokio::test]
async fn an_invoice_can_be_overpaid_up_to_twice_and_no_further() {
    let (node, _) = node();
    let asked = request().amount;
    for (surplus, is_taken) in [(1, true), (asked.as_msat(), true), (asked.as_msat() + 1, false)] {
        let invoice = node.create(InvoiceRequest { preimage: Some(fresh()), ..request() }).await.unwrap();
        node.knobs().set_surplus(MilliSat::from_msat(surplus));
        let (balance, told) = (node.balance(), node.payments().len());
        let paid = node.pay(&invoice, LIMITS).await;
        if !is_taken {
            assert_eq!(paid.err(), Some(PayError::Failed(FailureReason::IncorrectPaymentDetails)));
            assert_eq!((node.balance(), node.payments().len()), (balance, told));
            continue;
        }
        let received = asked.checked_add(MilliSat::from_msat(surplus)).unwrap();
        assert_eq!((paid.unwrap().amount, node.balance().checked_add(received)), (received, Some(balance)));
        let state = Invoicer::lookup(&node, invoice.payment_hash()).await;
        assert_eq!(state, Ok(InvoiceState::Settled { amount: received }));
        let settlement = node.settlements(told as u64).await.unwrap()[0];
        assert_eq!((settlement.invoiced, settlement.amount), (Some(asked), received));
        assert_eq!(settlement.excess().as_msat(), surplus);
    }
}
