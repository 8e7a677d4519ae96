//! What an upstream sees of a request, and a client of a response (wire contract, sections 5, 7.3 and 7.6): the
//! client's hop-by-hop fields, its credential and everything that looks like ours go first, ours come last.

use super::{snapshot::Labels, worker::Connection};
use crate::config::REMOVED_HEADERS;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use l402_paywall::{
    Admission,
    metering::{BALANCE, COST},
};

/// Fields of one connection ([RFC 9110 section 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
];

/// The words of a proxy in front about the client, beside every `x-forwarded-...`. Only trusted ones may say them.
const FORWARDED: [&str; 3] = ["forwarded", "x-real-ip", "x-host"];

/// Framing names whose underscore twin some servers take for the real one.
const FRAMING: [&str; 5] = ["host", "content-length", "transfer-encoding", "connection", "authorization"];

const MACAROON: HeaderName = HeaderName::from_static("macaroon");
const GRPC_MACAROON: HeaderName = HeaderName::from_static("grpc-metadata-macaroon");
const TOKEN_ID: HeaderName = HeaderName::from_static("l402-token-id");
const SERVICE: HeaderName = HeaderName::from_static("l402-service");
const TIER: HeaderName = HeaderName::from_static("l402-tier");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// What decides which of a client's fields go on.
pub(super) struct Passage<'a> {
    /// The peer is a trusted proxy: what it says of the client counts.
    pub(super) is_trusted: bool,
    /// Names that the service wants although they are usually removed.
    pub(super) pass: &'a [HeaderName],
    /// The service wants the credential too.
    pub(super) forward_credential: bool,
}

/// Takes out of a request what must not reach the upstream.
pub(super) fn strip_request(headers: &mut HeaderMap, passage: &Passage<'_>) {
    let keeps_te = headers.get(header::TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    strip_hop_by_hop(headers);
    headers.remove(header::EXPECT); // the body is asked for when the upstream reads it
    headers.remove(HTTP2_SETTINGS);
    if keeps_te {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    let unwanted: Vec<HeaderName> =
        headers.keys().filter(|name| is_unwanted(name, passage)).cloned().collect();
    for name in unwanted {
        headers.remove(name);
    }
    if !passage.forward_credential {
        strip_credential(headers);
    }
}

fn is_unwanted(name: &HeaderName, passage: &Passage<'_>) -> bool {
    let name = name.as_str();
    // Most names are decided by their first byte.
    if !matches!(name.as_bytes().first(), Some(b'x' | b'f' | b'l')) && !name.contains('_') {
        return false;
    }
    let spelled = name.replace('_', "-");
    if spelled.starts_with("l402-") || (spelled != name && FRAMING.contains(&spelled.as_str())) {
        return true;
    }
    let is_forwarding = FORWARDED.contains(&spelled.as_str()) || spelled.starts_with("x-forwarded-");
    if !is_forwarding && !REMOVED_HEADERS.contains(&spelled.as_str()) {
        return false;
    }
    let is_wanted = passage.pass.iter().any(|wanted| wanted.as_str() == name);
    let is_believed = is_forwarding && passage.is_trusted && spelled == name;
    !is_wanted && !is_believed
}

/// The credential is ours; the application's own `Authorization` stays, once.
fn strip_credential(headers: &mut HeaderMap) {
    headers.remove(MACAROON);
    headers.remove(GRPC_MACAROON);
    if !headers.contains_key(header::AUTHORIZATION) {
        return;
    }
    let lines = headers.get_all(header::AUTHORIZATION).iter();
    let own = lines.filter_map(|line| l402::application_authorization(line.as_bytes())).next_back();
    let own = own.and_then(|own| HeaderValue::from_bytes(&own).ok());
    match own {
        Some(line) => drop(headers.insert(header::AUTHORIZATION, line)),
        None => drop(headers.remove(header::AUTHORIZATION)),
    }
}

/// HTTP/2 clients may send cookies in pieces; elsewhere they are one line
/// ([RFC 9113 section 8.2.3](https://www.rfc-editor.org/rfc/rfc9113#section-8.2.3)).
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let mut pieces = headers.get_all(header::COOKIE).iter();
    if pieces.next().is_none() || pieces.next().is_none() {
        return;
    }
    let pieces: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(line) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        headers.insert(header::COOKIE, line);
    }
}

/// Adds what the upstream is told by us.
pub(super) fn add_to_request(
    headers: &mut HeaderMap,
    admission: &Admission,
    labels: &Labels,
    connection: &Connection,
) {
    headers.insert(SERVICE, labels.service.clone());
    if let Some(permit) = admission.permit() {
        headers.insert(TIER, labels.tier.clone());
        if let Ok(token_id) = HeaderValue::try_from(hex::encode(permit.token_id().as_bytes())) {
            headers.insert(TOKEN_ID, token_id);
        }
    }
    if let Some(tab) = admission.tab() {
        headers.insert(BALANCE, HeaderValue::from(tab.balance().get()));
    }
    // What a trusted proxy wrote stays in front; its own address is what the next reader has to know.
    headers.append(FORWARDED_FOR, connection.peer_value.clone());
    if !headers.contains_key(FORWARDED_PROTO) {
        let scheme = if connection.is_tls { "https" } else { "http" };
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
}

/// Takes out of a response what must not reach the client.
pub(super) fn strip_response(headers: &mut HeaderMap) {
    // With both, the chunks count, and the length is a lie (RFC 9112 section 6.3).
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    write_length_once(headers);
    strip_hop_by_hop(headers);
    headers.remove(COST);
}

/// A length that was said twice, or with zeros in front, is said once and plainly. The HTTP library has refused lengths that
/// differ.
fn write_length_once(headers: &mut HeaderMap) {
    let is_plain =
        |line: &[u8]| line.iter().all(u8::is_ascii_digit) && (line.len() == 1 || line.first() != Some(&b'0'));
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter().map(HeaderValue::as_bytes);
    let Some(first) = lines.next() else { return };
    if is_plain(first) && lines.next().is_none() {
        return;
    }
    let number = first.split(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
    let length = std::str::from_utf8(number).ok().and_then(|number| number.parse::<u64>().ok());
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let lines = headers.get_all(header::CONNECTION).iter().filter_map(|line| line.to_str().ok());
        let named: Vec<HeaderName> =
            lines.flat_map(|line| line.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    announce_listed_trailers(headers);
}

/// In HTTP/1.1 only trailers that `Trailer` announced are sent, so it stays, for those that may pass.
fn announce_listed_trailers(headers: &mut HeaderMap) {
    if !headers.contains_key(header::TRAILER) {
        return;
    }
    let lines = headers.get_all(header::TRAILER).iter().filter_map(|line| line.to_str().ok());
    let named = lines.flat_map(|line| line.split(',')).filter_map(|name| name.trim().parse().ok());
    let passing: Vec<HeaderName> = named.filter(|name| passes_as_trailer(name, false)).collect();
    headers.remove(header::TRAILER);
    for name in passing {
        headers.append(header::TRAILER, name.into());
    }
}

/// Whether a trailer field may pass: in gRPC all but those that frame or authenticate, elsewhere a short list
/// ([RFC 9110 section 6.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-6.5.1)).
pub(super) fn passes_as_trailer(name: &HeaderName, is_grpc: bool) -> bool {
    const SHORT_LIST: [&str; 4] = ["server-timing", "content-digest", "repr-digest", "etag"];
    let name = name.as_str();
    if !is_grpc {
        return SHORT_LIST.contains(&name);
    }
    let frames =
        FRAMING.contains(&name) || name == header::TRAILER || HOP_BY_HOP.iter().any(|hop| hop == name);
    !frames && !name.starts_with("l402-") && name != "set-cookie" && name != "www-authenticate"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (name.parse::<HeaderName>().expect("a name"), value.parse().expect("a value"))
            })
            .collect()
    }

    fn stripped(fields: &[(&str, &str)], passage: &Passage<'_>) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &map(fields) {
            headers.append(name, value.clone());
        }
        strip_request(&mut headers, passage);
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect()
    }

    const STRANGER: Passage<'static> = Passage { is_trusted: false, pass: &[], forward_credential: false };

    #[test]
    fn nothing_hop_by_hop_forged_or_overriding_reaches_the_upstream() {
        for name in [
            "connection",
            "keep-alive",
            "te",
            "transfer-encoding",
            "upgrade",
            "proxy-authorization",
            "expect",
            "http2-settings",
            "l402-token-id",
            "l402_token_id",
            "L402-Service",
            "l402-anything",
            "x-forwarded-for",
            "x_forwarded_for",
            "x-forwarded-host",
            "forwarded",
            "x-real-ip",
            "x-original-url",
            "x-rewrite-url",
            "x-http-method-override",
            "x_http_method_override",
            "content_length",
            "transfer_encoding",
            "x-host",
            "macaroon",
            "grpc-metadata-macaroon",
        ] {
            assert_eq!(stripped(&[(name, "1"), ("accept", "*/*")], &STRANGER), ["accept: */*"], "{name}");
        }
        let named = stripped(&[("connection", "x-key, close"), ("x-key", "1"), ("x-id", "2")], &STRANGER);
        assert_eq!(named, ["x-id: 2"]);
    }

    #[test]
    fn a_trusted_proxy_may_speak_for_the_client_and_a_service_may_opt_in() {
        let trusted = Passage { is_trusted: true, ..STRANGER };
        assert_eq!(stripped(&[("x-forwarded-for", "192.0.2.1")], &trusted), ["x-forwarded-for: 192.0.2.1"]);
        assert!(stripped(&[("x_forwarded_for", "192.0.2.1"), ("x-original-url", "/")], &trusted).is_empty());
        let pass = ["x-http-method-override".parse().expect("a name")];
        let opted = Passage { pass: &pass, ..STRANGER };
        assert_eq!(stripped(&[("x-http-method-override", "PUT")], &opted), ["x-http-method-override: PUT"]);
        let ours = ["l402-token-id".parse().expect("a name")];
        assert!(stripped(&[("l402-token-id", "1")], &Passage { pass: &ours, ..STRANGER }).is_empty());
    }

    #[test]
    fn one_authorization_of_the_application_is_left() {
        let mut headers = HeaderMap::new();
        for line in ["LSAT AgEE:00", "Bearer key", "L402 AgEE:00"] {
            headers.append(header::AUTHORIZATION, line.parse().expect("a value"));
        }
        strip_request(&mut headers, &STRANGER);
        let left: Vec<&HeaderValue> = headers.get_all(header::AUTHORIZATION).iter().collect();
        assert_eq!(left, ["Bearer key"]);
        let joined = stripped(&[("authorization", "L402 AgEE:00, Bearer key, LSAT AgEE:00")], &STRANGER);
        assert_eq!(joined, ["authorization: Bearer key"]);
    }

    #[test]
    fn only_trailers_that_may_pass_stay_announced() {
        assert_eq!(stripped(&[("trailer", "Server-Timing, x-own")], &STRANGER), ["trailer: server-timing"]);
        assert!(stripped(&[("trailer", "x-own, content-length, ")], &STRANGER).is_empty());
    }

    #[test]
    fn te_trailers_survives_because_grpc_needs_it() {
        assert_eq!(stripped(&[("te", "trailers")], &STRANGER), ["te: trailers"]);
        assert!(stripped(&[("te", "gzip")], &STRANGER).is_empty());
    }

    #[test]
    fn trailers_pass_by_list() {
        for (name, grpc, plain) in [
            ("grpc-status", true, false),
            ("x-custom", true, false),
            ("server-timing", true, true),
            ("content-length", false, false),
            ("authorization", false, false),
            ("l402-cost", false, false),
            ("set-cookie", false, false),
        ] {
            let name: HeaderName = name.parse().expect("a name");
            assert_eq!(
                (passes_as_trailer(&name, true), passes_as_trailer(&name, false)),
                (grpc, plain),
                "{name}"
            );
        }
    }
}
