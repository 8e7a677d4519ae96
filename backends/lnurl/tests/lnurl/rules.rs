//! What a service may not do, and where it may not lead.

use crate::{
    rig::{Rig, open, rig},
    site::Verify,
};
use l402_lightning::{
    InvoiceRequest, InvoiceState, InvoicerError, MilliSat, OpenError, SettingValue, Settings, Unsupported,
};
use testkit::contract::SellerRig as _;

fn request() -> InvoiceRequest {
    InvoiceRequest {
        amount: MilliSat::from_msat(21_000),
        expiry_secs: 600,
        description: "L402 weather".to_owned(),
        preimage: None,
    }
}

async fn create(rig: &Rig) -> Result<String, InvoicerError> {
    rig.invoicer().create(request()).await.map(|invoice| invoice.text().to_owned())
}

#[tokio::test]
async fn without_verify_nothing_is_sold() {
    let rig = rig().await;
    rig.site.books().manners.verify = Verify::None;
    assert_eq!(create(&rig).await, Err(InvoicerError::NoService { service: "LUD-21 `verify`" }));
    rig.site.books().manners.verify = Verify::Forgotten;
    let error = create(&rig).await;
    assert!(matches!(error, Err(InvoicerError::NoService { .. })), "{error:?}");
}

#[tokio::test]
async fn a_service_that_gives_its_goods_away_is_unsafe() {
    let rig = rig().await;
    rig.site.books().manners.leaks = true;
    let fault = "it shows preimages of unpaid invoices to anyone";
    assert_eq!(create(&rig).await, Err(InvoicerError::Unsafe { fault }));
    rig.site.books().manners.leaks = false;
    rig.site.books().manners.flatters = true;
    assert!(matches!(create(&rig).await, Err(InvoicerError::Unsafe { .. })));
    rig.site.books().manners.flatters = false;
    let shop = rig.invoicer();
    let invoice = shop.create(request()).await.unwrap();
    rig.site.books().manners.leaks = true;
    let error = shop.lookup(invoice.payment_hash()).await;
    assert_eq!(error, Err(InvoicerError::Unsafe { fault }), "also later");
}

#[tokio::test]
async fn documents_do_not_lead_to_other_hosts() {
    let rig = rig().await;
    let own = rig.site.books().base.clone();
    for elsewhere in [
        "https://evil.example/callback".to_owned(),
        "http://127.0.0.1:1/callback".to_owned(),
        "http://169.254.169.254/latest".to_owned(),
        "http://localhost/callback".to_owned(),
        own.replace("http://", "https://"),
        own.replace("http://", "http://user@"),
        "callback".to_owned(),
    ] {
        rig.site.books().manners.callback = Some(elsewhere.clone());
        let error = create(&rig).await;
        let named = matches!(error, Err(InvoicerError::Garbled { field }) if field.starts_with("callback"));
        assert!(named, "{elsewhere}: {error:?}");
        rig.site.books().manners.callback = None;
        rig.site.books().manners.verify = Verify::At(elsewhere.clone());
        let error = create(&rig).await;
        let named = matches!(error, Err(InvoicerError::Garbled { field }) if field.starts_with("verify"));
        assert!(named, "{elsewhere}: {error:?}");
        rig.site.books().manners.verify = Verify::ByHash;
    }
    assert!(create(&rig).await.is_ok());
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let rig = rig().await;
    rig.site.books().manners.redirects = true;
    let error = rig.invoicer().probe().await;
    assert!(matches!(error, Err(InvoicerError::Garbled { .. })), "{error:?}");
    assert_eq!(rig.site.books().seen, ["/.well-known/lnurlp/shop"]);
}

#[tokio::test]
async fn names_that_lead_into_a_private_network_are_not_asked() {
    let settings = Settings::new(Some(l402_lightning::Network::Mainnet))
        .with("address", SettingValue::Text("shop@localhost".to_owned()));
    let error = open(&settings).unwrap().probe().await;
    assert!(matches!(error, Err(InvoicerError::Unsafe { .. })), "{error:?}");
}

#[tokio::test]
async fn plain_http_has_to_be_asked_for() {
    let rig = rig().await;
    let settings = rig.settings().with("danger_plain_http", SettingValue::Flag(false));
    assert!(matches!(open(&settings), Err(OpenError::Form { setting: "address", .. })));
}

#[tokio::test]
async fn an_answer_above_64_kib_is_not_read() {
    let rig = rig().await;
    rig.site.books().manners.padding = 60_000;
    assert!(rig.invoicer().probe().await.is_ok());
    rig.site.books().manners.padding = 66_000;
    let error = rig.invoicer().probe().await;
    assert!(matches!(error, Err(InvoicerError::Garbled { .. })), "{error:?}");
}

#[tokio::test]
async fn the_document_is_asked_for_once() {
    let rig = rig().await;
    let shop = rig.invoicer();
    for _ in 0..3 {
        shop.create(request()).await.unwrap();
    }
    let documents = |rig: &Rig| rig.site.books().seen.iter().filter(|seen| seen.contains("lnurlp")).count();
    assert_eq!(documents(&rig), 1);
    // A changed document shows in the invoices, and is fetched anew.
    rig.site.books().lie = Some(|draft| draft.description = crate::scribe::Description::Hash([7; 32]));
    assert!(shop.create(request()).await.is_err());
    shop.create(request()).await.unwrap();
    assert_eq!(documents(&rig), 2);
}

#[tokio::test]
async fn the_description_goes_along_as_a_comment_where_it_fits() {
    let rig = rig().await;
    let shop = rig.invoicer();
    shop.create(request()).await.unwrap();
    assert_eq!(rig.site.sold(), 1);
    shop.create(InvoiceRequest { description: "x".repeat(65), ..request() }).await.unwrap();
    assert_eq!((rig.site.sold(), rig.site.issued()), (1, 2));
}

#[tokio::test]
async fn amounts_beyond_the_offer_are_not_asked_for() {
    let rig = rig().await;
    rig.site.books().manners.most_msat = 20_999;
    assert_eq!(create(&rig).await, Err(InvoicerError::Unsupported(Unsupported::Amount)));
    assert_eq!(rig.site.issued(), 0);
}

#[tokio::test]
async fn after_a_restart_two_small_invoices_teach_where_to_ask() {
    let rig = rig().await;
    let sold = rig.invoicer().create(request()).await.unwrap();
    let restarted = rig.invoicer();
    for _ in 0..3 {
        assert_eq!(restarted.lookup(sold.payment_hash()).await, Ok(InvoiceState::Open));
    }
    assert_eq!((rig.site.sold(), rig.site.issued()), (1, 3));
}

#[tokio::test]
async fn urls_without_the_hash_are_remembered_and_nothing_is_guessed_without_them() {
    let rig = rig().await;
    rig.site.books().manners.verify = Verify::ById;
    let shop = rig.invoicer();
    let (one, other) = (shop.create(request()).await.unwrap(), shop.create(request()).await.unwrap());
    rig.site.settle(one.payment_hash());
    let settled = InvoiceState::Settled { amount: request().amount };
    assert_eq!(shop.lookup(one.payment_hash()).await, Ok(settled));
    assert_eq!(shop.open_invoice(other.payment_hash()).await, Ok(Some(other.clone())));
    let error = rig.invoicer().lookup(one.payment_hash()).await;
    assert!(matches!(error, Err(InvoicerError::NoService { .. })), "{error:?}");
}
