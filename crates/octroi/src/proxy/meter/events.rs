//! Streams of server-sent events, and the number of units that one of their last events tells.
//!
//! Read as [the HTML standard, section 9.2](https://html.spec.whatwg.org/multipage/server-sent-events.html) says; of an
//! event only its data is looked at. The number is told as language models do: in an event of its own behind the content,
//! with `choices` empty, while every event before has `null` in its place.

use super::json;
use bytes::Bytes;
use l402_paywall::{
    ledger::Units,
    meter::{JsonPath, Usage},
};
use serde_json::Value;

/// Largest data of one event that is read. A larger event is content that nobody looked at.
const EVENT_BYTES_MAX: usize = 256 << 10;

/// A stream of events, as far as its cost goes.
#[derive(Default)]
pub(super) struct EventStream {
    reader: EventReader,
    tally: Tally,
}

/// What the events came to.
#[derive(Default)]
struct Tally {
    /// Events with content.
    content: u64,
    /// The last number; unknown where something was in its place that is none.
    told: Option<Usage>,
    /// Content came behind the number.
    is_outdated: bool,
}

impl EventStream {
    /// More of the stream. The number is looked for at `path`.
    pub(super) fn received(&mut self, data: &[u8], path: &JsonPath) {
        let Self { reader, tally } = self;
        reader.read(data, &mut |event| tally.add(&event, path));
    }

    /// What the stream costs.
    ///
    /// The last number that was told counts. Without one it is the floor: `floor_per_event` for each event with content,
    /// and for one if there was none, because the request was worked on. Where the stream is not whole and content came
    /// behind the number, the number is of the past, and the larger of both counts.
    pub(super) fn usage(&self, floor_per_event: Units, is_whole: bool) -> Usage {
        let Tally { content, told, is_outdated } = self.tally;
        let floor = floor_per_event.get().checked_mul(content.max(1)).and_then(Units::new);
        let floor = floor.unwrap_or(Units::MAX);
        match told {
            None => Usage::Known(floor),
            Some(Usage::Known(units)) if is_outdated && !is_whole => Usage::Known(units.max(floor)),
            Some(usage) => usage,
        }
    }
}

impl Tally {
    fn add(&mut self, event: &Event<'_>, path: &JsonPath) {
        let Event::Data(data) = event else {
            return self.add_content();
        };
        // Bytes that are not UTF-8 are replaced, as the standard says.
        let text = String::from_utf8_lossy(data);
        let text = text.trim();
        if text.is_empty() || text == "[DONE]" {
            return;
        }
        let Ok(document) = serde_json::from_str::<Value>(text) else {
            return self.add_content();
        };
        let number = path.find(&document).filter(|number| !number.is_null());
        let is_content = match document.get("choices") {
            None | Some(Value::Null) => number.is_none(),
            Some(Value::Array(choices)) => !choices.is_empty(),
            Some(_) => true,
        };
        if is_content {
            self.add_content();
        }
        if let Some(number) = number {
            self.told = Some(json::units(number).map_or(Usage::Unknown, Usage::Known));
            self.is_outdated = false;
        }
    }

    fn add_content(&mut self) {
        self.content = self.content.saturating_add(1);
        self.is_outdated = true;
    }
}

/// The last event of a stream whose buyer has nothing left. It may be sent behind any byte of another stream: the lines
/// in front end whatever was begun.
///
/// Beside the members of a problem document ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) it has an `error`, which
/// is what clients of language models look for.
pub(in crate::proxy) fn exhausted_event() -> Bytes {
    let detail = "the token's units ran out";
    let problem = serde_json::json!({
        "type": "about:blank",
        "title": "Payment Required",
        "status": 402,
        "detail": detail,
        "reason": "exhausted",
        "error": { "type": "payment_required", "code": "exhausted", "message": detail },
    });
    Bytes::from(format!("\n\nevent: error\ndata: {problem}\n\n"))
}

/// An event that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event<'d> {
    /// With this data.
    Data(&'d [u8]),
    /// With more data than is read.
    TooLarge,
}

/// Takes a stream apart, in whatever pieces it comes. An event that the stream does not end is dropped.
#[derive(Default)]
struct EventReader {
    place: Place,
    /// A line feed now belongs to the line end before it.
    is_behind_cr: bool,
    /// Data of the event under way, each of its lines ended by a line feed.
    data: Vec<u8>,
    has_data: bool,
    is_too_large: bool,
}

/// Where in a line the reader is.
#[derive(Clone, Copy)]
enum Place {
    /// At the beginning of the stream, behind so many bytes of a byte order mark.
    Bom(usize),
    LineStart,
    /// Behind so many bytes of the name `data`.
    Name(usize),
    /// Behind the colon of `data:`, where one space may follow.
    ValueStart,
    Value,
    /// In a comment, or in a field that is not looked at.
    Skipped,
}

const BOM: &[u8] = b"\xEF\xBB\xBF";
const DATA: &[u8] = b"data";

impl Default for Place {
    fn default() -> Self {
        Self::Bom(0)
    }
}

impl EventReader {
    fn read(&mut self, bytes: &[u8], on_event: &mut impl FnMut(Event<'_>)) {
        let mut rest = bytes;
        while let Some((&byte, behind)) = rest.split_first() {
            if is_line_end(byte) {
                if byte == b'\r' || !self.is_behind_cr {
                    self.end_line(on_event);
                }
                self.is_behind_cr = byte == b'\r';
                rest = behind;
                continue;
            }
            self.is_behind_cr = false;
            rest = match self.place {
                Place::Value | Place::Skipped => {
                    let end = rest.iter().position(|byte| is_line_end(*byte)).unwrap_or(rest.len());
                    let (run, behind) = rest.split_at(end);
                    if matches!(self.place, Place::Value) {
                        self.keep(run);
                    }
                    behind
                }
                Place::Bom(_) | Place::LineStart | Place::Name(_) | Place::ValueStart => {
                    self.place = self.next_place(byte);
                    behind
                }
            };
        }
    }

    /// Where `byte`, which ends no line, leads to.
    fn next_place(&mut self, byte: u8) -> Place {
        match self.place {
            Place::Bom(at) if BOM.get(at) == Some(&byte) => {
                if at + 1 == BOM.len() {
                    Place::LineStart
                } else {
                    Place::Bom(at + 1)
                }
            }
            Place::Bom(0) | Place::LineStart if byte == DATA[0] => Place::Name(1),
            Place::Name(at) if DATA.get(at) == Some(&byte) => Place::Name(at + 1),
            Place::Name(at) if at == DATA.len() && byte == b':' => Place::ValueStart,
            Place::ValueStart => {
                if byte != b' ' {
                    self.keep(&[byte]);
                }
                Place::Value
            }
            Place::Value => Place::Value,
            Place::Bom(_) | Place::LineStart | Place::Name(_) | Place::Skipped => Place::Skipped,
        }
    }

    fn end_line(&mut self, on_event: &mut impl FnMut(Event<'_>)) {
        match self.place {
            Place::Bom(0) | Place::LineStart => self.end_event(on_event),
            Place::ValueStart | Place::Value => self.end_data(),
            Place::Name(at) if at == DATA.len() => self.end_data(),
            Place::Bom(_) | Place::Name(_) | Place::Skipped => {}
        }
        self.place = Place::LineStart;
    }

    fn end_data(&mut self) {
        self.keep(b"\n");
        self.has_data = true;
    }

    fn end_event(&mut self, on_event: &mut impl FnMut(Event<'_>)) {
        if !std::mem::take(&mut self.has_data) {
            return;
        }
        if std::mem::take(&mut self.is_too_large) {
            on_event(Event::TooLarge);
        } else {
            on_event(Event::Data(self.data.strip_suffix(b"\n").unwrap_or(&self.data)));
        }
        self.data.clear();
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.is_too_large |= self.data.len() + bytes.len() > EVENT_BYTES_MAX;
        if self.is_too_large {
            self.data = Vec::new();
        } else {
            self.data.extend_from_slice(bytes);
        }
    }
}

fn is_line_end(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}

#[cfg(test)]
mod tests {
    use super::{super::in_pieces, *};
    use proptest::prelude::*;

    /// Data of the events, in pieces; `None`: too large.
    fn events_of(pieces: &[&[u8]]) -> Vec<Option<String>> {
        let (mut reader, mut events) = (EventReader::default(), Vec::new());
        for piece in pieces {
            reader.read(piece, &mut |event| {
                events.push(match event {
                    Event::Data(data) => Some(String::from_utf8_lossy(data).into_owned()),
                    Event::TooLarge => None,
                });
            });
        }
        events
    }

    fn path() -> JsonPath {
        JsonPath::parse("usage.total_tokens").expect("a path")
    }

    fn usage(stream: &str, is_whole: bool) -> Usage {
        let mut events = EventStream::default();
        events.received(stream.as_bytes(), &path());
        events.usage(Units::from(10), is_whole)
    }

    fn known(count: u32) -> Usage {
        Usage::Known(Units::from(count))
    }

    const CONTENT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n";
    const TOLD: &str = "data: {\"choices\":[],\"usage\":{\"total_tokens\":7}}\n\n";
    const DONE: &str = "data: [DONE]\n\n";

    #[test]
    fn streams_are_read_as_the_standard_says() {
        let cases: [(&str, &[&str]); 14] = [
            ("data: a\n\n", &["a"]),
            ("data:a\r\rdata:b\r\n\r\n", &["a", "b"]),
            ("data: a\r\ndata:  b\ndata\n\n", &["a\n b\n"]),
            ("\u{feff}data: a\n\n\u{feff}data: b\n\n", &["a"]),
            (": comment\nevent: x\nid: 1\nretry: 5\ndata: a\n\n", &["a"]),
            ("event: x\n\ndata: a\n\n", &["a"]),
            ("data:\n\n", &[""]),
            ("data\n\n", &[""]),
            ("data: a\n", &[]),
            ("data: a", &[]),
            ("Data: a\ndatax: b\ndat: c\n data: d\n:data: e\n\n", &[]),
            ("\n\n\n\ndata: a\n\n\n\n", &["a"]),
            ("data:a:b: c\n\n", &["a:b: c"]),
            ("\u{feff}\ndata: a\n\n", &["a"]),
        ];
        for (stream, expected) in cases {
            let expected: Vec<Option<String>> =
                expected.iter().map(|event| Some((*event).to_owned())).collect();
            assert_eq!(events_of(&[stream.as_bytes()]), expected, "{stream:?}");
        }
    }

    #[test]
    fn the_number_of_the_last_event_counts() {
        assert_eq!(usage(&[CONTENT, CONTENT, TOLD, DONE].concat(), true), known(7));
        let running = TOLD.replace("[]", "[{}]").replace('7', "3");
        assert_eq!(usage(&[&running, CONTENT, TOLD, DONE].concat(), true), known(7));
        assert_eq!(usage(&[CONTENT, TOLD].concat(), false), known(7), "the client left behind it");
        let zero = TOLD.replace('7', "0");
        assert_eq!(usage(&[CONTENT, &zero].concat(), true), known(0), "the upstream's word");
    }

    #[test]
    fn without_a_number_every_event_with_content_costs_its_floor() {
        assert_eq!(usage(&[CONTENT, CONTENT, CONTENT, DONE].concat(), true), known(30));
        assert_eq!(usage(&[CONTENT, CONTENT].concat(), false), known(20));
        let empty = "data: {\"choices\":[]}\n\ndata:\n\n: ping\n\n";
        assert_eq!(usage(&[empty, CONTENT, DONE].concat(), true), known(10));
        assert_eq!(usage("data: plain words\n\ndata: {\"type\":\"delta\"}\n\n", true), known(20));
    }

    #[test]
    fn a_stream_without_events_costs_the_floor_of_one() {
        for stream in ["", ": ping\n\n", DONE, "data: {\"choices\":[{"] {
            assert_eq!(usage(stream, false), known(10), "{stream}");
            assert_eq!(usage(stream, true), known(10), "{stream}");
        }
    }

    #[test]
    fn a_number_of_the_past_does_not_hide_what_came_behind_it() {
        let early = "data: {\"usage\":{\"total_tokens\":12}}\n\n";
        assert_eq!(usage(&[early, CONTENT, CONTENT].concat(), false), known(20));
        assert_eq!(usage(&[early, CONTENT].concat(), false), known(12));
        assert_eq!(usage(&[early, CONTENT, CONTENT, DONE].concat(), true), known(12));
    }

    #[test]
    fn something_else_in_the_place_of_the_number_is_an_unknown_cost() {
        for number in ["-7", "7.5", "\"7\"", "9223372036854775808", "[]"] {
            let told = TOLD.replace('7', number);
            assert_eq!(usage(&[CONTENT, &told, DONE].concat(), true), Usage::Unknown, "{number}");
            assert_eq!(usage(&[CONTENT, &told, TOLD].concat(), true), known(7), "a later one mends it");
        }
    }

    #[test]
    fn what_a_model_says_is_never_taken_for_a_number() {
        let said = "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":{\\\"total_tokens\\\":0}\\n\\ndata: {\\\"usage\\\":{\\\"total_tokens\\\":0}}\"}}]}\n\n";
        assert_eq!(usage(said, true), known(10));
    }

    #[test]
    fn an_event_larger_than_is_read_is_content() {
        let fill = "x".repeat(EVENT_BYTES_MAX - 1);
        assert_eq!(events_of(&[format!("data:{fill}\n\n").as_bytes()]), [Some(fill.clone())]);
        let large = format!("data:{fill}\ndata:\n\ndata:b\n\n");
        assert_eq!(events_of(&[large.as_bytes()]), [None, Some("b".to_owned())]);
        assert_eq!(usage(&[&large, TOLD].concat(), true), known(7));
        assert_eq!(usage(&large, true), known(20));
        assert_eq!(usage(&format!(":{fill}{fill}\n\n{CONTENT}"), true), known(10), "comments have no size");
    }

    #[test]
    fn floors_do_not_overflow() {
        let mut events = EventStream::default();
        events.received(CONTENT.repeat(3).as_bytes(), &path());
        assert_eq!(events.usage(Units::MAX, true), Usage::Known(Units::MAX));
    }

    #[test]
    fn the_event_of_exhaustion_is_an_event_behind_any_part_of_a_stream() {
        let stream = format!("\u{feff}: a\r\nevent: b\r{CONTENT}data: c\r\ndata: d\r\n\r\n");
        for at in 0..=stream.len() {
            let events = events_of(&[&stream.as_bytes()[..at], &exhausted_event()]);
            let last: Value =
                serde_json::from_str(events.last().and_then(Option::as_deref).expect("an event")).unwrap();
            assert_eq!((&last["reason"], &last["status"]), (&"exhausted".into(), &402.into()), "at {at}");
            assert_eq!(last["error"]["code"], "exhausted");
        }
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            Just(CONTENT.as_bytes().to_vec()),
            Just(TOLD.as_bytes().to_vec()),
            Just(DONE.as_bytes().to_vec()),
            Just(BOM.to_vec()),
            Just(b"\r".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"data: ".to_vec()),
            Just(b"data".to_vec()),
            Just(b": c".to_vec()),
            prop::collection::vec(any::<u8>(), 0..6),
        ];
        prop::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn any_stream_in_any_pieces_is_the_same(
            stream in stream(),
            sizes in prop::collection::vec(1usize..9, 1..6),
        ) {
            let pieces = in_pieces(&stream, &sizes);
            prop_assert_eq!(events_of(&pieces), events_of(&[&stream]));
            let (mut once, mut often) = (EventStream::default(), EventStream::default());
            once.received(&stream, &path());
            for piece in &pieces {
                often.received(piece, &path());
            }
            for is_whole in [true, false] {
                prop_assert_eq!(once.usage(Units::ONE, is_whole), often.usage(Units::ONE, is_whole));
            }
        }

        #[test]
        fn whatever_line_ends_are_used_the_events_are_the_same(
            lines in prop::collection::vec("(data: ?[a-z]{0,3}|:[a-z]{0,3}|event: [a-z]|)", 0..12),
        ) {
            let with = |end: &str| events_of(&[(lines.join(end) + end).as_bytes()]);
            prop_assert_eq!(with("\n"), with("\r\n"));
            prop_assert_eq!(with("\n"), with("\r"));
        }
    }
}
