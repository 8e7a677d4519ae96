//! What a macaroon must be good for, and how a node says what is missing.

use crate::rig::Rig;
use l402_lightning::{InvoicerError, NodeStatus, OpenError, Secret, SettingValue, Settings};
use testkit::contract::SellerRig as _;

/// The least that a gateway needs.
const LEAST: &[&str] = &[
    "uri:/lnrpc.Lightning/AddInvoice",
    "uri:/lnrpc.Lightning/LookupInvoice",
    "uri:/lnrpc.Lightning/SubscribeInvoices",
    "uri:/invoicesrpc.Invoices/CancelInvoice",
];

#[tokio::test]
async fn the_least_macaroon_does() {
    let rig = Rig::new();
    let seller = rig.with_rights(LEAST);
    assert_eq!(seller.probe().await, Ok(NodeStatus::default()));
    let request = rig.request();
    let invoice = seller.create(request.clone()).await.unwrap();
    assert_eq!(seller.create(request).await, Ok(invoice.clone()));
    assert_eq!(seller.open_invoice(invoice.payment_hash()).await, Ok(Some(invoice.clone())));
    seller.cancel(invoice.payment_hash()).await.unwrap();
    assert_eq!(rig.invoice_count(), 1, "a probe makes none");
}

#[tokio::test]
async fn with_the_right_to_ask_the_node_tells_of_itself() {
    let rig = Rig::new();
    let status = rig.with_rights(&["invoices:read", "invoices:write", "info:read"]).probe().await.unwrap();
    assert_eq!((status.network, status.synced), (Some(rig.network()), Some(true)));
    assert!(status.version.unwrap().as_raw().starts_with("0.21"));
}

#[tokio::test]
async fn each_right_that_is_missing_is_named() {
    let rig = Rig::new();
    for missing in LEAST {
        let rights: Vec<_> = LEAST.iter().copied().filter(|right| right != missing).collect();
        let seller = rig.with_rights(&rights);
        let request = rig.request();
        let hash = request.preimage.as_ref().unwrap().payment_hash();
        let (permission, error, probed) = match missing.rsplit('/').next().unwrap() {
            "AddInvoice" => (
                "invoices:write (AddInvoice)",
                seller.create(request).await.map(drop),
                seller.probe().await.map(drop),
            ),
            "LookupInvoice" => (
                "invoices:read (LookupInvoice)",
                seller.lookup(hash).await.map(drop),
                seller.probe().await.map(drop),
            ),
            "SubscribeInvoices" => {
                let error = seller.settlements(1).await.map(drop);
                ("invoices:read (SubscribeInvoices)", error.clone(), error)
            }
            _ => {
                let error = seller.cancel(hash).await;
                ("invoices:write (CancelInvoice)", error.clone(), error)
            }
        };
        let forbidden = Err(InvoicerError::Forbidden { permission });
        assert_eq!((error, probed), (forbidden.clone(), forbidden), "{missing}");
    }
}

/// A build without the tag `invoicesrpc` sells all the same, and cannot withdraw.
#[tokio::test]
async fn a_service_that_is_missing_is_named() {
    let rig = Rig::new();
    rig.node.world.remove_service("/invoicesrpc.");
    let seller = rig.invoicer();
    seller.probe().await.unwrap();
    let invoice = seller.create(rig.request()).await.unwrap();
    let missing = InvoicerError::NoService { service: "invoicesrpc" };
    assert_eq!(seller.cancel(invoice.payment_hash()).await, Err(missing));
}

#[tokio::test]
async fn macaroons_of_no_form_are_not_accepted() {
    let rig = Rig::new();
    for none in ["not a macaroon", "ff00", "0201"] {
        let macaroon = SettingValue::Secret(Secret::from_text(none));
        let seller = rig.open(&rig.settings().with("macaroon", macaroon)).unwrap();
        assert_eq!(seller.probe().await, Err(InvoicerError::Unauthorized), "{none}");
    }
    let hex = SettingValue::Secret(Secret::from_text(hex::encode(rig.node.invoice_macaroon())));
    rig.open(&rig.settings().with("macaroon", hex)).unwrap().probe().await.unwrap();
}

#[test]
fn settings_that_cannot_be_meant_are_refused_before_anything_is_asked() {
    let rig = Rig::new();
    let text = |text: &str| SettingValue::Text(text.to_owned());
    let error = |settings: &Settings| rig.open(settings).map(drop).unwrap_err();
    assert!(matches!(error(&Settings::new(None)), OpenError::Missing("network")));
    assert!(matches!(error(&Settings::new(rig.settings().network)), OpenError::Missing("address")));
    let plain = rig.settings().with("address", text("http://node.example:10009"));
    assert!(matches!(error(&plain), OpenError::PlainHttp("address")));
    let nowhere = rig.settings().with("certificate", SettingValue::File("/nowhere/tls.cert".into()));
    assert!(matches!(error(&nowhere), OpenError::Unreadable { setting: "certificate", .. }));
    let no_macaroon = Settings::new(rig.settings().network)
        .with("address", text("https://127.0.0.1:10009"))
        .with("certificate", SettingValue::File(rig.certificate()));
    assert!(matches!(error(&no_macaroon), OpenError::Missing("macaroon")));
    assert_eq!(rig.node.connections(), 0);
}
