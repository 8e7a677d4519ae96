//! A hundred thousand ways to write a priced path, its host and its method, against everything that servers are known to
//! do with them: whatever is let through without payment leads nowhere that has a price.

use crate::{
    raw::Raw,
    stage::{Stage, config, everything, everything_free, parsed},
};
use http::{Method, Request, Uri, header, request::Parts};
use l402_lightning::{Invoicer, loopback::LoopbackNode};
use l402_paywall::{Client, Gate, KeyFile, Now, Verdict, metering::Metering};
use octroi::edge::OsEntropy;
use octroi::start::{Payee, build_gate};
use serde_json::{Value, json};
use std::{net::Ipv4Addr, sync::Arc};
use testkit::{Reply as Script, Upstream};

const HOST: &str = "api.example.com";

const ODDITIES: [&str; 4] = ["double_slash", "encoded_slash", "backslash", "semicolon"];

/// Everything is free but what is below `/paid/` on one host, and there one path is.
fn shop(upstream: &str, oddities: &[&str]) -> Value {
    let mut open = everything_free(upstream);
    open["name"] = json!("open");
    let mut priced = everything(upstream);
    (priced["host"], priced["path"]) = (json!(HOST), json!("/paid/"));
    priced["routes"] = json!([{ "path": "/paid/health", "access": "free" }]);
    for service in [&mut open, &mut priced].into_iter().filter(|_| !oddities.is_empty()) {
        service["allow_in_path"] = json!(oddities);
    }
    config(json!([open, priced]))
}

fn gate(oddities: &[&str]) -> Gate {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = parsed(&shop("http://127.0.0.1:1", oddities), folder.path());
    let keys = KeyFile::generate(0, &mut |bytes| bytes.fill(7));
    let node: Arc<dyn Invoicer> = Arc::new(LoopbackNode::new([7; 32], Arc::new(|| 0)));
    let routes = std::mem::take(&mut config.routes);
    let metering = Arc::new(Metering::new(None, &OsEntropy));
    build_gate(routes, &config, &keys, Payee { invoicer: node, settlement: None, metering }, None)
}

/// Small numbers that look random and are the same in every run (xorshift64*, Marsaglia and Vigna).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).expect("31 bits") % sides
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

const BASES: [&str; 9] = [
    "/paid/secret",
    "/paid/secret/deep",
    "/free/../paid/secret",
    "/free/..%2fpaid/secret",
    "/paid/health/../secret",
    "/free/%2e%2e/paid/secret",
    "//paid/secret",
    "/paid/health",
    "/free/x",
];

const PIECES: [&str; 44] = [
    "/",
    "//",
    "/./",
    "/../",
    "../",
    ".",
    "..",
    "...",
    "\\",
    "\\..\\",
    ";",
    ";x=y",
    ";/",
    "..;/",
    "%2f",
    "%2F",
    "%5c",
    "%2e",
    "%2E%2e",
    "%3b",
    "%00",
    "%252f",
    "%252e%252e",
    "%255c",
    "%25%32%66",
    "%c0%ae",
    "%c0%af",
    "%e0%80%af",
    "%ff",
    "%",
    "%2",
    "%zz",
    "%20",
    "%09",
    "%0d%0a",
    "%23",
    "%3f",
    "?",
    "?a=/paid/",
    "paid",
    "free",
    "~",
    "\u{ff0e}\u{ff0e}",
    "\u{2215}",
];

const METHODS: [&str; 12] =
    ["GET", "GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "PAID"];

const HOSTS: [&str; 16] = [
    HOST,
    HOST,
    HOST,
    HOST,
    HOST,
    HOST,
    "API.Example.COM",
    "api.example.com.",
    "api.example.com:80",
    "api.example.com.:443",
    "api.example.com..",
    "u@api.example.com",
    "api.example.com/",
    "api.example.com, b",
    "other.example",
    "",
];

/// A path with some of its bytes written otherwise, and pieces put in and taken out.
fn mutated(dice: &mut Dice) -> String {
    let mut path = dice.of(&BASES).to_owned();
    for _ in 0..=dice.below(4) {
        let boundaries: Vec<usize> = path.char_indices().map(|(at, _)| at).collect();
        let at = boundaries[dice.below(boundaries.len())];
        let end = path[at..].chars().next().map_or(at, |c| at + c.len_utf8());
        let byte = path.as_bytes()[at];
        let written = match dice.below(8) {
            0 | 1 => dice.of(&PIECES).to_owned() + &path[at..end],
            2 => format!("%{byte:02x}"),
            3 => format!("%{byte:02X}"),
            4 => format!("%25{byte:02x}"),
            5 => format!("%25{:02x}{:02x}", b'0' + byte / 16 % 10, b'0' + byte % 10),
            6 => String::new(),
            _ => path[at..end].repeat(2),
        };
        path.replace_range(at..end, &written);
        if !path.starts_with('/') {
            path.insert(0, '/');
        }
    }
    path
}

/// Every escape decoded, valid or not.
fn decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        let escape = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = escape.and_then(|pair| u8::from_str_radix(pair, 16).ok()).filter(|_| *first == b'%');
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    decoded
}

fn slashes(path: &[u8]) -> Vec<u8> {
    path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect()
}

fn without_parameters(path: &[u8]) -> Vec<u8> {
    let segments = path.split(|byte| *byte == b'/');
    let bare: Vec<&[u8]> =
        segments.map(|segment| segment.split(|byte| *byte == b';').next().unwrap_or_default()).collect();
    bare.join(&b'/')
}

fn cut_at(path: &[u8], ends: &[u8]) -> Vec<u8> {
    path.iter().copied().take_while(|byte| !ends.contains(byte)).collect()
}

/// Dot segments resolved (RFC 3986 section 5.2.4), empty segments merged if so wished.
fn walked(path: &[u8], merging: bool) -> Vec<u8> {
    let mut walked: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| *byte == b'/').skip(1) {
        match segment {
            b"." => {}
            b".." => drop(walked.pop()),
            b"" if merging => {}
            _ => walked.push(segment),
        }
    }
    [b"/".to_vec(), walked.join(&b'/')].concat()
}

/// Whether a second decoding shows a byte that means nothing by itself (`%2561`). Such a path is passed on as it came
/// (wire contract, section 7.1), so a server that decodes twice is not protected from it.
fn hides_plain_bytes(path: &str) -> bool {
    let once = decoded(path.as_bytes());
    let plain = |pair: &[u8]| decoded(pair).first().is_some_and(u8::is_ascii_alphanumeric);
    once.windows(3).any(|three| three[0] == b'%' && plain(three))
}

/// What servers make of a path. Those that fold case or trim names are not among them: their owners have to know.
fn readings(path: &str) -> Vec<Vec<u8>> {
    let raw = path.as_bytes();
    let once = decoded(raw);
    let twice = decoded(&once);
    let thorough = slashes(&without_parameters(&decoded(&without_parameters(&once))));
    let mut readings = Vec::new();
    for reading in [
        raw.to_vec(),
        once.clone(),
        twice.clone(),
        slashes(raw),
        slashes(&once),
        slashes(&twice),
        without_parameters(raw),
        decoded(&without_parameters(raw)),
        without_parameters(&once),
        without_parameters(&twice),
        slashes(&without_parameters(&once)),
        cut_at(&once, b"\0"),
        cut_at(&once, b"?#"),
        cut_at(&twice, b"\0?#"),
        decoded(&walked(raw, true)),
        thorough,
    ] {
        readings.push(walked(&reading, true));
        readings.push(walked(&reading, false));
        readings.push(reading);
    }
    readings
}

/// Whether any server could take this for something that has a price.
fn has_price(host: &str, path: &str) -> bool {
    let host = host.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    let host = host.split([':', '/', ',', ' ', '\t']).next().unwrap_or_default().trim_end_matches('.');
    let below = |reading: &[u8]| reading.starts_with(b"/paid/") && reading != b"/paid/health";
    // The free path with a slash behind it, or nothing but the folder, is nothing that is sold.
    let sold = |reading: &Vec<u8>| {
        below(reading) && !matches!(reading.strip_prefix(b"/paid/"), Some(b"" | b"health" | b"health/"))
    };
    host == HOST && readings(path).iter().any(sold)
}

fn head(method: &str, host: &str, target: &str) -> Option<Parts> {
    let request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).ok()?)
        .uri(Uri::try_from(target).ok()?)
        .header(header::HOST, host);
    Some(request.body(()).ok()?.into_parts().0)
}

#[test]
fn no_spelling_of_a_priced_path_is_let_through_unpaid() {
    let gates = [gate(&[]), gate(&ODDITIES), gate(&["double_slash"]), gate(&["encoded_slash"])];
    let client = Client { ip: Ipv4Addr::LOCALHOST.into(), server_name: None };
    let now = Now { unix: 1_800_000_000, monotonic_ns: 0 };
    let mut dice = Dice(0x0c70_1402);
    let (mut admitted, mut refused, mut dangerous) = (0, 0, 0);
    for round in 0..100_000 {
        let (method, host, target) = (dice.of(&METHODS), dice.of(&HOSTS), mutated(&mut dice));
        let Some(head) = head(method, host, &target) else { continue };
        dangerous += u32::from(round % 10 == 0 && has_price(host, head.uri.path()));
        match gates[round % gates.len()].admit(&head, &client, now) {
            Err(_) => refused += 1,
            Ok(Verdict::Pending(_)) => panic!("there is nothing left to ask"),
            Ok(Verdict::Admitted(admission)) => {
                admitted += 1;
                let forwarded = admission.rewritten_target().unwrap_or(head.uri.path());
                let path = forwarded.split('?').next().unwrap_or_default();
                if !hides_plain_bytes(path) {
                    assert!(!has_price(host, path), "{method} {target} on {host:?} goes on as {path}");
                }
            }
        }
    }
    // The dice fall so that there is something to find.
    assert!(admitted > 10_000 && refused > 30_000 && dangerous > 2_000, "{admitted} {refused} {dangerous}");
}

/// The same through the whole gateway: what the upstream was really asked for.
#[tokio::test]
async fn no_spelling_of_a_priced_path_reaches_the_upstream_unpaid() {
    for oddities in [&[][..], &ODDITIES] {
        let upstream = Upstream::start(Script::text("sunny"));
        let mut config = shop(&upstream.url(), oddities);
        config["limits"]["mint"] = json!({ "per_network": "1/h" });
        let stage = Stage::open(&config).await;
        let mut raw = Raw::connect(stage.address()).await;
        let mut dice = Dice(0x5ec2_e7ed);
        let mut served = 0;
        for _ in 0..1_500 {
            let (host, target) = (dice.of(&HOSTS), mutated(&mut dice));
            raw.write(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
            let (head, _) = raw.answer().await.expect("an answer");
            served += usize::from(head.status() == 200);
            if head.field("connection") == Some("close") {
                raw = Raw::connect(stage.address()).await;
            }
        }
        let seen = upstream.seen();
        assert_eq!(seen.len(), served);
        assert!(served > 50, "{served}");
        for seen in seen {
            let host = seen.headers["host"].to_str().expect("text");
            let path = seen.target.split('?').next().unwrap_or_default();
            assert!(hides_plain_bytes(path) || !has_price(host, path), "{} on {host}", seen.target);
        }
    }
}

#[test]
fn the_oracle_knows_the_tricks() {
    for path in [
        "/paid/secret",
        "/%70aid/secret",
        "/%2570aid/secret",
        "//paid//secret",
        "/free/../paid/secret",
        "/free/%2e%2e%2fpaid/secret",
        "/free/%252e%252e/paid/secret",
        "/free\\..\\paid\\secret",
        "/free/..;x/paid/secret",
        "/paid;x=y/secret",
        "/paid/health/../secret",
        "/paid/secret%00",
    ] {
        assert!(has_price(HOST, path) && has_price("API.example.com.:80", path), "{path}");
    }
    for path in
        ["/", "/free/x", "/paid", "/paid/health", "/paidx/secret", "/free/paid/secret", "/PAID/secret"]
    {
        assert!(!has_price(HOST, path) && !has_price("other.example", "/paid/secret"), "{path}");
    }
}
