//! The loopback node through the traits that sellers and buyers use.

mod knobs;

use l402::{PaymentHash, Preimage};
use l402_lightning::{
    Expected, FailureReason, Invoice, InvoiceError, InvoiceRequest, InvoiceState, Invoicer, InvoicerError,
    MilliSat, Mismatch, Network, NotSent, PayError, PayLimits, Payer, PaymentState, Terms, UnknownCause,
    Unsupported, check,
    loopback::{Fault, LoopbackNode, OPEN_INVOICES_MAX, WALLET_START, When, WrongInvoice},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const NOW: u64 = 1_700_000_000;
const LIMITS: PayLimits = PayLimits { fee_max: MilliSat::ZERO, timeout: Duration::from_mins(1) };

/// A node whose clock stands still until it is told otherwise.
fn node() -> (LoopbackNode, Arc<AtomicU64>) {
    let now = Arc::new(AtomicU64::new(NOW));
    let clock = Arc::clone(&now);
    (LoopbackNode::new([7; 32], Arc::new(move || clock.load(Ordering::Relaxed))), now)
}

fn request() -> InvoiceRequest {
    InvoiceRequest {
        amount: MilliSat::from_msat(10_500),
        expiry_secs: 600,
        description: "weather".to_owned(),
        preimage: Some(Preimage::from_bytes([3; 32])),
    }
}

fn checked(invoice: &Invoice, request: &InvoiceRequest) -> Result<(), Mismatch> {
    check(invoice, &Expected { request, network: Network::Regtest, now: NOW, terms: Terms::Caller })
}

#[tokio::test]
async fn an_invoice_is_issued_paid_once_and_known_afterwards() {
    let (node, _) = node();
    let invoice = node.create(request()).await.unwrap();
    assert!(invoice.text().starts_with("lnbcrt105n1"), "{invoice:?}");
    assert_eq!(checked(&invoice, &request()), Ok(()));
    assert_eq!(invoice.payee(), node.id());
    let hash = invoice.payment_hash();
    assert_eq!(Invoicer::lookup(&node, hash).await, Ok(InvoiceState::Open));
    assert!(matches!(Payer::lookup(&node, hash).await, Ok(PaymentState::Unknown)));

    let paid = node.pay(&invoice, LIMITS).await.unwrap();
    assert_eq!(paid.preimage.as_bytes(), &[3; 32]);
    assert_eq!((paid.amount, paid.fee), (MilliSat::from_msat(10_500), MilliSat::ZERO));
    assert_eq!(Invoicer::lookup(&node, hash).await, Ok(InvoiceState::Settled { amount: paid.amount }));
    let Ok(PaymentState::Succeeded(known)) = Payer::lookup(&node, hash).await else {
        panic!("not known as paid")
    };
    assert_eq!(known.preimage.as_bytes(), &[3; 32]);

    assert_eq!(node.pay(&invoice, LIMITS).await.unwrap_err(), PayError::AlreadyKnown);
    let payments = node.payments();
    assert_eq!((payments.len(), payments[0].attempts, payments[0].index), (1, 2, 1));
    assert_eq!(node.balance(), WALLET_START.checked_sub(paid.amount).unwrap());
    assert_eq!(
        (node.calls().create, node.calls().pay, node.calls().lookup, node.calls().track),
        (1, 2, 2, 2)
    );
}

#[tokio::test]
async fn a_payment_hash_is_issued_once() {
    let (node, now) = node();
    let invoice = node.create(request()).await.unwrap();
    now.store(NOW + 5, Ordering::Relaxed);
    assert_eq!(node.create(request()).await, Ok(invoice.clone()), "the same request, the same invoice");
    let duplicate = Err(InvoicerError::Duplicate);
    let dearer = InvoiceRequest { amount: MilliSat::from_msat(10_501), ..request() };
    let other_words = InvoiceRequest { description: "tides".to_owned(), ..request() };
    let longer = InvoiceRequest { expiry_secs: 601, ..request() };
    for other in [dearer, other_words, longer] {
        assert_eq!(node.create(other).await, duplicate);
    }
    // The door answers as LND does: whoever asks twice is told so.
    assert_eq!(node.create_text(&request()).await, Err(InvoicerError::Duplicate));
    assert_eq!((node.issued_invoices(), node.open_invoices()), (1, 1));
    node.pay(&invoice, LIMITS).await.unwrap();
    assert_eq!(node.create(request()).await, duplicate);
}

#[tokio::test]
async fn what_can_no_longer_be_paid_is_not_issued_again() {
    let (node, now) = node();
    node.create(request()).await.unwrap();
    now.store(NOW + 600, Ordering::Relaxed);
    assert_eq!(node.create(request()).await, Err(InvoicerError::Duplicate));
    now.store(NOW, Ordering::Relaxed);
    node.cancel(request().preimage.unwrap().payment_hash()).await.unwrap();
    assert_eq!(node.create(request()).await, Err(InvoicerError::Duplicate));
    // An invoice that is not what was asked for is not handed out the second time either.
    let other = InvoiceRequest { preimage: Some(fresh()), ..request() };
    node.knobs().create().set_times(1, Fault::Wrong(WrongInvoice::Amount(MilliSat::from_msat(1))));
    assert!(node.create(other.clone()).await.is_ok());
    assert_eq!(node.create(other).await, Err(InvoicerError::Duplicate));
    assert_eq!(node.issued_invoices(), 2);
}

#[tokio::test]
async fn a_withdrawn_invoice_cannot_be_paid() {
    let (node, _) = node();
    let (invoice, paid) = (
        node.create(request()).await.unwrap(),
        node.create(InvoiceRequest { preimage: None, ..request() }).await.unwrap(),
    );
    let hash = invoice.payment_hash();
    assert_eq!(node.open_invoice(hash).await, Ok(Some(invoice.clone())));
    for _ in 0..2 {
        assert_eq!(node.cancel(hash).await, Ok(()));
    }
    assert_eq!(Invoicer::lookup(&node, hash).await, Ok(InvoiceState::Cancelled));
    assert_eq!(node.open_invoice(hash).await, Ok(None));
    let refused = PayError::Failed(FailureReason::IncorrectPaymentDetails);
    assert_eq!(node.pay(&invoice, LIMITS).await.unwrap_err(), refused);
    assert_eq!((node.payments().len(), node.balance()), (0, WALLET_START));

    node.pay(&paid, LIMITS).await.unwrap();
    let refused = node.cancel(paid.payment_hash()).await;
    assert!(matches!(refused, Err(InvoicerError::Refused { .. })), "{refused:?}");
    assert!(matches!(Invoicer::lookup(&node, paid.payment_hash()).await, Ok(InvoiceState::Settled { .. })));
    assert_eq!(node.cancel(PaymentHash::from_bytes([0; 32])).await, Ok(()));
}

#[tokio::test]
async fn preimages_of_the_nodes_own_choice_are_all_different() {
    let (node, _) = node();
    let own = InvoiceRequest { preimage: None, ..request() };
    let (one, two) = (node.create(own.clone()).await.unwrap(), node.create(own).await.unwrap());
    assert_ne!(one.payment_hash(), two.payment_hash());
    for invoice in [&one, &two] {
        let paid = node.pay(invoice, LIMITS).await.unwrap();
        assert_eq!(paid.preimage.payment_hash(), invoice.payment_hash());
    }
}

#[tokio::test]
async fn unpaid_invoices_take_bounded_memory_and_can_be_paid_when_forgotten() {
    let (node, _) = node();
    let first = node.create(request()).await.unwrap();
    for _ in 0..OPEN_INVOICES_MAX + 10 {
        node.create(InvoiceRequest { preimage: None, ..request() }).await.unwrap();
    }
    assert_eq!(node.open_invoices(), OPEN_INVOICES_MAX);
    assert_eq!(Invoicer::lookup(&node, first.payment_hash()).await, Ok(InvoiceState::Unknown));
    assert_eq!(node.pay(&first, LIMITS).await.unwrap().preimage.as_bytes(), &[3; 32]);
    assert!(matches!(Invoicer::lookup(&node, first.payment_hash()).await, Ok(InvoiceState::Settled { .. })));
}

#[tokio::test]
async fn what_cannot_be_paid_is_refused_and_costs_nothing() {
    let (node, now) = node();
    let invoice = node.create(request()).await.unwrap();
    let foreign = LoopbackNode::new([8; 32], Arc::new(|| NOW)).create(request()).await.unwrap();
    assert_eq!(node.pay(&foreign, LIMITS).await.unwrap_err(), PayError::Failed(FailureReason::NoRoute));
    assert!(matches!(
        Payer::lookup(&node, foreign.payment_hash()).await,
        Ok(PaymentState::Failed(FailureReason::NoRoute))
    ));

    now.store(NOW + 600, Ordering::Relaxed);
    assert_eq!(node.pay(&invoice, LIMITS).await.unwrap_err(), PayError::NotSent(NotSent::Expired));
    assert_eq!(Invoicer::lookup(&node, invoice.payment_hash()).await, Ok(InvoiceState::Expired));
    now.store(NOW, Ordering::Relaxed);

    for (wrong, error) in [
        (WrongInvoice::Network(Network::Mainnet), PayError::NotSent(NotSent::OtherNetwork)),
        (WrongInvoice::NoAmount, PayError::NotSent(NotSent::Amountless)),
        (WrongInvoice::Expired, PayError::NotSent(NotSent::Expired)),
        (WrongInvoice::Amount(WALLET_START), PayError::Failed(FailureReason::InsufficientBalance)),
    ] {
        node.knobs().create().set_times(1, Fault::Wrong(wrong));
        node.knobs().set_fee(MilliSat::from_msat(1));
        let invoice = node.create(InvoiceRequest { preimage: None, ..request() }).await.unwrap();
        let limits = PayLimits { fee_max: MilliSat::from_msat(1), ..LIMITS };
        assert_eq!(node.pay(&invoice, limits).await.unwrap_err(), error, "{wrong:?}");
    }
    assert_eq!(node.payments().len(), 0);
    assert_eq!(node.balance(), WALLET_START);
}

#[tokio::test]
async fn the_fee_limit_is_kept() {
    let (node, _) = node();
    node.knobs().set_fee(MilliSat::from_msat(501));
    let invoice = node.create(request()).await.unwrap();
    let limits = |msat| PayLimits { fee_max: MilliSat::from_msat(msat), ..LIMITS };
    assert_eq!(node.pay(&invoice, limits(500)).await.unwrap_err(), PayError::Failed(FailureReason::NoRoute));
    // What failed for good may be tried again.
    let paid = node.pay(&invoice, limits(501)).await.unwrap();
    assert_eq!(paid.fee, MilliSat::from_msat(501));
    assert_eq!(node.balance().as_msat(), WALLET_START.as_msat() - 10_500 - 501);
}

#[tokio::test]
async fn requests_beyond_the_node_are_refused() {
    let (node, _) = node();
    for (request, what) in [
        (InvoiceRequest { amount: MilliSat::ZERO, ..request() }, Unsupported::Amount),
        (InvoiceRequest { amount: MilliSat::from_msat(u64::MAX), ..request() }, Unsupported::Amount),
        (InvoiceRequest { expiry_secs: 0, ..request() }, Unsupported::Expiry),
        (InvoiceRequest { expiry_secs: u32::MAX, ..request() }, Unsupported::Expiry),
        (InvoiceRequest { description: "x".repeat(640), ..request() }, Unsupported::Description),
    ] {
        assert_eq!(node.create(request).await, Err(InvoicerError::Unsupported(what)));
    }
    let longest = InvoiceRequest { description: "x".repeat(639), ..request() };
    assert_eq!(checked(&node.create(longest.clone()).await.unwrap(), &longest), Ok(()));
}

#[tokio::test]
async fn every_lie_about_an_invoice_is_found() {
    let (node, _) = node();
    let asked = request();
    let lie = async |wrong| {
        node.knobs().create().set_times(1, Fault::Wrong(wrong));
        let request = InvoiceRequest { preimage: Some(fresh()), ..request() };
        node.create(request.clone()).await.map(|invoice| checked(&invoice, &request))
    };
    assert!(matches!(lie(WrongInvoice::Network(Network::Mainnet)).await, Ok(Err(Mismatch::Network { .. }))));
    assert!(matches!(lie(WrongInvoice::Network(Network::Signet)).await, Ok(Err(Mismatch::Network { .. }))));
    let (less, found) = (MilliSat::from_msat(10_499), Some(MilliSat::from_msat(10_499)));
    assert_eq!(
        lie(WrongInvoice::Amount(less)).await,
        Ok(Err(Mismatch::Amount { expected: asked.amount, found }))
    );
    assert!(matches!(lie(WrongInvoice::NoAmount).await, Ok(Err(Mismatch::Amount { found: None, .. }))));
    assert!(matches!(lie(WrongInvoice::PaymentHash).await, Ok(Err(Mismatch::PaymentHash { .. }))));
    assert!(matches!(
        lie(WrongInvoice::ExpirySecs(601)).await,
        Ok(Err(Mismatch::Expiry { expected_secs: 600, found_secs: 601 }))
    ));
    assert!(matches!(lie(WrongInvoice::Expired).await, Ok(Err(Mismatch::Expired { .. }))));
    assert!(matches!(lie(WrongInvoice::CreatedAt(NOW + 301)).await, Ok(Err(Mismatch::CreatedAt { .. }))));
    assert_eq!(lie(WrongInvoice::CreatedAt(NOW + 300)).await, Ok(Ok(())));
    assert_eq!(lie(WrongInvoice::Description).await, Ok(Err(Mismatch::Description)));
    let unreadable = |error| Err(InvoicerError::Unreadable(error));
    assert_eq!(lie(WrongInvoice::Signature).await, unreadable(InvoiceError::Signature));
    assert_eq!(lie(WrongInvoice::SubMilliSatoshi).await, unreadable(InvoiceError::SubMilliSatoshi));
    assert_eq!(lie(WrongInvoice::AmountTooLarge).await, unreadable(InvoiceError::AmountTooLarge));
}

/// A preimage that no other test call has used.
fn fresh() -> Preimage {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut bytes = [0xf0; 32];
    bytes[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Preimage::from_bytes(bytes)
}

#[tokio::test(start_paused = true)]
async fn a_payment_in_flight_is_known_as_such_and_survives_its_caller() {
    let (node, _) = node();
    let node = Arc::new(node);
    let invoice = node.create(request()).await.unwrap();
    let hash = invoice.payment_hash();
    node.knobs().pay().delay(Duration::from_secs(10));
    let caller = tokio::spawn({
        let (node, invoice) = (Arc::clone(&node), invoice.clone());
        async move { node.pay(&invoice, LIMITS).await.map(|_| ()) }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(matches!(Payer::lookup(&*node, hash).await, Ok(PaymentState::InFlight)));
    assert_eq!(Invoicer::lookup(&*node, hash).await, Ok(InvoiceState::Open));
    assert_eq!(node.pay(&invoice, LIMITS).await.unwrap_err(), PayError::AlreadyKnown);
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    assert!(matches!(Payer::lookup(&*node, hash).await, Ok(PaymentState::Succeeded(_))));

    // The caller's own time limit leaves the outcome open, and the payment made.
    let invoice = node.create(InvoiceRequest { preimage: None, ..request() }).await.unwrap();
    let hasty = PayLimits { timeout: Duration::from_secs(1), ..LIMITS };
    assert_eq!(node.pay(&invoice, hasty).await.unwrap_err(), PayError::OutcomeUnknown(UnknownCause::Timeout));
    assert!(node.payment(invoice.payment_hash()).is_some());
}

#[tokio::test]
async fn of_many_payments_at_once_one_happens() {
    let (node, _) = node();
    let node = Arc::new(node);
    let invoice = node.create(request()).await.unwrap();
    let payers: Vec<_> = (0..50)
        .map(|_| {
            let (node, invoice) = (Arc::clone(&node), invoice.clone());
            // Each on a runtime of its own, as the gateway's threads are.
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(node.pay(&invoice, LIMITS)).is_ok()
            })
        })
        .collect();
    let paid = payers.into_iter().map(|payer| payer.join().unwrap()).filter(|paid| *paid).count();
    assert_eq!((paid, node.payments().len(), node.payments()[0].attempts), (1, 1, 50));
}

#[tokio::test(start_paused = true)]
async fn settlements_come_in_order_from_any_cursor() {
    let (node, _) = node();
    let node = Arc::new(node);
    let waiting = tokio::spawn({
        let node = Arc::clone(&node);
        async move { node.settlements(0).await }
    });
    tokio::task::yield_now().await;
    let mut hashes = Vec::new();
    for _ in 0..3 {
        let invoice = node.create(InvoiceRequest { preimage: None, ..request() }).await.unwrap();
        node.pay(&invoice, LIMITS).await.unwrap();
        hashes.push(invoice.payment_hash());
    }
    assert_eq!(waiting.await.unwrap().unwrap()[0].payment_hash, hashes[0]);
    let after_one = node.settlements(1).await.unwrap();
    let seen: Vec<(u64, PaymentHash)> = after_one.iter().map(|one| (one.index, one.payment_hash)).collect();
    assert_eq!(seen, [(2, hashes[1]), (3, hashes[2])]);
    assert!(after_one.iter().all(|one| one.settled_at == NOW && one.amount.as_msat() == 10_500));

    node.knobs().settlements().set_times(1, Fault::Duplicate);
    assert_eq!(node.settlements(0).await.unwrap().len(), 6);
    node.knobs().settlements().set_times(1, Fault::Cut(When::After));
    assert_eq!(node.settlements(0).await, Err(InvoicerError::Unreachable));
    assert!(tokio::time::timeout(Duration::from_mins(1), node.settlements(3)).await.is_err());
}
