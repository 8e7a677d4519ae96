//! Every spelling of a challenge that servers in the field use is understood and paid.

use l402::Challenge;

use crate::shop::{Reply, Shop, url_safe};
use crate::world::World;

type Spelling = fn(&Challenge) -> Vec<String>;

fn token(challenge: &Challenge) -> String {
    let value = challenge.lsat_value();
    value.split('"').nth(1).unwrap().to_owned()
}

const SPELLINGS: &[(&str, Spelling)] = &[
    ("LSAT line, L402 line", |c| vec![c.lsat_value(), c.l402_value()]),
    ("macaroon, invoice", |c| vec![format!(r#"L402 macaroon="{}", invoice="{}""#, token(c), c.invoice)]),
    ("protocol text", |c| {
        vec![format!(r#"L402 version="0", token="{}", invoice="{}""#, token(c), c.invoice)]
    }),
    ("version first", |c| {
        vec![format!(r#"L402 version="0", macaroon="{}", invoice="{}""#, token(c), c.invoice)]
    }),
    ("superset", |c| vec![c.l402_value()]),
    ("token and macaroon", |c| {
        vec![format!(r#"L402 token="{0}", macaroon="{0}", invoice="{1}", version=0"#, token(c), c.invoice)]
    }),
    ("unquoted", |c| {
        // A bare value cannot carry padding (RFC 9110, section 5.6.2), nor the standard alphabet's slash.
        vec![format!("L402 macaroon={}, invoice={}", url_safe(&c.token), c.invoice)]
    }),
    ("invoice first", |c| vec![format!(r#"L402 invoice="{}", macaroon="{}""#, c.invoice, token(c))]),
    ("lower case", |c| vec![format!(r#"l402 MACAROON="{}", Invoice="{}""#, token(c), c.invoice)]),
    ("no space", |c| vec![format!(r#"L402 macaroon="{}",invoice="{}""#, token(c), c.invoice)]),
    ("base64url, no padding", |c| {
        vec![format!(r#"L402 macaroon="{}", invoice="{}""#, url_safe(&c.token), c.invoice)]
    }),
    ("Basic first", |c| vec![r#"Basic realm="x, y""#.to_owned(), c.l402_value()]),
    ("one line", |c| vec![format!("{}, {}", c.lsat_value(), c.l402_value())]),
    ("Payment after", |c| vec![c.l402_value(), PAYMENT.to_owned()]),
    ("Payment before", |c| vec![PAYMENT.to_owned(), c.l402_value()]),
    ("Payment in one line", |c| vec![format!("{PAYMENT}, {}", c.l402_value())]),
    ("upper-case invoice", |c| {
        vec![format!(r#"L402 macaroon="{}", invoice="{}""#, token(c), c.invoice.to_ascii_uppercase())]
    }),
];

const PAYMENT: &str =
    r#"Payment id="x", realm="r", method="lightning", intent="charge", request="eyJhIjoxfQ""#;

#[test]
fn every_known_spelling_is_paid_and_answered() {
    let world = World::new();
    for (name, spelling) in SPELLINGS {
        let shop = Shop::open(&world, move |till, head| {
            Box::pin(async move {
                if till.admits(&head, "services=a:0") {
                    return Reply::ok("goods");
                }
                Reply::demand(&spelling(&till.challenge(&["services=a:0"]).await))
            })
        });
        let ending = world.get(&[&shop.at("/")]);
        assert_eq!(ending.code, 0, "{name}: {}", ending.stderr);
    }
    assert_eq!(world.payments(), SPELLINGS.len());
}

#[test]
fn a_server_that_says_lsat_is_answered_with_lsat_in_every_run() {
    let world = World::new();
    let shop = Shop::open(&world, |till, head| {
        Box::pin(async move {
            let old = head.header("authorization").is_some_and(|value| value.starts_with("LSAT "));
            if old && till.admits(&head, "services=a:0") {
                return Reply::ok("goods");
            }
            Reply::demand(&[till.challenge(&["services=a:0"]).await.lsat_value()])
        })
    });
    world.get(&[&shop.at("/")]).served("goods");
    world.get(&[&shop.at("/")]).served("goods");
    assert_eq!(world.payments(), 1);
}
