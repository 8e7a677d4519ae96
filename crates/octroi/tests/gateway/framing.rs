//! HTTP/1 requests that two servers could read differently, byte by byte: what the client gets, what the upstream saw,
//! and that the line is closed where nobody can tell any more where the next request begins.

use crate::{
    backend::Recorder,
    caller::eventually,
    raw::Raw,
    stage::{Stage, everything, everything_free},
};

const PROBE: &str = "GET /probe HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// A `POST` with these header lines and this body.
fn post(lines: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a\r\n{lines}\r\n\r\n{body}")
}

/// A `GET` with these header lines after a good `Host`.
fn get(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n\r\n")
}

/// A request line before a good `Host`.
fn line(line: &str) -> String {
    format!("{line}\r\nhost: a\r\n\r\n")
}

fn chunked(body: &str) -> String {
    post("transfer-encoding: chunked", body)
}

fn ambiguous_bodies() -> Vec<(&'static str, String)> {
    vec![
        (
            "two Transfer-Encodings",
            post("transfer-encoding: chunked\r\ntransfer-encoding: chunked", "0\r\n\r\n"),
        ),
        ("a list of codings", post("transfer-encoding: gzip, chunked", "0\r\n\r\n")),
        ("an empty coding first", post("transfer-encoding: ,chunked", "0\r\n\r\n")),
        ("an empty coding last", post("transfer-encoding: chunked,", "0\r\n\r\n")),
        ("identity", post("transfer-encoding: identity", "")),
        ("a coding like chunked", post("transfer-encoding: xchunked", "0\r\n\r\n")),
        ("a vertical tab before it", post("transfer-encoding: \u{b}chunked", "0\r\n\r\n")),
        (
            "chunked in HTTP/1.0",
            "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        ),
        ("a length with a zero", post("content-length: 03", "abc")),
        ("a length with a plus", post("content-length: +3", "abc")),
        ("a length with a minus", post("content-length: -3", "abc")),
        ("a hexadecimal length", post("content-length: 0x3", "abc")),
        ("a list of lengths", post("content-length: 3, 3", "abc")),
        ("two lengths", post("content-length: 3\r\ncontent-length: 4", "abc")),
        ("no length at all", post("content-length:", "abc")),
        ("two numbers", post("content-length: 3 3", "abc")),
        ("2^64", post("content-length: 18446744073709551616", "abc")),
        ("letters as chunk size", chunked("zz\r\nabc\r\n0\r\n\r\n")),
        ("a chunk size with a plus", chunked("+3\r\nabc\r\n0\r\n\r\n")),
        ("a chunk size with 0x", chunked("0x3\r\nabc\r\n0\r\n\r\n")),
        ("a chunk size beyond 2^64", chunked("fffffffffffffffff\r\nabc")),
        ("chunks ended by line feeds", chunked("3\nabc\n0\n\n")),
        ("a line feed in an extension", chunked("3;a\nb\r\nabc\r\n0\r\n\r\n")),
    ]
}

fn ambiguous_heads() -> Vec<(&'static str, String)> {
    vec![
        ("two Hosts", get("host: a")),
        ("two different Hosts", get("host: b")),
        ("no Host", "GET / HTTP/1.1\r\n\r\n".into()),
        ("no Host in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n".into()),
        ("no Host beside a full target", "GET http://a/ HTTP/1.1\r\n\r\n".into()),
        ("an empty Host", "GET / HTTP/1.1\r\nhost:\r\n\r\n".into()),
        ("a list of Hosts", "GET / HTTP/1.1\r\nhost: a, b\r\n\r\n".into()),
        ("a Host with a path", "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n".into()),
        ("a Host with a user", "GET / HTTP/1.1\r\nhost: u@a\r\n\r\n".into()),
        ("a target of another host", line("GET http://b/ HTTP/1.1")),
        ("a target with a user", line("GET http://u@a/ HTTP/1.1")),
        ("a target with a port", line("GET http://a:80/ HTTP/1.1")),
        ("a target of another scheme", line("GET ftp://a/ HTTP/1.1")),
        ("Connection takes Host", get("connection: host")),
        ("Connection takes Content-Length", post("content-length: 3\r\nconnection: Content-Length", "abc")),
        ("Connection takes Transfer-Encoding", get("connection: close, transfer-encoding")),
        ("Connection takes Authorization", get("connection: authorization")),
        ("a carriage return in a value", get("x-a: b\rc")),
        ("a carriage return as line end", get("x-a: b\rx-c: d")),
        ("a control character", get("x-a: b\u{1}c")),
        ("DEL", get("x-a: b\u{7f}c")),
        ("NUL in a value", get("x-a: b\0c")),
        ("NUL in a name", get("x\0a: b")),
        ("NUL in the target", line("GET /a\0b HTTP/1.1")),
        ("a space in a name", get("x a: b")),
        ("a space before the colon", get("x-a : b")),
        ("a tab before the colon", get("x-a\t: b")),
        ("a folded line", get("x-a: b\r\n c")),
        ("a folded first line", "GET / HTTP/1.1\r\n host: a\r\n\r\n".into()),
        ("no name", get(": b")),
        ("no colon", get("x-a")),
        ("a method that is no token", line("G@T / HTTP/1.1")),
        ("HTTP/0.9", "GET /\r\n".into()),
        ("HTTP/1.2", line("GET / HTTP/1.2")),
        ("HTTP/2.0 in text", line("GET / HTTP/2.0")),
        ("http in lower case", line("GET / http/1.1")),
        ("two spaces", line("GET  / HTTP/1.1")),
        ("a space in the target", line("GET /a b HTTP/1.1")),
        ("tabs for spaces", line("GET\t/\tHTTP/1.1")),
        ("a space at the end", line("GET / HTTP/1.1 ")),
        ("angle brackets in the target", line("GET /a<b> HTTP/1.1")),
        ("a control character in the query", line("GET /a?b\u{1} HTTP/1.1")),
        ("TLS on a plain port", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}|\u{3}\u{3}\r\n\r\n".into()),
    ]
}

/// Nothing is paid here, so whatever gets past the framing rules is recorded. What follows on the same line, a good
/// request included, is never answered.
#[tokio::test]
async fn ambiguous_requests_are_refused_and_the_line_is_closed() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything_free(&recorder.backend.url())).await;
    for (name, bytes) in ambiguous_bodies().into_iter().chain(ambiguous_heads()) {
        let mut raw = Raw::sent(stage.address(), &bytes).await;
        let head = raw.head().await.unwrap_or_else(|| panic!("{name}: no answer"));
        assert_eq!(head.status(), 400, "{name}: {head:?}");
        assert_eq!(head.field("connection"), Some("close"), "{name}: {head:?}");
        raw.write(PROBE).await;
        let rest = String::from_utf8_lossy(&raw.rest().await).into_owned();
        assert!(!rest.contains("HTTP/1."), "{name}: a second answer: {rest}");
        assert_eq!(recorder.take(), "", "{name}");
    }
}

#[tokio::test]
async fn a_length_that_no_body_has_is_refused_at_once() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything_free(&recorder.backend.url())).await;
    // The library takes the largest number for too long a header.
    for (length, status) in [("9223372036854775808", 400), ("18446744073709551615", 431)] {
        let mut raw = Raw::sent(stage.address(), post(&format!("content-length: {length}"), "abc")).await;
        assert_eq!(raw.head().await.expect("an answer").status(), status);
        raw.finish_writing().await; // or the gateway reads on for a while, so that the answer is not lost
        raw.rest().await;
        assert_eq!(recorder.take(), "");
    }
}

/// Nothing is unclear about where these end, so the line stays open; the upstream hears nothing of them.
#[tokio::test]
async fn unwanted_methods_and_targets_are_refused_and_the_line_goes_on() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything_free(&recorder.backend.url())).await;
    let cases = [
        ("CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n".to_owned(), 501),
        (line("TRACE / HTTP/1.1"), 501),
        (line("BREW / HTTP/1.1"), 501),
        (line("get / HTTP/1.1"), 501),
        (line("PRI / HTTP/1.1"), 501),
        (line("OPTIONS * HTTP/1.1"), 400),
        (line("GET * HTTP/1.1"), 400),
        (line("GET a HTTP/1.1"), 400),
        (line("GET /a\\b HTTP/1.1"), 400),
        (line("GET //a/b HTTP/1.1"), 400),
        (line("GET /a/../b HTTP/1.1"), 400),
        (line("GET /a/%2e%2E/b HTTP/1.1"), 400),
        (line("GET /a%00b HTTP/1.1"), 400),
        (line("GET /a%2fb HTTP/1.1"), 400),
        (line("GET /a;b/c HTTP/1.1"), 400),
        (line("GET /a%252fb HTTP/1.1"), 400),
        (line("GET /a%zz HTTP/1.1"), 400),
        (line("GET /a%ff HTTP/1.1"), 400),
        (line("GET http://a//b HTTP/1.1"), 400),
    ];
    for (bytes, status) in cases {
        let mut raw = Raw::sent(stage.address(), &bytes).await;
        let (head, _) = raw.answer().await.expect("an answer");
        assert_eq!(head.status(), status, "{bytes}");
        assert_eq!(recorder.take(), "", "{bytes}");
        raw.write(PROBE).await;
        assert_eq!(raw.head().await.expect("an answer to the next request").status(), 200, "{bytes}");
        assert!(recorder.take().starts_with("GET /probe "), "{bytes}");
    }
}

/// What the HTTP library accepts or changes before we see it (`docs/traps.md`, "What the HTTP library hides"). Whatever
/// was meant, the upstream gets one plain request that was written anew, and exactly one.
#[tokio::test]
async fn what_the_library_reads_in_its_own_way_reaches_the_upstream_as_one_plain_request() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything_free(&recorder.backend.url())).await;
    let plain = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let empty_chunks = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let abc = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc";
    let abc_chunk = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let both = |lines| post(lines, "0\r\n\r\n");
    let cases = [
        ("length, then chunked", both("content-length: 5\r\ntransfer-encoding: chunked"), empty_chunks, true),
        ("chunked, then length", both("transfer-encoding: chunked\r\ncontent-length: 5"), empty_chunks, true),
        ("one length twice", post("content-length: 3\r\ncontent-length: 3", "abc"), abc, false),
        ("one length in two spellings", post("content-length: 3\r\ncontent-length: 03", "abc"), abc, false),
        ("line feeds", "GET / HTTP/1.1\nhost: a\n\n".into(), plain, false),
        ("a line feed", "GET / HTTP/1.1\r\nhost: a\nx-a: b\r\n\r\n".into(), &get("x-a: b"), false),
        ("empty lines first", format!("\r\n\r\n\n{plain}"), plain, false),
        ("a fragment", line("GET /a#/../b HTTP/1.1"), &line("GET /a HTTP/1.1"), false),
        ("a fragment after a query", line("GET /a?b#c HTTP/1.1"), &line("GET /a?b HTTP/1.1"), false),
        ("a full target", line("GET http://a/x HTTP/1.1"), &line("GET /x HTTP/1.1"), false),
        ("CHUNKED", post("transfer-encoding: \t CHUNKED \t", "0\r\n\r\n"), empty_chunks, false),
        ("a chunk extension", chunked("3;a=\"b\"\r\nabc\r\n0\r\n\r\n"), abc_chunk, false),
        ("zeros before a chunk size", chunked("0000000000000003\r\nabc\r\n0\r\n\r\n"), abc_chunk, false),
        ("a space after a chunk size", chunked("3 \r\nabc\r\n0\r\n\r\n"), abc_chunk, false),
        (
            "trailers",
            chunked("3\r\nabc\r\n0\r\ncontent-length: 9\r\nl402-service: x\r\n\r\n"),
            abc_chunk,
            false,
        ),
        ("HTTP/1.0", "GET / HTTP/1.0\r\nhost: a\r\n\r\n".into(), plain, true),
        ("an expectation of another kind", get("expect: magic"), plain, false),
        ("a body of a GET", get("content-length: 3") + "abc", &(get("content-length: 3") + "abc"), false),
    ];
    for (name, bytes, seen, closes) in cases {
        let mut raw = Raw::sent(stage.address(), &bytes).await;
        assert_eq!(raw.answer().await.expect("an answer").0.status(), 200, "{name}");
        let mut arrived = recorder.take();
        for ours in
            ["l402-service: weather\r\n", "x-forwarded-for: 127.0.0.1\r\n", "x-forwarded-proto: http\r\n"]
        {
            assert_eq!(arrived.matches(ours).count(), 1, "{name}: {arrived}");
            arrived = arrived.replace(ours, "");
        }
        assert_eq!(arrived, seen, "{name}");
        raw.write(PROBE).await;
        assert_eq!(raw.head().await.is_none(), closes, "{name}: closed?");
        recorder.take();
    }
}

#[tokio::test]
async fn garbage_after_a_good_request_closes_the_line() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything_free(&recorder.backend.url())).await;
    for garbage in ["GARBAGE\r\n\r\n", "\0\0\0\0", "0\r\n\r\n", "{\"a\": 1}\r\n\r\n"] {
        let mut raw = Raw::sent(stage.address(), format!("GET / HTTP/1.1\r\nhost: a\r\n\r\n{garbage}")).await;
        assert_eq!(raw.answer().await.expect("an answer").0.status(), 200);
        raw.write(PROBE).await;
        let rest = String::from_utf8_lossy(&raw.rest().await).into_owned();
        assert!(!rest.contains(" 200 "), "{garbage:?}: {rest}");
        assert_eq!(recorder.take().matches("GET ").count(), 1);
    }
}

#[tokio::test]
async fn pipelined_requests_are_judged_one_by_one() {
    let recorder = Recorder::start().await;
    let mut service = everything(&recorder.backend.url());
    service["routes"] = serde_json::json!([{ "path": "/free", "access": "free" }]);
    let stage = Stage::of(service).await;
    let (free, priced) = (line("GET /free HTTP/1.1"), line("GET /priced HTTP/1.1"));
    let mut raw = Raw::sent(stage.address(), [free.as_str(), &priced, &free, &priced].concat()).await;
    for status in [200, 402, 200, 402] {
        assert_eq!(raw.answer().await.expect("an answer").0.status(), status);
    }
    let arrived = recorder.take();
    assert_eq!((arrived.matches("GET /free ").count(), arrived.matches("priced").count()), (2, 0));
}

/// The chunk is broken after its first part has gone upstream: neither side may take what there is for the whole.
#[tokio::test]
async fn a_body_that_breaks_in_the_middle_is_never_ended_towards_the_upstream() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything_free(&recorder.backend.url())).await;
    for (bytes, cut) in [
        (chunked("3\r\nabcd\r\n0\r\n\r\n"), false),
        (chunked("3\r\nabc\r\nzz\r\n0\r\n\r\n"), false),
        (chunked("3\r\nabc\r\n"), true),
        (post("content-length: 9", "abc"), true),
    ] {
        let mut raw = Raw::sent(stage.address(), &bytes).await;
        if cut {
            raw.finish_writing().await;
        }
        raw.write(PROBE).await;
        let answer = String::from_utf8_lossy(&raw.rest().await).into_owned();
        assert!(!answer.contains(" 200 "), "{bytes:?}: {answer}");
        eventually("the upstream's side is closed too", || recorder.open() == 0).await;
        let arrived = recorder.take();
        assert!(!arrived.contains("0\r\n\r\n") && !arrived.contains("probe"), "{bytes:?}: {arrived}");
    }
}

/// Without a price there is nothing to refuse; with one, none of the above may become free.
#[tokio::test]
async fn no_odd_framing_is_a_way_past_the_price() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything(&recorder.backend.url())).await;
    for bytes in [
        post("content-length: 5\r\ntransfer-encoding: chunked", "0\r\n\r\n"),
        post("content-length: 3\r\ncontent-length: 3", "abc"),
        "GET / HTTP/1.1\nhost: a\n\n".to_owned(),
        line("GET /#/free HTTP/1.1"),
        line("GET http://a/x HTTP/1.1"),
        chunked("3;a=b\r\nabc\r\n0\r\n\r\n"),
        "GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n".to_owned(),
        get("connection: upgrade\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk"),
        get("connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\nsec-websocket-version: 13"),
        get("expect: 100-continue"),
        get("x-original-url: /free\r\nx-http-method-override: OPTIONS"),
    ] {
        let mut raw = Raw::sent(stage.address(), &bytes).await;
        assert_eq!(raw.answer().await.expect("an answer").0.status(), 402, "{bytes:?}");
    }
    assert_eq!(recorder.backend.connections(), 0);
}
