//! What is changed in a request so that its cost can be read from the answer. The client has no say in it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::Value;

const STREAM: &str = "stream";
const STREAM_OPTIONS: &str = "stream_options";
const INCLUDE_USAGE: &str = "include_usage";
/// The twin that some servers take for `Accept-Encoding`.
const ACCEPT_ENCODING_TWIN: HeaderName = HeaderName::from_static("accept_encoding");

/// What becomes of a request's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Demand {
    /// It goes on as it came.
    AsItIs,
    /// This goes on in its place.
    Changed(Bytes),
    /// It cannot be read, so nobody knows what it would cost: it does not go on.
    Unreadable(&'static str),
}

/// Asks for the whole answer, without compression: a part of a document may not hold its cost, or may hold another one.
pub(in crate::proxy) fn demand_plain(headers: &mut HeaderMap) {
    headers.remove(ACCEPT_ENCODING_TWIN);
    headers.remove(header::RANGE);
    headers.remove(header::IF_RANGE);
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Has the number of units told at the end of a stream, as language models do where a request says
/// `"stream_options": {"include_usage": true}`.
///
/// That member is set wherever the request asks for a stream, and everything else stays byte for byte. A request asks for
/// one unless its `stream` is `false` or `null`: servers take more for true than `true`. Names count in every case, as some
/// servers read them; where one is there twice, servers differ in which they believe, so only the last one goes on.
pub(in crate::proxy) fn demand_usage(body: &[u8]) -> Demand {
    if body.is_empty() {
        return Demand::AsItIs;
    }
    // What is JSON by this reading has the form that `Object::read` relies on.
    let is_object = serde_json::from_slice::<Value>(body).is_ok_and(|document| document.is_object());
    let Some(object) = Object::read(body).filter(|_| is_object) else {
        return Demand::Unreadable("it is not one JSON object in UTF-8");
    };
    let last = |name| object.members.iter().rposition(|member| member.is_called(name));
    let Some(stream_at) = last(STREAM) else { return Demand::AsItIs };
    let is_asked = !matches!(object.members[stream_at].value, b"false" | b"null");
    let is_twice = object.members[..stream_at].iter().any(|member| member.is_called(STREAM));
    if !is_asked && !is_twice {
        return Demand::AsItIs;
    }
    let options_at = last(STREAM_OPTIONS).filter(|_| is_asked);
    let options = options(options_at.map(|at| object.members[at].value));
    let mut members: Vec<&[u8]> = Vec::with_capacity(object.members.len() + 1);
    for (at, member) in object.members.iter().enumerate() {
        let is_rival = member.is_called(STREAM) || is_asked && member.is_called(STREAM_OPTIONS);
        if Some(at) == options_at {
            members.push(&options);
        } else if at == stream_at || !is_rival {
            members.push(member.text);
        }
    }
    if is_asked && options_at.is_none() {
        members.push(&options);
    }
    Demand::Changed(object.with(&members).into())
}

/// The member `stream_options` with what the client wrote in it, except for the one option that is not the client's.
fn options(written: Option<&[u8]>) -> Vec<u8> {
    let written = written.and_then(Object::read);
    let include = format!("\"{INCLUDE_USAGE}\":true");
    let mut members: Vec<&[u8]> = Vec::new();
    if let Some(written) = &written {
        let others = written.members.iter().filter(|member| !member.is_called(INCLUDE_USAGE));
        members.extend(others.map(|member| member.text));
    }
    members.push(include.as_bytes());
    [format!("\"{STREAM_OPTIONS}\":{{").as_bytes(), &members.join(&b','), b"}"].concat()
}

/// An object's members where they stand in the text.
struct Object<'b> {
    /// Up to the opening brace, and with it.
    before: &'b [u8],
    members: Vec<Member<'b>>,
    /// From the closing brace on.
    after: &'b [u8],
}

struct Member<'b> {
    name: String,
    value: &'b [u8],
    /// Both, with all white space around them.
    text: &'b [u8],
}

impl<'b> Object<'b> {
    /// Reads valid JSON; `None` if it is not an object.
    fn read(text: &'b [u8]) -> Option<Self> {
        if !text.trim_ascii_start().starts_with(b"{") {
            return None;
        }
        let mut object = Self { before: b"", members: Vec::new(), after: b"" };
        let (mut depth, mut start, mut colon) = (0_usize, 0, None);
        let (mut is_string, mut is_escaped) = (false, false);
        for (at, byte) in text.iter().enumerate() {
            if is_string {
                is_string = is_escaped || *byte != b'"';
                is_escaped = !is_escaped && *byte == b'\\';
                continue;
            }
            match byte {
                b'"' => is_string = true,
                b':' if depth == 1 => colon = colon.or(Some(at)),
                b',' if depth == 1 => {
                    object.members.push(Member::read(text, start, colon.take()?, at)?);
                    start = at + 1;
                }
                b'{' | b'[' => {
                    depth += 1;
                    if depth == 1 {
                        start = at + 1;
                        object.before = &text[..start];
                    }
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        if let Some(colon) = colon {
                            object.members.push(Member::read(text, start, colon, at)?);
                        }
                        object.after = &text[at..];
                        return Some(object);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// The same object with other members.
    fn with(&self, members: &[&[u8]]) -> Vec<u8> {
        [self.before, &members.join(&b','), self.after].concat()
    }
}

impl<'b> Member<'b> {
    fn read(text: &'b [u8], start: usize, colon: usize, end: usize) -> Option<Self> {
        let name = serde_json::from_slice(&text[start..colon]).ok()?;
        Some(Self { name, value: text[colon + 1..end].trim_ascii(), text: &text[start..end] })
    }

    /// Whether some server takes the name for `name`, which is in small letters: some ignore case, and to them the long s
    /// is an s.
    fn is_called(&self, name: &str) -> bool {
        let folded = self.name.chars().map(|c| if c == 'ſ' { 's' } else { c.to_ascii_lowercase() });
        folded.eq(name.chars())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn changed(body: &str) -> String {
        match demand_usage(body.as_bytes()) {
            Demand::Changed(body) => String::from_utf8(body.to_vec()).expect("UTF-8"),
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn a_request_for_a_stream_asks_for_its_usage_whatever_the_client_wrote() {
        let cases = [
            (r#"{"stream":true}"#, r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
            (
                r#"{ "model" : "m", "stream" : true , "n":1 }"#,
                r#"{ "model" : "m", "stream" : true , "n":1 ,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"stream_options":{"include_usage":false},"stream":true}"#,
                r#"{"stream_options":{"include_usage":true},"stream":true}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{"a":[1,{"include_usage":false}],"include_usage":false,"b":"},{"},"n":1}"#,
                r#"{"stream":true,"stream_options":{"a":[1,{"include_usage":false}],"b":"},{","include_usage":true},"n":1}"#,
            ),
            (
                r#"{"stream":true,"stream_options":null}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{ }}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"stream":1,"stream_options":[]}"#,
                r#"{"stream":1,"stream_options":{"include_usage":true}}"#,
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(changed(body), expected);
        }
    }

    #[test]
    fn no_second_member_and_no_other_spelling_gets_around_it() {
        let cases = [
            (
                r#"{"stream":true,"stream_options":{"include_usage":true},"stream_options":{"include_usage":false,"x":1}}"#,
                r#"{"stream":true,"stream_options":{"x":1,"include_usage":true}}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{"include_usage":true,"include_usage":false,"Include_Usage":false}}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"str\u0065am":true,"stream\u005foptions":{"include\u005fusage":false}}"#,
                r#"{"str\u0065am":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"Stream":true,"ſtream_Options":{}}"#,
                r#"{"Stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"stream":false,"a":1,"stream":true}"#,
                r#"{"a":1,"stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (r#"{"stream":true,"a":1,"stream":false}"#, r#"{"a":1,"stream":false}"#),
        ];
        for (body, expected) in cases {
            assert_eq!(changed(body), expected);
        }
    }

    #[test]
    fn a_request_without_a_stream_goes_on_as_it_came() {
        let bodies = [
            "",
            "{}",
            " { } ",
            r#"{"stream":false}"#,
            r#"{"stream": null ,"stream_options":{"include_usage":false}}"#,
            r#"{"messages":[{"stream":true}],"text":"\"stream\":true"}"#,
            r#"{"\"stream":true}"#,
        ];
        for body in bodies {
            assert_eq!(demand_usage(body.as_bytes()), Demand::AsItIs, "{body}");
        }
    }

    #[test]
    fn everything_else_stays_byte_for_byte() {
        let rest = r#""seed":123456789012345678901234567890,"t":0.10,"e":1E-2,"z":"\u00e9\/","a":{"b":[ ]}"#;
        assert_eq!(
            changed(&format!("\n{{{rest},\t\"stream\":true}}\r\n")),
            format!("\n{{{rest},\t\"stream\":true,\"stream_options\":{{\"include_usage\":true}}}}\r\n")
        );
    }

    #[test]
    fn a_body_that_is_not_one_json_object_does_not_go_on() {
        let utf16: Vec<u8> = "{\"stream\":true}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let bodies: [&[u8]; 10] = [
            b" ",
            b"stream=true",
            b"[{\"stream\":true}]",
            b"{\"stream\":true",
            b"{\"stream\":true}{}",
            b"{\"stream\":true,}",
            b"{'stream':true}",
            b"\xEF\xBB\xBF{\"stream\":true}",
            b"{\"stream\":true,\"a\":\"\xFF\"}",
            &utf16,
        ];
        for body in bodies {
            assert!(matches!(demand_usage(body), Demand::Unreadable(_)), "{body:?}");
        }
        let deep = format!("{{\"stream\":true,\"a\":{}", "[".repeat(100_000));
        assert!(matches!(demand_usage(deep.as_bytes()), Demand::Unreadable(_)));
    }

    #[test]
    fn the_whole_answer_is_asked_for_without_compression() {
        let mut headers = HeaderMap::new();
        for name in ["accept-encoding", "accept-encoding", "accept_encoding", "range", "if-range", "x-a"] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("gzip"));
        }
        demand_plain(&mut headers);
        let left: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(left, [("accept-encoding", &b"identity"[..]), ("x-a", b"gzip")]);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a\"\\\\{}\\[\\],:é ]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let name = prop_oneof![Just("stream".to_owned()), "[a-c\"\\\\,:{}]{0,3}".prop_map(String::from)];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(name, inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_but_the_usage_changes(
            other in any_value(),
            stream in any_value(),
            options in prop::option::of(any_value()),
            is_pretty: bool,
        ) {
            let mut document = serde_json::json!({ "m": other, "stream": stream });
            if let Some(options) = options {
                document[STREAM_OPTIONS] = options;
            }
            let body =
                if is_pretty { serde_json::to_vec_pretty(&document) } else { serde_json::to_vec(&document) };
            let asks = !matches!(document["stream"], Value::Bool(false) | Value::Null);
            match demand_usage(&body.unwrap()) {
                Demand::AsItIs => prop_assert!(!asks),
                Demand::Unreadable(why) => prop_assert!(false, "{why}"),
                Demand::Changed(body) => {
                    prop_assert!(asks);
                    if !document[STREAM_OPTIONS].is_object() {
                        document[STREAM_OPTIONS] = serde_json::json!({});
                    }
                    document[STREAM_OPTIONS][INCLUDE_USAGE] = true.into();
                    prop_assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), document);
                }
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = demand_usage(&body);
            let _ = Object::read(&body);
        }

        #[test]
        fn almost_json_is_read_or_refused(body in "\\{[\"\\\\strem,:{}\\[\\]1 ]{0,40}") {
            let _ = demand_usage(body.as_bytes());
            let _ = Object::read(body.as_bytes());
        }
    }
}
