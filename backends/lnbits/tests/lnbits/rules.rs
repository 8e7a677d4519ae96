//! What the contract does not know of LNbits.

use crate::{imitation::Imitation, rig, rigs::Rig};
use l402::Preimage;
use l402_lightning::{
    InvoiceRequest, InvoiceState, Invoicer, InvoicerError, MilliSat, NotSent, OpenError, PayError, PayLimits,
    PaymentState, SettingValue, Settings,
};
use l402_lnbits::BACKEND;
use std::time::Duration;
use testkit::contract::{BuyerRig, PayFault, SellerRig as _};

const LIMITS: PayLimits =
    PayLimits { fee_max: MilliSat::from_msat(10_000), timeout: Duration::from_secs(10) };

fn request() -> InvoiceRequest {
    InvoiceRequest {
        amount: MilliSat::from_msat(21_000),
        expiry_secs: 600,
        description: "L402 weather".to_owned(),
        preimage: None,
    }
}

async fn sold(shop: &dyn Invoicer) -> l402_lightning::Invoice {
    shop.create(request()).await.expect("an invoice")
}

fn posts(rig: &Rig<Imitation>) -> usize {
    rig.wallets.books().seen.iter().filter(|asked| asked.method == "POST").count()
}

#[tokio::test]
async fn nothing_is_sold_while_strangers_see_preimages() {
    let rig = rig().await;
    let shop = rig.invoicer();
    let fault = "it shows preimages of unpaid invoices to anyone";
    rig.wallets.books().leaks = true;
    assert_eq!(shop.create(request()).await, Err(InvoicerError::Unsafe { fault }));
    assert_eq!(shop.probe().await, Err(InvoicerError::Unsafe { fault }));
    assert_eq!(rig.invoice_count(), 0);
    rig.wallets.books().leaks = false;
    sold(&*shop).await;
    assert_eq!(rig.invoice_count(), 1);
}

#[tokio::test]
async fn the_self_test_asks_as_a_stranger_and_only_once() {
    let rig = rig().await;
    let shop = rig.invoicer();
    for _ in 0..3 {
        sold(&*shop).await;
    }
    shop.probe().await.unwrap();
    assert_eq!(posts(&rig), 4, "one for the self-test, one for each sale");
    let books = rig.wallets.books();
    let without_key: Vec<_> = books.seen.iter().filter(|asked| asked.header("x-api-key").is_none()).collect();
    assert_eq!(without_key.len(), 1);
    assert!(without_key[0].target.starts_with("/api/v1/payments/"), "{:?}", without_key[0]);
}

#[tokio::test]
async fn an_invoice_that_the_wallet_pays_itself_is_settled() {
    let rig = rig().await;
    let shop = rig.invoicer();
    let invoice = sold(&*shop).await;
    let wallet = rig.buyer("a1d5e11e5a1d5e11e5a1d5e11e5a1d5e".to_owned(), "right.pem").await.unwrap();
    let paid = wallet.pay(&invoice, LIMITS).await.unwrap();
    assert_eq!(paid.preimage.payment_hash(), invoice.payment_hash());
    let settled = InvoiceState::Settled { amount: request().amount };
    assert_eq!(shop.lookup(invoice.payment_hash()).await, Ok(settled));
}

#[tokio::test]
async fn a_wallet_that_was_paid_has_not_paid() {
    let rig = rig().await;
    let invoice = sold(&*rig.invoicer()).await;
    let seller = rig.buyer("a1d5e11e5a1d5e11e5a1d5e11e5a1d5e".to_owned(), "right.pem").await.unwrap();
    let state = seller.lookup(invoice.payment_hash()).await;
    assert!(matches!(state, Ok(PaymentState::Unknown)), "{state:?}");
}

#[tokio::test]
async fn a_lookup_with_a_dead_key_is_no_answer_about_the_wallet() {
    let rig = rig().await;
    let invoice = sold(&*rig.invoicer()).await;
    let stranger = BACKEND.invoicer.unwrap()(&rig.settings(crate::rigs::foreign_key(), "right.pem")).unwrap();
    let nobodys = Preimage::from_bytes([3; 32]).payment_hash();
    for hash in [invoice.payment_hash(), nobodys] {
        assert_eq!(stranger.lookup(hash).await, Err(InvoicerError::Unauthorized));
    }
}

#[tokio::test]
async fn a_reserve_above_the_fee_limit_is_refused_before_anything_is_sent() {
    let rig = rig().await;
    let wallet = rig.open().await.unwrap();
    let invoice = rig.invoice(MilliSat::from_msat(21_000));
    let limits = PayLimits { fee_max: MilliSat::from_msat(1_999), ..LIMITS };
    let refusal = NotSent::FeeLimit { needed: MilliSat::from_msat(2_000) };
    assert_eq!(wallet.pay(&invoice, limits).await.unwrap_err(), PayError::NotSent(refusal));
    assert_eq!(posts(&rig), 0);
}

#[tokio::test]
async fn what_is_said_against_a_second_call_says_nothing_of_the_first() {
    let rig = rig().await;
    let wallet = rig.open().await.unwrap();
    let invoice = rig.invoice(MilliSat::from_msat(21_000));
    wallet.pay(&invoice, LIMITS).await.unwrap();
    assert!(BuyerRig::arm(&rig, PayFault::InsufficientBalance));
    assert_eq!(wallet.pay(&invoice, LIMITS).await.unwrap_err(), PayError::AlreadyKnown);
    BuyerRig::heal(&rig);
    BuyerRig::advance(&rig, 1_200);
    let error = wallet.pay(&invoice, LIMITS).await.unwrap_err();
    assert_eq!(error, PayError::AlreadyKnown, "it has expired since");
}

#[tokio::test]
async fn answers_in_the_form_of_versions_before_one_are_read() {
    let rig = rig().await;
    rig.wallets.books().old_names = true;
    let invoice = sold(&*rig.invoicer()).await;
    let paid = rig.open().await.unwrap().pay(&invoice, LIMITS).await.unwrap();
    assert_eq!(paid.preimage.payment_hash(), invoice.payment_hash());
    let paid = rig.open().await.unwrap().pay(&rig.invoice(request().amount), LIMITS).await;
    assert!(paid.is_ok(), "{paid:?}");
}

#[tokio::test]
async fn settings_that_are_missing_or_wrong_are_named() {
    let rig = rig().await;
    let good = rig.settings("key".to_owned(), "right.pem");
    let open = BACKEND.invoicer.unwrap();
    assert!(open(&good).is_ok());
    assert!(matches!(open(&Settings::new(None)), Err(OpenError::Missing("network"))));
    let two_lines = l402_lightning::Secret::from_text("two\nlines");
    let bad_key = good.clone().with("key", SettingValue::Secret(two_lines));
    assert!(matches!(open(&bad_key), Err(OpenError::Form { setting: "key", .. })));
    let plain = good.with("address", SettingValue::Text("http://lnbits.example".to_owned()));
    assert!(matches!(open(&plain), Err(OpenError::PlainHttp("address"))));
}
