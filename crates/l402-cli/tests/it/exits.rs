//! The exit codes, one of each: a contract with scripts.

use l402_lightning::loopback::{Fault, When};

use crate::shop::{Reply, Shop};
use crate::world::World;

type Trouble = fn(&World);

/// What is asked for, under what trouble, and how it ends: exit code and word.
const TABLE: &[(i32, &str, &[&str], Trouble)] = &[
    (0, "", &["/paid"], |_| {}),
    (1, "output", &["/paid", "-o", "/nowhere/x"], |_| {}),
    (2, "usage", &["/paid", "--max-cost", "5"], |_| {}),
    (3, "too_dear", &["/paid", "--max-cost", "5sat"], |_| {}),
    (4, "payment_failed", &["/paid"], |world| world.node.knobs().pay().set(Fault::Fail(When::Before))),
    (5, "payment_unknown", &["/paid"], |world| world.node.knobs().pay().set(Fault::Cut(When::Before))),
    (6, "still_refused", &["/never"], |_| {}),
    (7, "cut", &["/cut"], |_| {}),
    (8, "http_status", &["/gone", "-f"], |_| {}),
];

#[test]
fn every_way_to_end_has_its_exit_code() {
    for (code, word, arguments, trouble) in TABLE {
        let world = World::new();
        let shop = Shop::open(&world, |till, head| {
            Box::pin(async move {
                match head.path.as_str() {
                    "/gone" => Reply::with(410, &[], "gone"),
                    "/cut" => Reply::ok("hello").without_last(1),
                    "/paid" if till.admits(&head, "services=a:0") => Reply::ok("goods"),
                    _ => till.demand(&["services=a:0"]).await,
                }
            })
        });
        trouble(&world);
        let url = shop.at(arguments[0]);
        let ending = world.get(&[&["--json", &url], &arguments[1..]].concat());
        assert_eq!(ending.code, *code, "{word}: {}", ending.stderr);
        let report = ending.report();
        if *code == 0 {
            assert_eq!(report["paid"], true);
            continue;
        }
        assert_eq!(report["code"], *word);
        assert_eq!(report["exit_code"], *code);
        assert_eq!(ending.stderr.lines().count(), 1, "one object: {}", ending.stderr);
        // The same end in words.
        let world = World::new();
        trouble(&world);
        let ending = world.get(&[&[url.as_str()], &arguments[1..]].concat());
        assert!(ending.stderr.starts_with("error: "), "{}", ending.stderr);
    }
}
