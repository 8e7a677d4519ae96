//! What a buyer gets: free things free, paid things for one payment, and the token again.

use std::io::Write;
use std::process::Stdio;

use crate::shop::{Reply, Shop, credential_text};
use crate::world::{World, end, until};

#[test]
fn free_things_need_neither_wallet_nor_token() {
    let world = World::new();
    let shop = Shop::plain(&world);
    let ending = end(world.l402_without_wallet(&["get", &shop.at("/free")]).spawn().unwrap()).served("free");
    assert_eq!(ending.stderr, "", "silence where nobody looks");
    assert_eq!(shop.requests("/free")[0].header("user-agent"), Some("l402/0.1.0"));
}

#[test]
fn one_purchase_asks_once_pays_once_and_the_token_is_used_again() {
    let world = World::new();
    let shop = Shop::plain(&world);
    world.get(&[&shop.at("/paid/a")]).served("goods for /paid/a");
    assert_eq!(shop.requests("/paid").len(), 2, "one challenge, one paid request");
    assert_eq!(world.node.calls().create, 1, "one invoice");
    world.get(&[&shop.at("/paid/a")]).served("goods for /paid/a");
    world.get(&[&shop.at("/paid/b?c=d")]).served("goods for /paid/b?c=d");
    assert_eq!(world.payments(), 1);
    assert_eq!(shop.requests("/paid").len(), 4);
}

#[test]
fn the_report_says_what_was_paid() {
    let world = World::new();
    let shop = Shop::plain(&world);
    world.node.knobs().set_fee(l402_lightning::MilliSat::from_msat(7));
    let report = world.get(&["--json", &shop.at("/paid")]).served("goods for /paid").report();
    assert_eq!(report["paid"], true);
    assert_eq!(report["amount_msat"], 10_000);
    assert_eq!(report["fee_msat"], 7);
    assert_eq!(report["status"], 200);
    let again = world.get(&["--json", &shop.at("/paid")]).served("goods for /paid").report();
    assert_eq!((&again["paid"], &again["with_token"]), (&false.into(), &true.into()));
}

#[test]
fn a_token_stays_with_scheme_host_and_port() {
    let world = World::new();
    let (shop, other) = (Shop::plain(&world), Shop::plain(&world));
    world.get(&[&shop.at("/paid")]).expect(0);
    world.get(&[&other.at("/free")]).expect(0);
    assert_eq!(other.requests("/free")[0].header("authorization"), None);
}

#[test]
fn two_services_of_one_origin_are_bought_once_each() {
    let world = World::new();
    let shop = Shop::open(&world, |till, head| {
        Box::pin(async move {
            let service = if head.path.starts_with("/a") { "services=a:0" } else { "services=b:0" };
            if till.admits(&head, service) { Reply::ok("goods") } else { till.demand(&[service]).await }
        })
    });
    for path in ["/a/1", "/b/1", "/a/2", "/b/2", "/a/1", "/b/3"] {
        world.get(&[&shop.at(path)]).served("goods");
    }
    assert_eq!(world.payments(), 2);
}

#[test]
fn a_token_past_its_own_expiry_is_not_shown_and_renewed() {
    let world = World::new();
    let shop = Shop::open(&world, |till, head| {
        Box::pin(async move {
            if till.admits(&head, "services=a:0") {
                return Reply::ok("goods");
            }
            // Good for the purchase itself, and over by the time of the next run.
            let end = format!("a_valid_until={}", crate::world::now() + 4);
            till.demand(&["services=a:0", &end]).await
        })
    });
    world.get(&[&shop.at("/")]).served("goods");
    let bought = crate::world::now();
    until("the token's expiry", || crate::world::now() > bought + 4);
    world.get(&[&shop.at("/")]).served("goods");
    assert_eq!(world.payments(), 2);
    assert_eq!(shop.requests("/")[2].header("authorization"), None, "an expired token is not sent");
}

#[test]
fn a_post_is_sent_whole_both_times() {
    let world = World::new();
    let shop = Shop::plain(&world);
    let file = world.home().join("order");
    let order = "x".repeat(60_000);
    std::fs::write(&file, &order).unwrap();
    let data = format!("@{}", file.display());
    world.get(&["-d", &data, "-H", "X-A: 1, 2", &shop.at("/paid")]).served("goods for /paid");
    let requests = shop.requests("/paid");
    assert_eq!(requests.len(), 2);
    for request in requests {
        assert_eq!(request.method, "POST");
        assert_eq!(request.body, order.as_bytes());
        assert_eq!(request.header("x-a"), Some("1, 2"));
        assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    }
}

#[test]
fn a_body_nobody_would_read_is_held_back_until_it_is_paid_for() {
    let world = World::new();
    let shop = Shop::plain(&world);
    let order: Vec<u8> = (0..5_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    std::fs::write(world.home().join("order"), &order).unwrap();
    world.get(&["-d", "@order", &shop.at("/paid")]).served("goods for /paid");
    let requests = shop.requests("/paid");
    assert_eq!((requests[0].body.len(), requests[1].body == order), (0, true));
    assert_eq!((requests.len(), world.payments()), (2, 1));
}

#[test]
fn standard_input_can_be_sent() {
    let world = World::new();
    let shop = Shop::plain(&world);
    let mut command = world.l402(&["get", "-X", "PUT", "-d", "@-", &shop.at("/paid")]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"from a pipe").unwrap();
    end(child).served("goods for /paid");
    let requests = shop.requests("/paid");
    assert_eq!((requests[1].method.as_str(), requests[1].body.as_slice()), ("PUT", &b"from a pipe"[..]));
}

#[test]
fn the_applications_own_authorization_rides_along() {
    let world = World::new();
    let shop = Shop::plain(&world);
    world.get(&["-H", "Authorization: Bearer mine", &shop.at("/paid")]).served("goods for /paid");
    let paid = &shop.requests("/paid")[1];
    let lines: Vec<_> = paid.headers.iter().filter(|(name, _)| name == "authorization").collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].1.starts_with("L402 "));
    assert_eq!(lines[1].1, "Bearer mine");
}

#[test]
fn a_credential_of_ones_own_is_used_and_nothing_bought_in_its_place() {
    let world = World::new();
    let shop = Shop::plain(&world);
    let good = format!("Authorization: {}", credential_text(&shop.till, &["services=shop:0"]));
    world.get(&["-H", &good, &shop.at("/paid")]).served("goods for /paid");
    let bad = format!("Authorization: {}", credential_text(&shop.till, &["services=other:0"]));
    let report = world.get(&["--json", "-H", &bad, &shop.at("/paid")]).expect(3).report();
    assert_eq!(report["code"], "own_credential");
    assert_eq!(world.payments(), 0);
}

#[test]
fn the_head_is_shown_on_demand() {
    let world = World::new();
    let shop = Shop::plain(&world);
    let ending = world.get(&["-i", &shop.at("/free")]).expect(0);
    assert!(ending.body().starts_with("HTTP/1.1 200 OK\r\n"), "{}", ending.body());
    assert!(ending.body().ends_with("\r\n\r\nfree"));
}

#[test]
fn an_error_status_is_a_failure_only_with_f() {
    let world = World::new();
    let shop = Shop::open(&world, |_, _| Box::pin(async { Reply::with(404, &[], "nothing here") }));
    world.get(&[&shop.at("/x")]).served("nothing here");
    let ending = world.get(&["-f", "--json", &shop.at("/x")]).expect(8);
    assert_eq!(ending.body(), "");
    assert_eq!(ending.report()["code"], "http_status");
}

#[test]
fn a_dry_run_says_the_price_and_pays_nothing() {
    let world = World::new();
    let shop = Shop::plain(&world);
    let ending = world.get(&["--dry-run", "--json", &shop.at("/paid")]).expect(0);
    let price: serde_json::Value = serde_json::from_str(ending.body()).unwrap();
    assert_eq!(price["amount_msat"], 10_000);
    assert_eq!(price["fee_limit_msat"], 990_000);
    assert_eq!(price["invoice"]["network"], "regtest");
    let free: serde_json::Value =
        serde_json::from_str(world.get(&["--dry-run", "--json", &shop.at("/free")]).expect(0).body())
            .unwrap();
    assert_eq!(free["payment_required"], false);
    world.get(&["--dry-run", "--max-cost", "9sat", &shop.at("/paid")]).expect(3);
    assert_eq!((world.payments(), world.node.calls().pay), (0, 0));
}
