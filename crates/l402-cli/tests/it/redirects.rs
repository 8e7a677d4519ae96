//! Credentials and payments stay with the origin the person named.

use std::sync::Arc;

use crate::shop::{Head, Reply, Shop, Till};
use crate::world::World;

/// A shop that sends everyone below `/away` to `target`, and sells the rest.
fn pointing_to(world: &World, target: String) -> Shop {
    Shop::open(world, move |till: Arc<Till>, head: Head| {
        let target = target.clone();
        Box::pin(async move {
            match head.path.as_str() {
                "/away" => Reply::redirect(302, &target),
                "/home" => Reply::redirect(307, "/paid/here"),
                "/loop" => Reply::redirect(302, "/loop"),
                _ if till.admits(&head, "services=shop:0") => Reply::ok("goods"),
                _ => till.demand(&["services=shop:0"]).await,
            }
        })
    })
}

#[test]
fn within_the_origin_a_redirect_is_followed_and_its_end_is_paid() {
    let world = World::new();
    let shop = pointing_to(&world, String::new());
    world.get(&["-d", "order", &shop.at("/home")]).served("goods");
    let paid = shop.requests("/paid/here");
    assert_eq!(paid.len(), 2);
    assert_eq!(paid[1].body, b"order");
    assert_eq!(shop.requests("/home").len(), 1, "the paid request goes where the price was asked");
    world.get(&[&shop.at("/home")]).served("goods");
    assert_eq!(world.payments(), 1);
}

#[test]
fn another_origin_is_not_visited_unasked() {
    let world = World::new();
    let other = Shop::plain(&world);
    let shop = pointing_to(&world, other.at("/free"));
    let report = world.get(&["--json", &shop.at("/away")]).expect(3).report();
    assert_eq!(report["code"], "other_origin");
    assert!(other.requests("/").is_empty());
    world.get(&["-L", &shop.at("/away")]).served("free");
}

#[test]
fn another_origin_gets_neither_credential_nor_payment() {
    let world = World::new();
    let other = Shop::plain(&world);
    let shop = pointing_to(&world, other.at("/paid"));
    // Both shops have been paid before; neither token may travel.
    world.get(&[&shop.at("/x")]).expect(0);
    world.get(&[&other.at("/paid")]).expect(0);
    let seen = other.requests("/").len();
    let own = "Authorization: Bearer mine";
    let report =
        world.get(&["--json", "-L", "-H", own, "-H", "Cookie: a=b", &shop.at("/away")]).expect(3).report();
    assert_eq!(report["code"], "other_origin");
    let request = &other.requests("/")[seen];
    assert_eq!((request.header("authorization"), request.header("cookie")), (None, None));
    assert_eq!(world.payments(), 2);
}

#[test]
fn a_detour_through_another_origin_ends_in_no_payment_at_home() {
    let world = World::new();
    let shop = Shop::plain(&world);
    let detour = pointing_to(&world, shop.at("/paid"));
    let start = pointing_to(&world, detour.at("/away"));
    world.get(&["-L", &start.at("/away")]).expect(3);
    assert_eq!(world.payments(), 0);
}

#[test]
fn redirects_end() {
    let world = World::new();
    let shop = pointing_to(&world, "mailto:x".to_owned());
    world.get(&[&shop.at("/loop")]).expect(1);
    assert_eq!(shop.requests("/loop").len(), 11);
    world.get(&[&shop.at("/away")]).expect(1);
}
