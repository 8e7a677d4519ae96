//! How much of its service's unit one request has used.

use super::{events::EventStream, json::JsonBody};
use http::{HeaderMap, HeaderName, StatusCode, header};
use l402_paywall::{
    ledger::Units,
    meter::{CostRule, Direction, JsonPath, Usage, read_units},
    metering::COST,
};
use std::time::Duration;

/// How an exchange ended, or would end if it ended now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Ended {
    /// The answer came whole.
    Whole,
    /// The upstream broke off.
    Cut,
    /// The client left, or was made to leave.
    Aborted,
}

/// Measures one exchange by its service's rule.
///
/// It begins when the request goes upstream, so that a request has a cost from its first byte on (wire contract, section
/// 7.13). What each rule makes of an answer that has no body by its nature (`HEAD`, 204, 304):
///
/// * fixed, header, time: the same as of any other;
/// * bytes: those that passed, so none of the answer;
/// * JSON: unknown, because a place for the number is all that is missing and the work may have been done;
/// * events: the floor of one event.
///
/// A body that cannot be read although its cost is in it (compressed in spite of what was asked, a part of the whole, a
/// connection that became a WebSocket, too large) is of unknown cost, whatever it holds.
pub(in crate::proxy) struct Gauge {
    measure: Measure,
}

enum Measure {
    /// Nothing that passes changes it.
    Decided(Usage),
    /// The head will say.
    Head,
    /// The body will say.
    Document {
        path: JsonPath,
        body: JsonBody,
    },
    Events(Streamed),
    Bytes {
        of: Direction,
        per_unit: u64,
        received: u64,
    },
    Time {
        secs_per_unit: u64,
    },
}

/// An answer to a request whose cost comes with events.
struct Streamed {
    path: JsonPath,
    floor_per_event: Units,
    form: Form,
}

/// The form that such an answer has.
enum Form {
    /// No head yet, or no body by its nature.
    Silent,
    Events(EventStream),
    /// Anything else: one document with the same number in it, as with `stream: false`.
    Document {
        body: JsonBody,
        is_failure: bool,
    },
}

impl Gauge {
    /// Begins with a request on its way to the upstream.
    pub(in crate::proxy) fn new(rule: &CostRule) -> Self {
        let measure = match rule {
            CostRule::Fixed(units) => Measure::Decided(Usage::Known(*units)),
            CostRule::Header { .. } => Measure::Head,
            CostRule::Json { path, .. } => {
                Measure::Document { path: path.clone(), body: JsonBody::default() }
            }
            CostRule::Events { path, floor_per_event, .. } => Measure::Events(Streamed {
                path: path.clone(),
                floor_per_event: *floor_per_event,
                form: Form::Silent,
            }),
            CostRule::Bytes { of, per_unit, .. } => {
                Measure::Bytes { of: *of, per_unit: (*per_unit).max(1), received: 0 }
            }
            CostRule::Time { secs_per_unit, .. } => Measure::Time { secs_per_unit: (*secs_per_unit).max(1) },
        };
        Self { measure }
    }

    /// The head of the upstream's answer as the upstream wrote it. Every line that tells a cost is taken out of it,
    /// whatever the rule, in every spelling that some server takes for the same name.
    pub(in crate::proxy) fn head(&mut self, status: u16, headers: &mut HeaderMap) {
        let told = take_cost(headers);
        match &mut self.measure {
            Measure::Head => self.measure = Measure::Decided(told.map_or(Usage::Unknown, Usage::Known)),
            Measure::Document { .. } if !is_readable(status, headers) || !may_have_body(status) => {
                self.measure = Measure::Decided(Usage::Unknown);
            }
            Measure::Events(_) if !is_readable(status, headers) => {
                self.measure = Measure::Decided(Usage::Unknown);
            }
            Measure::Events(streamed) => streamed.form = Form::of(status, headers),
            Measure::Decided(_) | Measure::Document { .. } | Measure::Bytes { .. } | Measure::Time { .. } => {
            }
        }
    }

    /// Data of the answer's body.
    pub(in crate::proxy) fn received(&mut self, data: &[u8]) {
        match &mut self.measure {
            Measure::Decided(_) | Measure::Head | Measure::Time { .. } => {}
            Measure::Document { body, .. } => body.received(data),
            Measure::Events(Streamed { path, form, .. }) => match form {
                Form::Silent => {}
                Form::Events(stream) => stream.received(data, path),
                Form::Document { body, .. } => body.received(data),
            },
            Measure::Bytes { received, .. } => *received = received.saturating_add(data.len() as u64),
        }
    }

    /// What the request costs if it ends like this, `elapsed` after it came and with `sent` bytes of its body passed on.
    pub(in crate::proxy) fn usage(&self, sent: u64, elapsed: Duration, ended: Ended) -> Usage {
        match &self.measure {
            Measure::Decided(usage) => *usage,
            Measure::Head => Usage::Unknown,
            Measure::Document { path, body } => body.units_at(path).map_or(Usage::Unknown, Usage::Known),
            Measure::Events(streamed) => streamed.usage(ended),
            Measure::Bytes { .. } | Measure::Time { .. } => Usage::Known(self.needed(sent, elapsed)),
        }
    }

    /// How many units have to be set aside for what was used until now: begun units count. None by the rules that set
    /// everything aside beforehand.
    pub(in crate::proxy) fn needed(&self, sent: u64, elapsed: Duration) -> Units {
        match &self.measure {
            Measure::Bytes { of, per_unit, received } => {
                let bytes = match of {
                    Direction::Request => sent,
                    Direction::Response => *received,
                    Direction::Both => sent.saturating_add(*received),
                };
                countable(bytes.div_ceil(*per_unit))
            }
            Measure::Time { secs_per_unit } => {
                // Whatever came has begun its first unit, also where the clock is too coarse to see it.
                let secs = elapsed.as_secs().saturating_add(u64::from(elapsed.subsec_nanos() > 0)).max(1);
                countable(secs.div_ceil(*secs_per_unit))
            }
            Measure::Decided(_) | Measure::Head | Measure::Document { .. } | Measure::Events(_) => {
                Units::ZERO
            }
        }
    }

    /// How many bytes of the answer have been received that `reserved` units do not cover.
    pub(in crate::proxy) fn uncovered(&self, sent: u64, reserved: Units) -> u64 {
        let Measure::Bytes { of, per_unit, received } = &self.measure else { return 0 };
        let used = if *of == Direction::Both { sent.saturating_add(*received) } else { *received };
        used.saturating_sub(reserved.get().saturating_mul(*per_unit)).min(*received)
    }

    /// Whether nothing that may still pass changes what the request costs.
    pub(in crate::proxy) fn is_known_at_head(&self) -> bool {
        matches!(self.measure, Measure::Decided(_))
    }
}

impl Streamed {
    fn usage(&self, ended: Ended) -> Usage {
        match &self.form {
            Form::Silent => Usage::Known(self.floor_per_event),
            Form::Events(stream) => stream.usage(self.floor_per_event, ended == Ended::Whole),
            Form::Document { body, is_failure } => match body.units_at(&self.path) {
                Some(units) => Usage::Known(units),
                // An upstream that could not do its work often says so without a number.
                None if *is_failure || body.is_empty() => Usage::Known(self.floor_per_event),
                None => Usage::Unknown,
            },
        }
    }
}

impl Form {
    fn of(status: u16, headers: &HeaderMap) -> Self {
        if !may_have_body(status) {
            return Self::Silent;
        }
        let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if media_type.eq_ignore_ascii_case(b"text/event-stream") {
            Self::Events(EventStream::default())
        } else {
            Self::Document { body: JsonBody::default(), is_failure: status >= 400 }
        }
    }
}

/// Takes every line that tells a cost, and reads it: one line in the one spelling, canonical, or nothing.
fn take_cost(headers: &mut HeaderMap) -> Option<Units> {
    let is_cost = |name: &HeaderName| name.as_str().replace('_', "-") == COST.as_str();
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_cost(name)).cloned().collect();
    let lines = || names.iter().flat_map(|name| headers.get_all(name));
    let only = lines().next().filter(|_| lines().count() == 1 && names == [COST]);
    let told = only.and_then(|line| read_units(line.as_bytes()));
    for name in names {
        headers.remove(name);
    }
    told
}

/// Whether a number in the body is the number of this request. A part of a document may hold another's: the client chose
/// which part.
fn is_readable(status: u16, headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    let is_plain = encodings.all(|line| line.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"));
    let is_partial = status == StatusCode::PARTIAL_CONTENT || status == StatusCode::IM_USED;
    is_plain && !is_partial && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Answers that end with their head
/// ([RFC 9112 section 6.3](https://www.rfc-editor.org/rfc/rfc9112#section-6.3)).
fn may_have_body(status: u16) -> bool {
    status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

fn countable(count: u64) -> Units {
    Units::new(count).unwrap_or(Units::MAX)
}

#[cfg(test)]
mod tests {
    use super::{super::in_pieces, *};
    use http::HeaderValue;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn units(count: u32) -> Units {
        Units::from(count)
    }

    fn known(count: u32) -> Usage {
        Usage::Known(units(count))
    }

    fn path() -> JsonPath {
        JsonPath::parse("usage.total_tokens").expect("a path")
    }

    fn json() -> CostRule {
        CostRule::Json { path: path(), max: units(1000) }
    }

    fn events() -> CostRule {
        CostRule::Events { path: path(), max: units(1000), floor_per_event: units(2) }
    }

    fn bytes(of: Direction) -> CostRule {
        CostRule::Bytes { of, per_unit: 10, step: units(5) }
    }

    fn head(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    /// What an answer costs that came whole.
    fn cost(rule: &CostRule, status: u16, lines: &[(&'static str, &'static str)], body: &[u8]) -> Usage {
        let mut gauge = Gauge::new(rule);
        gauge.head(status, &mut head(lines));
        gauge.received(body);
        gauge.usage(0, SECOND, Ended::Whole)
    }

    const STREAM: (&str, &str) = ("content-type", "Text/Event-Stream; charset=utf-8");
    const DOCUMENT: (&str, &str) = ("content-type", "application/json");

    #[test]
    fn a_fixed_cost_is_known_before_anything_comes() {
        let gauge = Gauge::new(&CostRule::Fixed(units(3)));
        assert!(gauge.is_known_at_head());
        assert_eq!(gauge.usage(0, Duration::ZERO, Ended::Aborted), known(3));
    }

    #[test]
    fn one_plain_cost_line_is_read() {
        let rule = CostRule::Header { max: units(50) };
        assert_eq!(cost(&rule, 200, &[("l402-cost", "7")], b""), known(7));
        assert_eq!(cost(&rule, 200, &[("l402-cost", "0")], b""), known(0));
        assert_eq!(cost(&rule, 200, &[("l402-cost", "51")], b""), known(51), "an overrun is told as it is");
    }

    #[test]
    fn any_other_cost_line_is_an_unknown_cost() {
        let rule = CostRule::Header { max: units(50) };
        for line in [
            "",
            "-1",
            "+1",
            "01",
            "1.5",
            "1e3",
            "0x1",
            "1 2",
            "1,1",
            "9223372036854775808",
            "99999999999999999999",
        ] {
            assert_eq!(cost(&rule, 200, &[("l402-cost", line)], b""), Usage::Unknown, "{line}");
        }
        let lines: [&[(&str, &str)]; 4] = [
            &[],
            &[("l402-cost", "1"), ("l402-cost", "1")],
            &[("l402_cost", "1")],
            &[("l402-cost", "1"), ("l402_cost", "1")],
        ];
        for lines in lines {
            assert_eq!(cost(&rule, 200, lines, b""), Usage::Unknown, "{lines:?}");
        }
    }

    #[test]
    fn no_spelling_of_the_cost_line_is_left_in_the_head_whatever_the_rule() {
        for rule in [CostRule::Fixed(Units::ONE), CostRule::Header { max: Units::ONE }, json(), events()] {
            let mut headers =
                head(&[("l402-cost", "1"), ("l402-cost", "2"), ("l402_cost", "3"), ("x-a", "4")]);
            Gauge::new(&rule).head(200, &mut headers);
            assert_eq!(headers, head(&[("x-a", "4")]));
        }
    }

    #[test]
    fn a_cost_in_the_head_is_known_with_it_and_unknown_before() {
        let mut gauge = Gauge::new(&CostRule::Header { max: units(50) });
        assert!(!gauge.is_known_at_head());
        assert_eq!(gauge.usage(0, SECOND, Ended::Aborted), Usage::Unknown);
        gauge.head(500, &mut head(&[("l402-cost", "2")]));
        assert!(gauge.is_known_at_head());
        assert_eq!(gauge.usage(0, SECOND, Ended::Cut), known(2));
    }

    #[test]
    fn a_number_in_the_document_is_read_also_if_the_client_left_behind_it() {
        let mut gauge = Gauge::new(&json());
        gauge.head(200, &mut head(&[DOCUMENT]));
        gauge.received(b"{\"usage\":{\"total_tokens\":12}");
        assert_eq!(gauge.usage(0, SECOND, Ended::Aborted), Usage::Unknown);
        assert!(!gauge.is_known_at_head());
        gauge.received(b"}");
        assert_eq!(gauge.usage(0, SECOND, Ended::Aborted), known(12));
    }

    #[test]
    fn a_body_that_is_not_the_whole_plain_document_is_of_unknown_cost() {
        let body = b"{\"usage\":{\"total_tokens\":1}}";
        for (status, line) in
            [(200, ("content-encoding", "gzip")), (206, DOCUMENT), (226, DOCUMENT), (101, DOCUMENT)]
        {
            assert_eq!(cost(&json(), status, &[line], body), Usage::Unknown, "{status}");
            assert_eq!(cost(&events(), status, &[line], body), Usage::Unknown, "{status}");
        }
        assert_eq!(cost(&json(), 200, &[("content-encoding", "Identity")], body), known(1));
    }

    #[test]
    fn an_answer_without_a_body_costs_the_estimate_by_json_and_one_floor_by_events() {
        for status in [204, 304] {
            assert_eq!(cost(&json(), status, &[DOCUMENT], b""), Usage::Unknown);
            assert_eq!(cost(&events(), status, &[STREAM], b""), known(2));
        }
        for form in [STREAM, DOCUMENT] {
            assert_eq!(cost(&json(), 200, &[form], b""), Usage::Unknown, "HEAD");
            assert_eq!(cost(&events(), 200, &[form], b""), known(2), "HEAD");
        }
        assert_eq!(cost(&bytes(Direction::Both), 304, &[], b""), known(0));
    }

    #[test]
    fn a_client_that_leaves_before_the_first_byte_costs_the_floor() {
        assert_eq!(Gauge::new(&events()).usage(0, SECOND, Ended::Aborted), known(2));
        assert_eq!(Gauge::new(&json()).usage(0, SECOND, Ended::Aborted), Usage::Unknown);
    }

    #[test]
    fn the_usage_is_read_from_events_and_from_the_document_that_comes_instead() {
        let stream = b"data: {\"choices\":[{}],\"usage\":null}\n\ndata: {\"choices\":[],\"usage\":{\"total_tokens\":31}}\n\ndata: [DONE]\n\n";
        assert_eq!(cost(&events(), 200, &[STREAM], stream), known(31));
        assert_eq!(cost(&events(), 200, &[DOCUMENT], b"{\"usage\":{\"total_tokens\":32}}"), known(32));
        assert_eq!(cost(&events(), 200, &[DOCUMENT], b"{\"text\":\"much\"}"), Usage::Unknown);
        assert_eq!(cost(&events(), 429, &[DOCUMENT], b"{\"error\":\"slow down\"}"), known(2));
        assert_eq!(cost(&events(), 200, &[("content-type", "text/plain")], stream), Usage::Unknown);
    }

    #[test]
    fn begun_units_of_bytes_count() {
        let cases = [(Direction::Request, 3), (Direction::Response, 2), (Direction::Both, 4)];
        for (of, expected) in cases {
            let mut gauge = Gauge::new(&bytes(of));
            gauge.head(200, &mut HeaderMap::new());
            gauge.received(&[0; 11]);
            assert_eq!(gauge.usage(21, SECOND, Ended::Cut), known(expected), "{of:?}");
            assert_eq!(gauge.needed(21, SECOND), units(expected));
        }
        let gauge = Gauge::new(&CostRule::Bytes { of: Direction::Request, per_unit: 1, step: Units::ONE });
        assert_eq!(gauge.needed(u64::MAX, SECOND), Units::MAX);
    }

    #[test]
    fn begun_units_of_time_count() {
        let gauge = Gauge::new(&CostRule::Time { secs_per_unit: 10, step: units(1) });
        for (elapsed, expected) in [(0, 1), (1, 1), (10_000, 1), (10_001, 2), (95_000, 10)] {
            let elapsed = Duration::from_millis(elapsed);
            assert_eq!(gauge.needed(0, elapsed), units(expected), "{elapsed:?}");
            assert_eq!(gauge.usage(0, elapsed, Ended::Aborted), known(expected));
        }
        let eternity = Gauge::new(&CostRule::Time { secs_per_unit: 1, step: units(1) });
        assert_eq!(eternity.needed(0, Duration::MAX), Units::MAX);
    }

    fn any_rule() -> impl Strategy<Value = CostRule> {
        prop_oneof![
            Just(CostRule::Header { max: units(9) }),
            Just(json()),
            Just(events()),
            Just(bytes(Direction::Both)),
            Just(CostRule::Time { secs_per_unit: 2, step: units(9) }),
        ]
    }

    proptest! {
        #[test]
        fn any_answer_in_any_pieces_costs_the_same(
            rule in any_rule(),
            status in 100u16..600,
            content_type in prop_oneof![Just(STREAM), Just(DOCUMENT)],
            body in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                Just(br#"{"usage":{"total_tokens":5}}"#.to_vec()),
                Just(b"data:{\"choices\":[1]}\r\n\r\ndata:{\"usage\":{\"total_tokens\":6}}\n\n".to_vec()),
            ],
            sizes in prop::collection::vec(1usize..9, 1..5),
        ) {
            let whole = cost(&rule, status, &[content_type], &body);
            let mut gauge = Gauge::new(&rule);
            gauge.head(status, &mut head(&[content_type]));
            for piece in in_pieces(&body, &sizes) {
                gauge.received(piece);
            }
            prop_assert_eq!(gauge.usage(0, SECOND, Ended::Whole), whole);
        }

        #[test]
        fn what_is_needed_never_shrinks(
            sent in any::<u32>(),
            more in any::<u32>(),
            data in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let mut gauge = Gauge::new(&bytes(Direction::Both));
            let before = gauge.needed(u64::from(sent), SECOND);
            gauge.received(&data);
            prop_assert!(gauge.needed(u64::from(sent) + u64::from(more), SECOND) >= before);
        }
    }
}
