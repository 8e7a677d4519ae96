//! Wallets that fail, hang, lie or go away, and buyers that are killed: always exactly one payment.

use std::time::Duration;

use l402_lightning::loopback::{Fault, When, WrongPayment, WrongTrack};

use crate::shop::{Reply, Shop};
use crate::world::{World, until};

/// Buys under a fault that strikes the first pay call only, then without it: the first run ends with `code`, the second
/// has the goods, and one payment was made in all.
fn once_in_all(fault: Fault<WrongPayment>, code: i32) {
    let world = World::new();
    let shop = Shop::plain(&world);
    world.node.knobs().pay().set_times(1, fault);
    let first = world.get(&["--json", &shop.at("/paid")]);
    assert_eq!(first.code, code, "{fault:?}: {}", first.stderr);
    let paid_at_first = world.payments();
    world.get(&[&shop.at("/paid")]).served("goods for /paid");
    assert_eq!(world.payments(), 1, "{fault:?}");
    if code == 0 {
        assert_eq!(paid_at_first, 1, "{fault:?}");
    }
    if code == 4 {
        assert_eq!(paid_at_first, 0, "{fault:?}: exit 4 says that nothing was paid");
    }
}

#[test]
fn a_wallet_that_fails_before_paying_has_not_paid() {
    once_in_all(Fault::Fail(When::Before), 4);
}

#[test]
fn a_wallet_that_fails_after_paying_is_asked() {
    once_in_all(Fault::Fail(When::After), 0);
}

#[test]
fn a_line_cut_before_paying_leaves_the_outcome_open() {
    once_in_all(Fault::Cut(When::Before), 5);
}

#[test]
fn a_line_cut_after_paying_is_cured_by_asking() {
    once_in_all(Fault::Cut(When::After), 0);
}

#[test]
fn a_wallet_that_hangs_before_paying_leaves_the_outcome_open() {
    once_in_all(Fault::Hang(When::Before), 5);
}

#[test]
fn a_wallet_that_hangs_after_paying_is_asked() {
    once_in_all(Fault::Hang(When::After), 0);
}

#[test]
fn an_answer_that_says_already_paid_is_looked_into() {
    once_in_all(Fault::Duplicate, 0);
}

#[test]
fn a_wrong_or_missing_preimage_is_asked_for_by_hash() {
    for wrong in [
        WrongPayment::WrongPreimage,
        WrongPayment::ZeroPreimage,
        WrongPayment::NoPreimage,
        WrongPayment::Failed,
        WrongPayment::InFlight,
    ] {
        once_in_all(Fault::Wrong(wrong), 0);
    }
}

/// The wallet has paid, and every question about it goes wrong: exit 5, and the truth comes out in the next run.
#[test]
fn a_paid_purchase_with_no_answer_about_it_is_never_paid_again() {
    for lie in [
        Fault::Wrong(WrongTrack::Payment(WrongPayment::WrongPreimage)),
        Fault::Wrong(WrongTrack::Payment(WrongPayment::ZeroPreimage)),
        Fault::Wrong(WrongTrack::Payment(WrongPayment::InFlight)),
        Fault::Wrong(WrongTrack::Unknown),
    ] {
        let world = World::new();
        let shop = Shop::plain(&world);
        world.node.knobs().pay().set_times(1, Fault::Cut(When::After));
        world.node.knobs().track().set(lie);
        let report = world.get(&["--json", &shop.at("/paid")]).expect(5).report();
        assert_eq!(report["code"], "payment_unknown", "{lie:?}");
        // A lie that lasts: still one payment.
        let again = world.get(&[&shop.at("/paid")]);
        assert!(again.code == 5 || lie == Fault::Wrong(WrongTrack::Unknown), "{lie:?} {}", again.stderr);
        assert_eq!(world.payments(), 1);
        world.node.knobs().clear();
        world.get(&[&shop.at("/paid")]).served("goods for /paid");
        assert_eq!(world.payments(), 1, "{lie:?}");
    }
}

#[test]
fn an_unresolved_payment_is_not_forgotten_because_the_wallet_is_away() {
    let world = World::new();
    let shop = Shop::plain(&world);
    world.node.knobs().pay().set_times(1, Fault::Cut(When::After));
    world.node.knobs().track().set(Fault::Wrong(WrongTrack::Payment(WrongPayment::InFlight)));
    world.get(&[&shop.at("/paid")]).expect(5);
    world.get(&["--wallet", "lnd+http://127.0.0.1:1", &shop.at("/paid")]).expect(5);
    crate::world::end(world.l402_without_wallet(&["get", &shop.at("/paid")]).spawn().unwrap()).expect(5);
    // Nor because the price has become too high.
    world.get(&["--max-cost", "1sat", &shop.at("/paid")]).expect(5);
    world.node.knobs().clear();
    world.get(&["--max-cost", "1sat", &shop.at("/paid")]).served("goods for /paid");
    assert_eq!(world.payments(), 1);
}

#[test]
fn another_wallet_is_not_told_to_pay_what_the_first_may_have_paid() {
    let (world, other) = (World::new(), World::new());
    let shop = Shop::plain(&world);
    world.node.knobs().pay().set_times(1, Fault::Hang(When::Before));
    world.get(&[&shop.at("/paid")]).expect(5);
    world.get(&["--wallet", &other.wallet, &shop.at("/paid")]).expect(5);
    assert_eq!((world.payments(), other.node.calls().pay), (0, 0));
    world.get(&[&shop.at("/paid")]).served("goods for /paid");
    assert_eq!(world.payments(), 1);
}

#[test]
fn paid_and_still_refused_stops_for_good() {
    let world = World::new();
    let shop = Shop::open(&world, |till, _| Box::pin(async move { till.demand(&["services=a:0"]).await }));
    let report = world.get(&["--json", &shop.at("/x")]).expect(6).report();
    assert_eq!(report["code"], "still_refused");
    for path in ["/x", "/y"] {
        world.get(&[&shop.at(path)]).expect(6);
    }
    assert_eq!(world.payments(), 1);
    // Until a person says so.
    let hash = report["payment_hash"].as_str().unwrap();
    world.run(&["tokens", "remove", hash]).expect(0);
    world.get(&[&shop.at("/x")]).expect(6);
    assert_eq!(world.payments(), 2);
}

#[test]
fn a_shop_that_names_another_service_each_time_is_paid_once_per_path() {
    let world = World::new();
    let shop = Shop::open(&world, |till, _| {
        Box::pin(async move {
            let (_, nonce) = till.invoice().await;
            till.demand(&[&format!("services=s{nonce}:0")]).await
        })
    });
    for _ in 0..3 {
        world.get(&[&shop.at("/x")]).expect(6);
    }
    assert_eq!(world.payments(), 1);
}

#[test]
fn a_401_after_paying_is_a_refusal_and_an_applications_401_is_an_answer() {
    let world = World::new();
    let shop = Shop::open(&world, |till, head| {
        Box::pin(async move {
            match (till.admits(&head, "services=a:0"), head.path.as_str()) {
                (false, _) => till.demand(&["services=a:0"]).await,
                (true, "/app") => Reply::with(401, &[("WWW-Authenticate", "Bearer")], "log in"),
                (true, _) => Reply::with(401, &[("WWW-Authenticate", "L402 realm=\"a\"")], "no"),
            }
        })
    });
    world.get(&[&shop.at("/app")]).served("log in");
    world.get(&[&shop.at("/x")]).expect(6);
    world.get(&[&shop.at("/x")]).expect(6);
    assert_eq!(world.payments(), 1);
}

/// Kills the buyer with SIGKILL once the node has seen `calls` pay calls, under a fault that holds it there.
fn killed(fault: Option<Fault<WrongPayment>>, delay: Duration, paid_before_death: bool) {
    let world = World::new();
    let shop = Shop::plain(&world);
    if let Some(fault) = fault {
        world.node.knobs().pay().set_times(1, fault);
    }
    world.node.knobs().pay().delay(delay);
    let url = shop.at("/paid");
    let mut child = world.l402(&["get", &url]).spawn().unwrap();
    until("the pay call", || world.node.calls().pay == 1);
    if paid_before_death {
        until("the payment", || world.payments() == 1);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    world.node.knobs().clear();
    world.get(&[&url]).served("goods for /paid");
    assert_eq!(world.payments(), 1, "{fault:?}");
}

#[test]
fn killed_before_the_wallet_paid() {
    killed(Some(Fault::Hang(When::Before)), Duration::ZERO, false);
}

#[test]
fn killed_while_the_payment_is_on_its_way() {
    killed(None, Duration::from_millis(300), false);
}

#[test]
fn killed_after_the_wallet_paid() {
    killed(Some(Fault::Hang(When::After)), Duration::ZERO, true);
}

#[test]
fn killed_between_the_purchase_and_its_use() {
    let world = World::new();
    let shop = Shop::open(&world, |till, head| {
        Box::pin(async move {
            if !till.admits(&head, "services=a:0") {
                return till.demand(&["services=a:0"]).await;
            }
            if head.path == "/slow" { Reply::default().then_silence() } else { Reply::ok("goods") }
        })
    });
    let mut child = world.l402(&["get", &shop.at("/slow")]).spawn().unwrap();
    until("the paid request", || shop.requests("/slow").len() == 2);
    child.kill().unwrap();
    child.wait().unwrap();
    world.get(&[&shop.at("/fast")]).served("goods");
    assert_eq!(world.payments(), 1);
}

/// Killed at many moments of a purchase that takes a while, again and again until it gets through.
#[test]
fn killed_at_any_moment_it_pays_once() {
    let world = World::new();
    let shop = Shop::plain(&world);
    world.node.knobs().pay().delay(Duration::from_millis(20));
    let url = shop.at("/paid");
    for millis in (0..60).step_by(3) {
        let mut child = world.l402(&["get", &url]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    world.run(&["get", &url]).served("goods for /paid");
    assert_eq!(world.payments(), 1);
}
