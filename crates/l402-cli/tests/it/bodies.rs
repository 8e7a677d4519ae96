//! Bodies: streamed, cut, endless, continued; and outputs that fail before anything is paid.

use std::os::unix::fs::PermissionsExt;

use crate::shop::{Reply, Shop};
use crate::world::World;

#[test]
fn a_cut_body_is_a_failure() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
    for (whole, cut) in [(chunked, 5), (chunked, 1), (chunked, 8), (sized, 1), (sized, 10)] {
        let world = World::new();
        let shop = Shop::open(&world, move |till, head| {
            Box::pin(async move {
                if till.admits(&head, "services=a:0") {
                    return Reply::raw(whole).without_last(cut);
                }
                till.demand(&["services=a:0"]).await
            })
        });
        let ending = world.get(&["--json", &shop.at("/")]).expect(7);
        assert_eq!(ending.report()["code"], "cut", "{whole} {cut}");
        // The token is kept: nothing is bought for the second try.
        world.get(&[&shop.at("/")]).expect(7);
        assert_eq!(world.payments(), 1);
    }
}

#[test]
fn the_body_of_a_402_is_never_waited_for() {
    let head = "HTTP/1.1 402 Payment Required\r\nTransfer-Encoding: chunked\r\n";
    for endless in [false, true] {
        let world = World::new();
        let shop = Shop::open(&world, move |till, request| {
            Box::pin(async move {
                if till.admits(&request, "services=a:0") {
                    return Reply::ok("goods");
                }
                let line = till.challenge(&["services=a:0"]).await.l402_value();
                let reply = Reply::raw(&format!("{head}WWW-Authenticate: {line}\r\n\r\n"));
                if endless { reply.then_endless("5\r\nhello\r\n") } else { reply.then_silence() }
            })
        });
        world.get(&[&shop.at("/")]).served("goods");
        assert_eq!(world.payments(), 1);
    }
}

#[test]
fn an_output_that_cannot_be_written_is_found_out_before_anything_is_asked() {
    let world = World::new();
    let shop = Shop::plain(&world);
    for path in ["/nowhere/file", ".", "/proc/version/x"] {
        let report = world.get(&["--json", "-o", path, &shop.at("/paid")]).expect(1).report();
        assert_eq!(report["code"], "output", "{path}");
    }
    assert!(shop.requests("/").is_empty());
    assert_eq!(world.payments(), 0);
}

#[test]
fn a_store_that_cannot_be_used_is_found_out_before_anything_is_asked() {
    let world = World::new();
    let shop = Shop::plain(&world);
    let file = world.home().join("a-file");
    std::fs::write(&file, "").unwrap();
    let mut command = world.l402(&["get", "--json", &shop.at("/paid")]);
    let ending = crate::world::end(command.env("XDG_DATA_HOME", &file).spawn().unwrap()).expect(1);
    assert_eq!(ending.report()["code"], "store");
    assert!(shop.requests("/").is_empty());
    // A folder in the way of the origin's own: seen when the tokens are looked for, still before paying.
    world.get(&[&shop.at("/free")]).expect(0);
    let folder = shop.url.replace("http://", "http_").replace(':', "_");
    std::fs::write(world.data().join("tokens").join(folder), "").unwrap();
    world.get(&[&shop.at("/paid")]).expect(1);
    assert_eq!(world.payments(), 0);
}

#[test]
fn an_output_keeps_its_content_until_a_body_arrives() {
    let world = World::new();
    let shop = Shop::plain(&world);
    let file = world.home().join("kept");
    std::fs::write(&file, "something long that was there before").unwrap();
    world.get(&["-o", "kept", "--no-pay", &shop.at("/paid")]).expect(3);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "something long that was there before");
    world.get(&["-o", "new", "--no-pay", &shop.at("/paid")]).expect(3);
    assert!(!world.home().join("new").exists());
    let ending = world.get(&["-o", "kept", &shop.at("/paid")]).expect(0);
    assert_eq!((ending.body(), ending.stderr.as_str()), ("", ""));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "goods for /paid");
    world.get(&["-o", "/dev/null", &shop.at("/paid")]).expect(0);
}

/// A download of ten bytes that breaks after `cut` of them unless a range is asked for.
fn download(world: &World, tag: &'static str, range: &'static str) -> Shop {
    Shop::open(world, move |till, head| {
        Box::pin(async move {
            if !till.admits(&head, "services=a:0") {
                return till.demand(&["services=a:0"]).await;
            }
            let tag_line = format!("ETag: {tag}\r\n");
            match head.header("range") {
                None => {
                    Reply::raw(&format!("HTTP/1.1 200 OK\r\n{tag_line}Content-Length: 10\r\n\r\n0123456789"))
                        .without_last(if head.header("x-whole").is_some() { 0 } else { 6 })
                }
                Some("bytes=10-") => Reply::with(416, &[("Content-Range", "bytes */10")], ""),
                Some(_) if head.header("if-range") == Some(tag) => {
                    Reply::with(206, &[("Content-Range", range), ("ETag", tag)], "456789")
                }
                Some(_) => Reply::with(200, &[], "changed"),
            }
        })
    })
}

#[test]
fn an_interrupted_download_is_continued_with_the_same_token() {
    let world = World::new();
    let shop = download(&world, "\"v1\"", "bytes 4-9/10");
    let url = shop.at("/file");
    world.get(&["-o", "f", &url]).expect(7);
    assert_eq!(std::fs::read_to_string(world.home().join("f")).unwrap(), "0123");
    world.get(&["-C", "-o", "f", &url]).expect(0);
    assert_eq!(std::fs::read_to_string(world.home().join("f")).unwrap(), "0123456789");
    world.get(&["-C", "-o", "f", &url]).expect(0);
    assert_eq!(std::fs::read_to_string(world.home().join("f")).unwrap(), "0123456789");
    assert_eq!(world.payments(), 1);
}

#[test]
fn another_range_than_asked_for_is_not_written() {
    let world = World::new();
    let shop = download(&world, "\"v1\"", "bytes 3-9/10");
    world.get(&["-o", "f", &shop.at("/file")]).expect(7);
    world.get(&["-C", "-o", "f", &shop.at("/file")]).expect(1);
    assert_eq!(std::fs::read_to_string(world.home().join("f")).unwrap(), "0123");
}

#[test]
fn without_a_strong_validator_the_whole_is_fetched_again() {
    let world = World::new();
    let shop = download(&world, "W/\"v1\"", "bytes 4-9/10");
    world.get(&["-o", "f", &shop.at("/file")]).expect(7);
    world.get(&["-C", "-o", "f", "-H", "X-Whole: 1", &shop.at("/file")]).expect(0);
    assert_eq!(std::fs::read_to_string(world.home().join("f")).unwrap(), "0123456789");
    // A file of somebody else's making is not taken for a beginning of this one.
    std::fs::write(world.home().join("g"), "abcd").unwrap();
    world.get(&["-C", "-o", "g", "-H", "X-Whole: 1", &shop.at("/file")]).expect(0);
    assert_eq!(std::fs::read_to_string(world.home().join("g")).unwrap(), "0123456789");
}

#[test]
fn large_bodies_pass_through_whole() {
    let world = World::new();
    let body = "0123456789abcdef".repeat(200_000);
    let (sent, expected) = (body.clone(), body);
    let shop = Shop::open(&world, move |_, _| {
        let body = sent.clone();
        Box::pin(async move { Reply::ok(&body) })
    });
    assert_eq!(world.get(&[&shop.at("/")]).expect(0).body(), expected);
}

#[test]
fn lax_output_modes_are_the_persons_business() {
    let world = World::new();
    let shop = Shop::plain(&world);
    world.get(&["-o", "f", &shop.at("/free")]).expect(0);
    let mode = std::fs::metadata(world.home().join("f")).unwrap().permissions().mode();
    assert_eq!(mode & 0o600, 0o600);
}
