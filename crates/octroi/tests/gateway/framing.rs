//! Probe

use crate::{
    backend::Recorder,
    raw::Raw,
    stage::{Stage, everything_free},
};

#[tokio::test]
async fn probe() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything_free(&recorder.backend.url())).await;
    let cases: &[(&str, &str)] = &[
        ("plain", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            "CL+TE",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "TE+CL",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        ),
        (
            "TE twice",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("TE list", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ("TE ,chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n"),
        ("TE chunked,", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n"),
        ("TE identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"),
        ("TE xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"),
        ("TE vtab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
        ("TE CHUNKED", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n"),
        (
            "TE ws chunked ws",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \t chunked \t\r\n\r\n0\r\n\r\n",
        ),
        ("TE 1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("CL 03", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 03\r\n\r\nabc"),
        ("CL +3", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc"),
        ("CL -3", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc"),
        ("CL 0x3", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc"),
        ("CL 3, 3", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc"),
        ("CL twice same", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
        ("CL twice 3 03", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 03\r\n\r\nabc"),
        ("CL twice diff", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
        ("CL huge", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nabc"),
        ("CL 2^63", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\nabc"),
        ("CL 2^64-1", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\nabc"),
        ("CL empty", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\nabc"),
        ("CL inner space", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 3\r\n\r\nabc"),
        ("bare LF lines", "GET / HTTP/1.1\nHost: a\n\n"),
        ("bare LF one", "GET / HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n"),
        ("bare LF end", "GET / HTTP/1.1\r\nHost: a\r\n\n"),
        ("bare CR in value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rc\r\n\r\n"),
        ("bare CR line", "GET / HTTP/1.1\r\nHost: a\rX-A: b\r\n\r\n"),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        ("two hosts diff", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("no host", "GET / HTTP/1.1\r\n\r\n"),
        ("empty host", "GET / HTTP/1.1\r\nHost: \r\n\r\n"),
        ("host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
        ("1.0 no host", "GET / HTTP/1.0\r\n\r\n"),
        ("1.0 host", "GET / HTTP/1.0\r\nHost: a\r\n\r\n"),
        ("0.9", "GET /\r\n"),
        ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
        ("HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
        ("http/1.1 lower", "GET / http/1.1\r\nHost: a\r\n\r\n"),
        ("absolute agree", "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("absolute disagree", "GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("absolute port", "GET http://a:80/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("absolute userinfo", "GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("absolute no host", "GET http://a/x HTTP/1.1\r\n\r\n"),
        ("absolute ftp", "GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("connect", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
        ("trace", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("options *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("get *", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("method lower", "get / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("method unknown", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("method odd", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("control in value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\x01c\r\n\r\n"),
        ("DEL in value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\x7fc\r\n\r\n"),
        ("tab in value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\tc\r\n\r\n"),
        ("NUL in value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n"),
        ("NUL in name", "GET / HTTP/1.1\r\nHost: a\r\nX\0A: b\r\n\r\n"),
        ("NUL in target", "GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("space in name", "GET / HTTP/1.1\r\nHost: a\r\nX A: b\r\n\r\n"),
        ("space before colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
        ("tab before colon", "GET / HTTP/1.1\r\nHost: a\r\nX-A\t: b\r\n\r\n"),
        ("obs-fold", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n"),
        ("leading space header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
        ("empty name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
        ("no colon", "GET / HTTP/1.1\r\nHost: a\r\nfoo\r\n\r\n"),
        ("fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("fragment /../", "GET /a#/../b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("backslash", "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("no slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("no slash ?", "GET ?x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("double slash first", "GET //a/b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("space in target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("tab separators", "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n"),
        ("trailing space", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
        ("high byte in target", "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("quote etc in target", "GET /a\"b{c}|^` HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("<> in target", "GET /a<b> HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("query control", "GET /a?b\x01 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("query hash", "GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("leading CRLF", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("leading LF", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("connection host", "GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n"),
        ("GET with body", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
        ("pipelined garbage", "GET / HTTP/1.1\r\nHost: a\r\n\r\nGARBAGE\r\n\r\n"),
        ("pipelined 2", "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            "chunk size bad",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "chunk size +",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "chunk size 0x",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "chunk size zeros",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000003\r\nabc\r\n0\r\n\r\n",
        ),
        ("chunk bare LF", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n"),
        (
            "chunk ext",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "chunk ext LF",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a\nb\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "chunk size space",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
        ),
        (
            "chunk data long",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        ),
        (
            "chunk huge",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc",
        ),
        (
            "chunk trailer smuggle",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r\nL402-Service: x\r\n\r\n",
        ),
        (
            "TE chunked CL in trailer twice",
            "POST / HTTP/1.1\r\nHost: a\r\nTrailer: x-a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-A: 1\r\n\r\n",
        ),
        (
            "upgrade h2c",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
        ),
        ("expect other", "GET / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n"),
        ("TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03\r\n\r\n"),
    ];
    for (name, bytes) in cases {
        let mut raw = Raw::sent(stage.address(), bytes).await;
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        let first = String::from_utf8_lossy(&raw.so_far()).into_owned();
        // is it still open?
        raw.write("GET /probe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        let second = String::from_utf8_lossy(&raw.so_far()).into_owned();
        let seen = recorder.take();
        let line = |s: &str| {
            let l = s.lines().next().unwrap_or("-").to_owned();
            let c = s.matches("HTTP/1.").count();
            let r =
                s.split("\"reason\":\"").nth(1).and_then(|r| r.split('"').next()).unwrap_or("").to_owned();
            let d =
                s.split("\"detail\":\"").nth(1).and_then(|r| r.split('"').next()).unwrap_or("").to_owned();
            format!("{l} x{c} {r} [{d}] close={}", s.to_lowercase().contains("connection: close"))
        };
        println!(
            "### {name}\n   1: {}\n   2: {}\n   up: {:?}",
            line(&first),
            if second.is_empty() { "-".into() } else { line(&second) },
            seen.replace("x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n", "")
                .replace("l402-service: weather\r\n", "")
        );
    }
}
