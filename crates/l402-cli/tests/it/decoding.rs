//! `l402 decode`.

use l402::Challenge;
use serde_json::Value;

use crate::shop::{Shop, credential_text};
use crate::world::World;

fn decode(world: &World, text: &str) -> Value {
    serde_json::from_str(world.run(&["decode", "--json", text]).expect(0).body()).unwrap()
}

fn challenge(world: &World, shop: &Shop) -> Challenge {
    world.runtime.block_on(shop.till.challenge(&["services=shop:0", "shop_valid_until=4000000000"]))
}

#[test]
fn everything_a_buyer_meets_can_be_looked_at() {
    let world = World::new();
    let shop = Shop::plain(&world);
    let challenge = challenge(&world, &shop);
    let invoice = decode(&world, &challenge.invoice);
    assert_eq!((&invoice["type"], &invoice["amount_msat"]), (&"invoice".into(), &10_000.into()));
    assert_eq!(invoice["description"], "goods");
    assert_eq!(decode(&world, &format!("lightning:{}", challenge.invoice.to_uppercase())), invoice);

    let token = decode(&world, &hex::encode(challenge.token.as_bytes()));
    assert_eq!(token["type"], "token");
    assert_eq!(token["caveats"][0], "services=shop:0");
    assert_eq!(token["valid_until"], 4_000_000_000_u64);
    assert_eq!(token["payment_hash"], invoice["payment_hash"]);
    assert_eq!(token["signature"], Value::Null);

    for value in [
        challenge.l402_value(),
        format!("WWW-Authenticate: {}", challenge.lsat_value()),
        format!("{}, error_uri=\"https://example.com\"", challenge.l402_value()),
    ] {
        let whole = decode(&world, &value);
        assert_eq!(whole["type"], "challenge");
        assert_eq!(whole["token_belongs_to_invoice"], true);
        assert_eq!(whole["invoice"]["payment_hash"], token["payment_hash"]);
    }
}

#[test]
fn secrets_of_a_credential_stay_hidden() {
    let world = World::new();
    let shop = Shop::plain(&world);
    let text = credential_text(&shop.till, &["services=shop:0"]);
    for spelled in [text.clone(), format!("Authorization: {text}"), text.replace("L402 ", "")] {
        let shown = decode(&world, &spelled);
        assert_eq!(shown["type"], "credential");
        assert_eq!(shown["preimage_belongs_to_token"], true);
        assert_eq!(shown["preimage"], Value::Null);
    }
    let plain = world.run(&["decode", &text]).expect(0);
    assert!(plain.body().contains("services=shop:0") && !plain.body().contains(&"03".repeat(32)));
    assert!(world.run(&["decode", "--reveal", &text]).expect(0).body().contains(&"03".repeat(32)));
}

#[test]
fn text_from_strangers_cannot_touch_the_terminal() {
    let world = World::new();
    let shop = Shop::plain(&world);
    let evil = world.runtime.block_on(shop.till.challenge(&["a=\u{1b}[2J\u{202e}"]));
    let shown = world.run(&["decode", &evil.l402_value()]).expect(0);
    assert!(!shown.body().contains('\u{1b}') && !shown.body().contains('\u{202e}'), "{}", shown.body());
}

#[test]
fn rubbish_is_named_as_such() {
    let world = World::new();
    for text in [
        "",
        "hello",
        "lnbc1",
        "L402 x:y",
        "L402 macaroon=\"AA\", invoice=\"lnbc1\"",
        "AgEE",
        "é",
        ":",
        "L402 ",
    ] {
        let ending = world.run(&["decode", "--json", text]);
        assert!(ending.code == 1, "{text}: {}", ending.stderr);
        assert_eq!(ending.report()["code"], "undecodable", "{text}");
    }
}
