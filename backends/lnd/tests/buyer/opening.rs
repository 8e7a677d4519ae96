//! What has to be right before there is a wallet, and what is said where it is not.

use crate::{
    desk::{BAKED, FOREIGN},
    rig::{Rig, Transport, open},
};
use l402_lightning::{MilliSat, Network, NotSent, OpenError, PayLimits, SettingValue, Settings};
use std::time::Duration;
use testkit::World;
use testkit::contract::{BuyerRig as _, PayFault};

#[tokio::test]
async fn the_network_is_asked_for_and_otherwise_has_to_be_named() {
    for transport in Transport::ALL {
        let rig = Rig::new(transport);
        let payer = rig.open().await.unwrap();
        assert_eq!(payer.capabilities().network, Some(Network::Regtest));

        let error = open(rig.settings_with(BAKED)).await.map(drop).unwrap_err();
        let OpenError::NotReady(NotSent::Forbidden { permission }) = error else { panic!("{error:?}") };
        assert!(permission.contains("info:read") && permission.contains("network="), "{permission}");
        let mut named = rig.settings_with(BAKED);
        named.network = Some(Network::Signet);
        assert_eq!(open(named).await.unwrap().capabilities().network, Some(Network::Signet));

        rig.wallet.set_network("simnet");
        let error = rig.open().await.map(drop).unwrap_err();
        let OpenError::Garbled(field) = error else { panic!("{error:?}") };
        assert!(field.contains("network"), "{field}");
    }
}

#[tokio::test]
async fn a_wallet_that_cannot_be_asked_does_not_open() {
    for transport in Transport::ALL {
        let rig = Rig::new(transport);
        let error = open(rig.settings_with(FOREIGN)).await.map(drop).unwrap_err();
        assert!(matches!(error, OpenError::NotReady(NotSent::Unauthorized)), "{error:?}");
        for fault in [PayFault::Garble, PayFault::Truncate, PayFault::Oversize] {
            rig.arm(fault);
            let error = rig.open().await.map(drop).unwrap_err();
            let right = matches!(error, OpenError::Garbled(_) | OpenError::NotReady(NotSent::Unreachable));
            assert!(right, "{transport:?} {fault:?} {error:?}");
            rig.heal();
        }
    }
}

#[tokio::test]
async fn settings_that_cannot_be_meant_are_refused_before_anything_is_asked() {
    let rig = Rig::new(Transport::Rest);
    let text = |text: &str| SettingValue::Text(text.to_owned());
    let refusal = async |settings: Settings| open(settings).await.map(drop).unwrap_err();
    let error = refusal(rig.settings().with("transport", text("pigeon"))).await;
    assert!(matches!(error, OpenError::Form { setting: "transport", .. }), "{error:?}");
    let error = refusal(rig.settings().with("address", text("http://node.example:8080"))).await;
    assert!(matches!(error, OpenError::PlainHttp("address")), "{error:?}");
    for transport in Transport::ALL {
        let nowhere = Settings::new(None).with("transport", text(transport.word()));
        assert!(matches!(refusal(nowhere).await, OpenError::Missing("address")));
    }
    let none = SettingValue::File(std::env::temp_dir().join("no-such-certificate.pem"));
    let error = refusal(rig.settings().with("certificate", none)).await;
    assert!(matches!(error, OpenError::Unreadable { setting: "certificate", .. }), "{error:?}");
}

/// lnd's proxy answers a path that it does not serve with the code of a payment that was never sent.
#[tokio::test]
async fn a_wrong_path_is_no_word_about_a_payment() {
    let rig = Rig::new(Transport::Rest);
    let elsewhere = SettingValue::Text(format!("{}/lnd", rig.url()));
    let error = open(rig.settings().with("address", elsewhere)).await.map(drop).unwrap_err();
    assert!(matches!(error, OpenError::NotReady(NotSent::Refused { .. })), "{error:?}");
}

/// Over REST a node may ask for no macaroon: the loopback node's door does not.
#[tokio::test]
async fn the_loopback_nodes_door_is_a_wallet_over_rest() {
    let world = World::live(7);
    let address = format!("http://{}", world.wallet_address());
    let settings = Settings::new(None)
        .with("transport", SettingValue::Text("rest".to_owned()))
        .with("address", SettingValue::Text(address));
    let payer = open(settings).await.unwrap();
    assert_eq!(payer.capabilities().network, Some(Network::Regtest));
    let request = l402_lightning::InvoiceRequest {
        amount: MilliSat::from_msat(5_000),
        expiry_secs: 60,
        description: "a cup of tea".to_owned(),
        preimage: None,
    };
    let invoice = l402_lightning::Invoicer::create(&*world.node, request).await.unwrap();
    let limits = PayLimits { fee_max: MilliSat::ZERO, timeout: Duration::from_secs(10) };
    let paid = payer.pay(&invoice, limits).await.unwrap();
    assert_eq!(paid.preimage.payment_hash(), invoice.payment_hash());
    assert_eq!(paid.amount, MilliSat::from_msat(5_000));
}
