//! HTTP/2 requests that a well-behaved library does not send, frame by frame: the stream or the connection ends with an
//! error, and the upstream gets nothing, or nothing it could take for a whole request.

use crate::{
    backend::Recorder,
    caller::{eventually, get_once, soon},
    stage::{Stage, everything_free},
};
use std::{net::SocketAddr, time::Duration};
use testkit::{Reply as Script, Upstream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200` and `400` in the static table of HPACK, and the field that any other status begins with.
const STATUS_200: u8 = 0x88;
const STATUS_400: u8 = 0x8c;

/// A connection whose client writes frames itself.
struct Frames(TcpStream);

struct Frame {
    kind: u8,
    payload: Vec<u8>,
}

impl Frames {
    async fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("written");
        let mut frames = Self(stream);
        frames.write(SETTINGS, 0, 0, &[]).await;
        frames
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        let _ = soon(self.0.write_all(&frame)).await; // the other side may have hung up
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        soon(self.0.read_exact(&mut head)).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        soon(self.0.read_exact(&mut payload)).await.ok()?;
        Some(Frame { kind: head[3], payload })
    }

    /// The frame that decides what becomes of the first stream; `None` where the connection just ends.
    async fn verdict(&mut self) -> Option<Frame> {
        loop {
            let frame = self.read().await?;
            if matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY) {
                return Some(frame);
            }
        }
    }
}

/// Fields as HPACK literals without index and without compression.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("short"));
            assert!(text.len() < 0x7f, "one byte of length");
            block.extend(text.as_bytes());
        }
    }
    block
}

const PSEUDO: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "api.example.com"), (":path", "/")];

fn with<'a>(extra: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&PSEUDO[..], extra].concat()
}

fn without<'a>(name: &str, extra: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = PSEUDO.into_iter().filter(|(found, _)| *found != name);
    kept.chain(extra.iter().copied()).collect()
}

#[tokio::test]
async fn malformed_requests_end_their_stream_and_reach_nobody() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything_free(&recorder.backend.url())).await;
    let cases = [
        ("no path", without(":path", &[])),
        ("an empty path", without(":path", &[(":path", "")])),
        ("a path without a slash", without(":path", &[(":path", "a")])),
        ("two paths", with(&[(":path", "/b")])),
        ("no method", without(":method", &[])),
        ("two methods", with(&[(":method", "POST")])),
        ("an unknown pseudo field", with(&[(":protocolx", "a")])),
        ("a pseudo field of answers", with(&[(":status", "200")])),
        ("a pseudo field after others", [&[("x-a", "b")], &PSEUDO[..]].concat()),
        ("a name in capitals", with(&[("X-A", "b")])),
        ("an empty name", with(&[("", "b")])),
        ("a space in a name", with(&[("x a", "b")])),
        ("a colon in a name", with(&[("x:a", "b")])),
        ("a line end in a value", with(&[("x-a", "b\r\nx-c: d")])),
        ("a line feed in a value", with(&[("x-a", "b\nx-c: d")])),
        ("NUL in a value", with(&[("x-a", "b\0")])),
        ("a line end in the path", without(":path", &[(":path", "/ HTTP/1.1\r\nx-c: d")])),
        ("a space in the path", without(":path", &[(":path", "/a b")])),
        ("connection", with(&[("connection", "x-a")])),
        ("keep-alive", with(&[("keep-alive", "5")])),
        ("proxy-connection", with(&[("proxy-connection", "keep-alive")])),
        ("transfer-encoding", with(&[("transfer-encoding", "chunked")])),
        ("upgrade", with(&[("upgrade", "websocket")])),
        ("te of another kind", with(&[("te", "gzip")])),
        ("another Host", with(&[("host", "b.example.com")])),
        ("two Hosts", with(&[("host", "api.example.com"), ("host", "api.example.com")])),
        ("no host at all", without(":authority", &[])),
        ("a user in the host", without(":authority", &[(":authority", "u@api.example.com")])),
        ("another scheme", without(":scheme", &[(":scheme", "ftp")])),
        ("a length that is no number", with(&[("content-length", "x")])),
        ("two lengths", with(&[("content-length", "0"), ("content-length", "1")])),
        ("a length and no body", with(&[("content-length", "3")])),
        ("CONNECT", vec![(":method", "CONNECT"), (":authority", "api.example.com:80")]),
    ];
    for (name, fields) in cases {
        let mut frames = Frames::connect(stage.address()).await;
        frames.write(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields)).await;
        let Some(verdict) = frames.verdict().await else { continue };
        let is_ok = verdict.kind == HEADERS && verdict.payload[0] == STATUS_200;
        assert!(!is_ok, "{name}: served");
        assert_eq!(recorder.take(), "", "{name}");
    }
    assert_eq!(recorder.backend.connections(), 0);
}

#[tokio::test]
async fn a_proper_request_in_plain_frames_is_served() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything_free(&recorder.backend.url())).await;
    let mut frames = Frames::connect(stage.address()).await;
    let block = block(&with(&[("x-a", "b"), ("te", "trailers"), ("host", "api.example.com")]));
    let (first, second) = block.split_at(20);
    frames.write(HEADERS, END_STREAM, 1, first).await;
    frames.write(CONTINUATION, END_HEADERS, 1, second).await;
    let verdict = frames.verdict().await.expect("an answer");
    assert_eq!((verdict.kind, verdict.payload[0]), (HEADERS, STATUS_200));
    let arrived = recorder.take();
    assert!(arrived.starts_with("GET / HTTP/1.1\r\n"), "{arrived}");
    assert_eq!(
        (arrived.matches("host: api.example.com\r\n").count(), arrived.matches("x-a: b").count()),
        (1, 1)
    );
}

#[tokio::test]
async fn an_ambiguous_host_is_named_as_a_bad_request() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything_free(&recorder.backend.url())).await;
    for fields in [with(&[("host", "b.example.com")]), without(":authority", &[])] {
        let mut frames = Frames::connect(stage.address()).await;
        frames.write(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields)).await;
        let verdict = frames.verdict().await.expect("an answer");
        assert_eq!((verdict.kind, verdict.payload[0]), (HEADERS, STATUS_400), "{fields:?}");
    }
    assert_eq!(recorder.take(), "");
}

/// The head may have gone upstream when the body turns out to be another than announced; the upstream must see a request
/// that was cut, never one that is whole, and never bytes beyond the length it was told.
#[tokio::test]
async fn a_body_of_another_length_than_announced_is_never_a_whole_request() {
    let recorder = Recorder::start().await;
    let stage = Stage::of(everything_free(&recorder.backend.url())).await;
    for body in ["abc", "abcdefg"] {
        let mut frames = Frames::connect(stage.address()).await;
        let fields = without(":method", &[("content-length", "5")]);
        let fields = [&[(":method", "POST")], &fields[..]].concat();
        frames.write(HEADERS, END_HEADERS, 1, &block(&fields)).await;
        frames.write(DATA, END_STREAM, 1, body.as_bytes()).await;
        if let Some(verdict) = frames.verdict().await {
            assert!(verdict.kind != HEADERS || verdict.payload[0] != STATUS_200, "{body} was served");
        }
        eventually("the upstream's side is closed", || recorder.open() == 0).await;
        let arrived = recorder.take();
        let (_, sent) = arrived.split_once("\r\n\r\n").unwrap_or_default();
        assert!(sent.len() < 5, "{body}: {arrived}");
    }
}

/// A client that opens streams and resets them at once costs more than it pays: its connection is closed, others go on
/// (CVE-2023-44487).
#[tokio::test]
async fn opening_and_resetting_streams_in_a_row_ends_the_connection() {
    let upstream = Upstream::start(Script::After(Duration::from_mins(5), Box::new(Script::text("late"))));
    let stage = Stage::of(everything_free(&upstream.url())).await;
    let mut frames = Frames::connect(stage.address()).await;
    let block = block(&with(&[]));
    for stream in (1..4000).step_by(2) {
        frames.write(HEADERS, END_HEADERS | END_STREAM, stream, &block).await;
        frames.write(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await;
    }
    let ended = loop {
        match frames.verdict().await {
            Some(frame) if frame.kind == GOAWAY => break true,
            Some(_) => {}
            None => break false,
        }
    };
    assert!(ended, "told to go away");
    upstream.reply(Script::text("sunny"));
    assert_eq!(get_once(stage.address(), "/").await.text(), "sunny");
}
