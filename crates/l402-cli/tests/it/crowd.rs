//! Many processes that want the same thing at once.

use std::process::Child;
use std::time::Duration;

use crate::shop::{Reply, Shop};
use crate::world::{World, end, until};

/// The issue of a hundred processes, at full size.
const CROWD: usize = 100;

#[test]
fn a_hundred_processes_buy_one_thing_once() {
    let world = World::new();
    let shop = Shop::plain(&world);
    world.node.knobs().pay().delay(Duration::from_millis(50));
    let url = shop.at("/paid");
    let children: Vec<Child> = (0..CROWD).map(|_| world.l402(&["get", &url]).spawn().unwrap()).collect();
    for child in children {
        end(child).served("goods for /paid");
    }
    assert_eq!(world.payments(), 1);
    assert_eq!(world.node.calls().pay, 1);
}

#[test]
fn those_who_never_see_a_price_wait_for_the_token_too() {
    let world = World::new();
    let shop = Shop::open(&world, |till, head| {
        Box::pin(async move {
            if till.admits(&head, "services=a:0") {
                return Reply::ok("goods");
            }
            // A gateway's mint limit: a few challenges for everybody in this network.
            if till.challenges() < 5 {
                return till.demand(&["services=a:0"]).await;
            }
            Reply::with(503, &[("Retry-After", "2")], "no challenge just now")
        })
    });
    world.node.knobs().pay().delay(Duration::from_millis(100));
    let url = shop.at("/");
    let children: Vec<Child> = (0..30).map(|_| world.l402(&["get", &url]).spawn().unwrap()).collect();
    for child in children {
        end(child).served("goods");
    }
    assert_eq!(world.payments(), 1);
}

#[test]
fn when_the_buyer_is_killed_the_next_one_takes_over() {
    let world = World::new();
    let shop = Shop::plain(&world);
    world.node.knobs().pay().delay(Duration::from_millis(400));
    let url = shop.at("/paid");
    let mut first = world.l402(&["get", &url]).spawn().unwrap();
    until("the first one to pay", || world.node.calls().pay == 1);
    let others: Vec<Child> = (0..5).map(|_| world.l402(&["get", &url]).spawn().unwrap()).collect();
    until("the others to ask", || shop.requests("/paid").len() >= 6);
    first.kill().unwrap();
    first.wait().unwrap();
    for child in others {
        end(child).served("goods for /paid");
    }
    assert_eq!(world.payments(), 1);
}

#[test]
fn different_things_are_bought_side_by_side() {
    let world = World::new();
    let shop = Shop::open(&world, |till, head| {
        Box::pin(async move {
            let caveat = format!("services={}:0", head.path.trim_start_matches('/'));
            if till.admits(&head, &caveat) { Reply::ok(&head.path) } else { till.demand(&[&caveat]).await }
        })
    });
    let paths: Vec<String> = (0..8).map(|number| format!("/service{number}")).collect();
    let children: Vec<(Child, &String)> =
        paths.iter().map(|path| (world.l402(&["get", &shop.at(path)]).spawn().unwrap(), path)).collect();
    for (child, path) in children {
        end(child).served(path);
    }
    assert_eq!(world.payments(), paths.len());
}
