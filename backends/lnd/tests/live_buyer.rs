//! The buyer's side against real lnds, over gRPC and over REST. Ignored unless asked for:
//!
//! ```text
//! LND_ADDRESS=https://127.0.0.1:10009 LND_CERTIFICATE=/…/tls.cert LND_MACAROON=/…/invoice.macaroon \
//! LND_PAYER_ADDRESS=https://127.0.0.1:10010 LND_PAYER_REST_ADDRESS=https://127.0.0.1:8081 \
//! LND_PAYER_CERTIFICATE=/…/tls.cert LND_PAYER_MACAROON=/…/admin.macaroon \
//!     cargo test -p l402-lnd --test live_buyer -- --ignored --nocapture
//! ```
//!
//! The first lnd is paid a few satoshis by the second, which needs a route to it. Both have to be on regtest.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a step that fails ends the test")]

use l402::PaymentHash;
use l402_lightning::{
    FailureReason, Invoice, InvoiceRequest, Invoicer, MilliSat, Network, NotSent, OpenError, PayError,
    PayLimits, Payer, PaymentState, SettingValue, Settings, loopback::LoopbackNode,
};
use l402_lnd::BACKEND;
use std::{sync::Arc, time::Duration};
use testkit::VirtualClock;

const UNSET: &str = "a live test was asked for, and the variables that name the nodes are not set; see the head of \
                     tests/live_buyer.rs";
const LIMITS: PayLimits =
    PayLimits { fee_max: MilliSat::from_msat(10_000), timeout: Duration::from_secs(20) };
const TRANSPORTS: [&str; 2] = ["grpc", "rest"];

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{UNSET}: {name}"))
}

fn settings(address: &str, certificate: &str, macaroon: &str) -> Settings {
    Settings::new(Some(Network::Regtest))
        .with("address", SettingValue::Text(variable(address)))
        .with("certificate", SettingValue::File(variable(certificate).into()))
        .with("macaroon", SettingValue::File(variable(macaroon).into()))
}

fn seller() -> Arc<dyn Invoicer> {
    BACKEND.invoicer.unwrap()(&settings("LND_ADDRESS", "LND_CERTIFICATE", "LND_MACAROON")).unwrap()
}

fn buyer_settings(transport: &str) -> Settings {
    let address = if transport == "rest" { "LND_PAYER_REST_ADDRESS" } else { "LND_PAYER_ADDRESS" };
    let mut settings = settings(address, "LND_PAYER_CERTIFICATE", "LND_PAYER_MACAROON")
        .with("transport", SettingValue::Text(transport.to_owned()));
    settings.network = None;
    settings
}

async fn open(settings: Settings) -> Result<Arc<dyn Payer>, OpenError> {
    BACKEND.payer.unwrap()(settings).await
}

async fn buyer(transport: &str) -> Arc<dyn Payer> {
    open(buyer_settings(transport)).await.unwrap()
}

async fn invoice(seller: &dyn Invoicer, sat: u64, expiry_secs: u32) -> Invoice {
    let request = InvoiceRequest {
        amount: MilliSat::from_msat(sat * 1_000),
        expiry_secs,
        description: "a live test".to_owned(),
        preimage: None,
    };
    seller.create(request).await.unwrap()
}

#[tokio::test]
#[ignore = "needs two real lnds; see the head of this file"]
async fn an_invoice_is_paid_once() {
    let seller = seller();
    for transport in TRANSPORTS {
        let buyer = buyer(transport).await;
        assert_eq!(buyer.capabilities().network, Some(Network::Regtest));
        let unknown = buyer.lookup(PaymentHash::from_bytes([0x11; 32])).await;
        assert!(matches!(unknown, Ok(PaymentState::Unknown)), "{transport}: {unknown:?}");
        let invoice = invoice(&*seller, 100, 600).await;
        let paid = buyer.pay(&invoice, LIMITS).await.unwrap();
        assert_eq!(paid.preimage.payment_hash(), invoice.payment_hash());
        assert_eq!(paid.amount, MilliSat::from_msat(100_000));
        for other in TRANSPORTS {
            let other = self::buyer(other).await;
            assert_eq!(other.pay(&invoice, LIMITS).await.unwrap_err(), PayError::AlreadyKnown);
            let Ok(PaymentState::Succeeded(known)) = other.lookup(invoice.payment_hash()).await else {
                panic!("{transport}")
            };
            assert_eq!((known.preimage.as_bytes(), known.fee), (paid.preimage.as_bytes(), paid.fee));
        }
    }
}

#[tokio::test]
#[ignore = "needs two real lnds; see the head of this file"]
async fn what_cannot_be_paid_is_said_to_be_that() {
    let seller = seller();
    let clock = VirtualClock::following_the_system();
    let stranger = LoopbackNode::new([7; 32], clock.as_fn());
    for transport in TRANSPORTS {
        let buyer = buyer(transport).await;
        let withdrawn = invoice(&*seller, 100, 600).await;
        seller.cancel(withdrawn.payment_hash()).await.unwrap();
        let short = invoice(&*seller, 100, 1).await;
        let dear = invoice(&*seller, 15_000_000, 600).await;
        let nowhere = invoice(&stranger, 100, 600).await;
        for _ in 0..100 {
            if short.is_expired(clock.now()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for (invoice, expected) in [
            (short, PayError::NotSent(NotSent::Expired)),
            (withdrawn, PayError::Failed(FailureReason::IncorrectPaymentDetails)),
            (dear, PayError::Failed(FailureReason::InsufficientBalance)),
            (nowhere, PayError::Failed(FailureReason::NoRoute)),
        ] {
            assert_eq!(buyer.pay(&invoice, LIMITS).await.unwrap_err(), expected, "{transport}");
            let state = buyer.lookup(invoice.payment_hash()).await;
            let right = matches!(state, Ok(PaymentState::Unknown | PaymentState::Failed(_)));
            assert!(right, "{transport} {expected}: {state:?}");
        }
    }
}

#[tokio::test]
#[ignore = "needs two real lnds; see the head of this file"]
async fn the_wrong_macaroon_or_certificate_opens_nothing() {
    for transport in TRANSPORTS {
        let right = buyer_settings(transport);
        let foreign = SettingValue::File(variable("LND_MACAROON").into());
        let error = open(right.clone().with("macaroon", foreign)).await.map(drop).unwrap_err();
        assert!(matches!(error, OpenError::NotReady(NotSent::Unauthorized)), "{transport}: {error:?}");
        let other = SettingValue::File(variable("LND_CERTIFICATE").into());
        let error = open(right.with("certificate", other)).await.map(drop).unwrap_err();
        assert!(matches!(error, OpenError::NotReady(NotSent::Certificate)), "{transport}: {error:?}");
    }
}
