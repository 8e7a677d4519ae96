//! What is refused before a millisatoshi moves. In every test here the wallet is never told to pay.

use l402_lightning::loopback::{Fault, WrongInvoice};
use l402_lightning::{MilliSat, Network};

use crate::shop::{Reply, Shop};
use crate::world::{Ending, World, end};

#[track_caller]
fn refused(world: &World, ending: Ending, code: &str) {
    let ending = ending.expect(3);
    assert_eq!(ending.body(), "");
    assert_eq!(ending.report()["code"], code, "{}", ending.stderr);
    assert_eq!(world.node.calls().pay, 0);
}

#[test]
fn invoices_that_cannot_be_meant_are_not_paid() {
    for (wrong, code) in [
        (WrongInvoice::NoAmount, "invoice"),
        (WrongInvoice::SubMilliSatoshi, "invoice"),
        (WrongInvoice::AmountTooLarge, "invoice"),
        (WrongInvoice::Signature, "invoice"),
        (WrongInvoice::Expired, "expired"),
        (WrongInvoice::ExpirySecs(8), "expired"),
        (WrongInvoice::Network(Network::Mainnet), "network_mismatch"),
        (WrongInvoice::Network(Network::Signet), "network_mismatch"),
        (WrongInvoice::Network(Network::Testnet), "network_mismatch"),
        // A whole number of bitcoin: no multiplier letter in the text.
        (WrongInvoice::Amount(MilliSat::from_msat(200_000_000_000)), "too_dear"),
        (WrongInvoice::Amount(MilliSat::from_msat(1_000_001)), "too_dear"),
    ] {
        let world = World::new();
        let shop = Shop::plain(&world);
        world.node.knobs().create().set(Fault::Wrong(wrong));
        let ending = world.get(&["--json", &shop.at("/paid")]);
        assert_eq!(ending.code, 3, "{wrong:?}: {}", ending.stderr);
        refused(&world, ending, code);
    }
}

#[test]
fn a_token_for_another_payment_is_not_bought() {
    let world = World::new();
    let shop = Shop::open(&world, |till, _| {
        Box::pin(async move {
            let (mut cheap, dear) = (till.challenge(&["services=a:0"]).await, till.invoice().await);
            cheap.invoice = dear.0;
            Reply::demand(&[cheap.l402_value()])
        })
    });
    refused(&world, world.get(&["--json", &shop.at("/")]), "mismatch");
}

#[test]
fn a_token_that_has_ended_already_is_not_bought() {
    let world = World::new();
    let shop = Shop::open(&world, |till, _| {
        Box::pin(async move { till.demand(&["services=a:0", "a_valid_until=1000"]).await })
    });
    refused(&world, world.get(&["--json", &shop.at("/")]), "expired");
}

#[test]
fn the_cap_holds_to_the_millisatoshi_with_the_fee() {
    let world = World::new();
    let shop = Shop::plain(&world);
    refused(&world, world.get(&["--json", "--max-cost", "9999msat", &shop.at("/paid")]), "too_dear");
    // The wallet is told that there is no room for a fee, and finds no route.
    world.node.knobs().set_fee(MilliSat::from_msat(1));
    let report = world.get(&["--json", "--max-cost", "10000msat", &shop.at("/paid")]).expect(4).report();
    assert_eq!(report["code"], "payment_failed");
    assert_eq!(world.payments(), 0);
    world.get(&["--max-cost", "10001msat", &shop.at("/paid")]).served("goods for /paid");
    assert_eq!(world.payments(), 1);
}

#[test]
fn no_pay_means_no_pay_but_a_token_is_used() {
    let world = World::new();
    let shop = Shop::plain(&world);
    let ending = world.get(&["--json", "--no-pay", &shop.at("/paid")]);
    let report = ending.report();
    refused(&world, ending, "not_allowed");
    assert!(report["invoice"].as_str().unwrap().starts_with("lnbcrt"));
    world.get(&[&shop.at("/paid")]).expect(0);
    world.get(&["--no-pay", &shop.at("/paid")]).served("goods for /paid");
}

#[test]
fn without_a_wallet_the_challenge_is_shown_with_how_to_set_one() {
    let world = World::new();
    let shop = Shop::plain(&world);
    let ending = end(world.l402_without_wallet(&["get", &shop.at("/paid")]).spawn().unwrap()).expect(3);
    assert_eq!(ending.body(), "");
    for part in ["error: ", "price: 10 sat", "invoice: lnbcrt", "token: ", "hint: ", "L402_WALLET"] {
        assert!(ending.stderr.contains(part), "{part}: {}", ending.stderr);
    }
}

#[test]
fn the_wallet_may_come_from_the_configuration_file() {
    let world = World::new();
    let shop = Shop::plain(&world);
    let folder = world.home().join(".config/l402");
    std::fs::create_dir_all(&folder).unwrap();
    let get = || end(world.l402_without_wallet(&["get", "--json", &shop.at("/paid")]).spawn().unwrap());
    std::fs::write(
        folder.join("config.toml"),
        format!("wallet = \"{}\"\nmax_cost = \"5 sat\"\n", world.wallet),
    )
    .unwrap();
    refused(&world, get(), "too_dear");
    std::fs::write(folder.join("config.toml"), format!("walet = \"{}\"\n", world.wallet)).unwrap();
    let report = get().expect(2).report();
    assert!(report["error"].as_str().unwrap().contains("config.toml:1:1: unknown field"), "{report}");
    std::fs::write(folder.join("config.toml"), format!("wallet = \"{}\"\n", world.wallet)).unwrap();
    get().served("goods for /paid");
}

#[test]
fn a_wallet_that_is_not_there_is_found_out_before_paying() {
    let world = World::new();
    let shop = Shop::plain(&world);
    for (wallet, exit, code) in [
        ("lnd+http://127.0.0.1:1", 4, "wallet"),
        ("lnd+http://node.example:8080", 3, "plain_http"),
        ("carrier+pigeon://127.0.0.1:1", 2, "usage"),
        ("lnd+http://127.0.0.1:1?macaroon=/nowhere", 4, "wallet"),
        ("no wallet at all", 2, "usage"),
    ] {
        let ending = world.get(&["--json", "--wallet", wallet, &shop.at("/paid")]).expect(exit);
        assert_eq!(ending.report()["code"], code, "{wallet}");
    }
    // A web server is not a wallet.
    let wallet = shop.url.replace("http://", "lnd+http://");
    world.get(&["--wallet", &wallet, &shop.at("/paid")]).expect(4);
    assert_eq!(world.node.calls().pay, 0);
}

#[test]
fn a_402_without_a_readable_offer_is_said_to_be_one() {
    for challenge in
        ["Payment id=\"x\"", "L402 macaroon=\"AAAA\", invoice=\"lnbc1\"", "L402 realm=\"x\"", "Basic"]
    {
        let world = World::new();
        let shop =
            Shop::open(&world, move |_, _| Box::pin(async move { Reply::demand(&[challenge.to_owned()]) }));
        let report = world.get(&["--json", &shop.at("/")]).expect(1).report();
        assert_eq!(report["code"], "no_offer");
    }
}

#[test]
fn what_cannot_be_meant_is_a_usage_error() {
    let world = World::new();
    for arguments in [
        &["get"][..],
        &["get", "not a url"],
        &["get", "ftp://x"],
        &["get", "http://u:p@x"],
        &["get", "http://x", "--max-cost", "100"],
        &["get", "http://x", "--max-cost", "1.5sat"],
        &["get", "http://x", "--payment-timeout", "60"],
        &["get", "http://x", "--payment-timeout", "0s"],
        &["get", "http://x", "-H", "nonsense"],
        &["get", "http://x", "-X", "G T"],
        &["get", "http://x", "-d", "@/nowhere"],
        &["get", "http://x", "-C"],
        &["get", "http://x", "--dry-run", "-o", "y"],
        &["get", "http://x", "--maxcost", "1sat"],
        &["fetch"],
    ] {
        let ending = world.run(&[arguments, &["--json"]].concat()).expect(2);
        assert_eq!(ending.report()["code"], "usage", "{arguments:?}");
    }
}
