//! Counters for Prometheus. Labels are service names and reasons of ours: both are closed sets.

use super::Record;
use l402_paywall::{
    SettlementTotals,
    ledger::{Breach, Units},
};
use metrics::{Counter, Gauge, Histogram, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Seconds; from a verified request on the same machine to a slow upstream.
const SECONDS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// All counters of one gateway.
pub struct Meters {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    services: HashMap<Box<str>, ServiceMeters>,
    connections: Gauge,
    unknown_caveats: Counter,
    ledger_check: Mutex<Option<LedgerCheck>>,
}

/// What the last look through the whole ledger found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerCheck {
    /// When it ended, in Unix seconds.
    pub at: u64,
    /// Units that were not where they belong.
    pub breaches: Vec<Breach>,
}

/// The counters of the way that most requests take, looked up once.
struct ServiceMeters {
    paid: Counter,
    free: Counter,
    seconds: Histogram,
    sold: Counter,
    reserved: Counter,
    charged: Counter,
    released: Counter,
}

/// What the exporter wants to know about the place a counter is made at.
const PLACE: metrics::Metadata<'static> =
    metrics::Metadata::new(module_path!(), metrics::Level::INFO, Some(module_path!()));

impl Meters {
    /// Counters for these services.
    pub fn new<'a>(services: impl Iterator<Item = &'a str>) -> Self {
        use metrics::Recorder as _;
        let builder = PrometheusBuilder::new();
        let builder = builder
            .set_buckets_for_metric(Matcher::Full("octroi_request_seconds".into()), &SECONDS)
            .unwrap_or_else(|_| PrometheusBuilder::new()); // only an empty list of buckets is refused
        let recorder = builder.build_recorder();
        for (name, unit, help) in [
            (
                "octroi_requests_total",
                Unit::Count,
                "Requests forwarded, by service, access and status class.",
            ),
            (
                "octroi_refusals_total",
                Unit::Count,
                "Requests answered by the gateway itself, by service and reason.",
            ),
            ("octroi_challenges_total", Unit::Count, "Challenges minted, by service."),
            (
                "octroi_challenges_msat_total",
                Unit::Count,
                "Sum of the prices of minted challenges, in millisatoshi.",
            ),
            (
                "octroi_shadowed_total",
                Unit::Count,
                "Requests a shadow service would have refused, by service.",
            ),
            ("octroi_unknown_caveats_total", Unit::Count, "Foreign caveats that were skipped."),
            (
                "octroi_units_total",
                Unit::Count,
                "Units by service and fate: sold (by purchases that this gateway booked); and of metered requests that are over \
                 reserved, charged, released, overrun (cost beyond what was reserved, paid by nobody), shadow (would have been \
                 charged).",
            ),
            (
                "octroi_estimated_requests_total",
                Unit::Count,
                "Metered requests whose cost nobody could read, charged what was reserved, by service.",
            ),
            (
                "octroi_reservations_expired_total",
                Unit::Count,
                "Reservations that nobody ended before their deadline.",
            ),
            ("octroi_node_calls_total", Unit::Count, "Calls to the Lightning node, by call and outcome."),
            ("octroi_settlements_total", Unit::Count, "Invoices of the node that were settled, each once."),
            ("octroi_settled_msat_total", Unit::Count, "What settled invoices brought in, in millisatoshi."),
            (
                "octroi_overpaid_msat_total",
                Unit::Count,
                "The part of that beyond what the invoices asked for, in millisatoshi.",
            ),
        ] {
            recorder.describe_counter(name.into(), Some(unit), help.into());
        }
        recorder.describe_gauge(
            "octroi_connections".into(),
            Some(Unit::Count),
            "Open client connections.".into(),
        );
        recorder.describe_gauge(
            "octroi_loopback_node".into(),
            None,
            "1 while the loopback node, which moves no money, stands in for a Lightning node.".into(),
        );
        for (name, help) in [
            ("octroi_node_up", "1 while the Lightning node answers as it should."),
            (
                "octroi_node_breaker_open",
                "1 while the Lightning node is left alone because it is in trouble.",
            ),
            ("octroi_settlement_feed_connected", "1 while the node's settlements are followed."),
            (
                "octroi_ledger_invariant_breaches",
                "Places where the last look through the ledger found a unit lost or made up; 0 when the books hold, at most 100.",
            ),
            (
                "octroi_ledger_checked_timestamp_seconds",
                "When the ledger was looked through last, in Unix seconds.",
            ),
            ("octroi_settlement_lag_seconds", "Seconds for which settlements may have gone unnoticed."),
        ] {
            recorder.describe_gauge(name.into(), None, help.into());
        }
        recorder.describe_histogram(
            "octroi_request_seconds".into(),
            Some(Unit::Seconds),
            "From request head to the last byte of the answer, forwarded requests.".into(),
        );
        let handle = recorder.handle();
        let connections = recorder.register_gauge(&"octroi_connections".into(), &PLACE);
        let unknown_caveats = recorder.register_counter(&"octroi_unknown_caveats_total".into(), &PLACE);
        let services = services.map(|name| (name.into(), ServiceMeters::new(&recorder, name))).collect();
        Self { recorder, handle, services, connections, unknown_caveats, ledger_check: Mutex::default() }
    }

    /// The text that Prometheus scrapes.
    pub fn render(&self) -> String {
        self.handle.run_upkeep();
        self.handle.render()
    }

    /// Folds waiting samples into their buckets; to be called every few seconds, or they pile up between scrapes.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// The gauge of open client connections.
    pub fn connections(&self) -> &Gauge {
        &self.connections
    }

    /// Says whether the loopback node is in use.
    pub fn set_loopback(&self, in_use: bool) {
        self.set("octroi_loopback_node", f64::from(u8::from(in_use)));
    }

    /// Counts one call to the node.
    pub fn count_node_call(&self, call: &'static str, outcome: &'static str) {
        self.add("octroi_node_calls_total", &[("call", call.to_owned()), ("outcome", outcome.to_owned())], 1);
    }

    /// Says how the node is; `phase` is its breaker's.
    pub fn set_node(&self, is_up: bool, phase: &str) {
        self.set("octroi_node_up", f64::from(u8::from(is_up)));
        self.set("octroi_node_breaker_open", f64::from(u8::from(phase != "closed")));
    }

    /// Says how the feed of settlements is.
    pub fn set_feed(&self, connected: bool, lag_secs: u64) {
        self.set("octroi_settlement_feed_connected", f64::from(u8::from(connected)));
        self.set("octroi_settlement_lag_seconds", f64::from(u32::try_from(lag_secs).unwrap_or(u32::MAX)));
    }

    /// Says what was settled in all.
    pub fn set_settled(&self, totals: SettlementTotals) {
        use metrics::Recorder as _;
        let counter = |name: &'static str| self.recorder.register_counter(&name.into(), &PLACE);
        counter("octroi_settlements_total").absolute(totals.count);
        counter("octroi_settled_msat_total").absolute(totals.amount.as_msat());
        counter("octroi_overpaid_msat_total").absolute(totals.excess.as_msat());
    }

    /// Counts reservations that nobody ended before their deadline.
    pub fn count_expired(&self, reservations: u64) {
        self.add("octroi_reservations_expired_total", &[], reservations);
    }

    /// Counts units that were sold.
    pub fn count_sold(&self, service: &str, units: Units) {
        match self.services.get(service) {
            Some(meters) => meters.sold.increment(units.get()),
            None => self.add_units(service, "sold", units),
        }
    }

    /// Says what a look through the ledger found.
    pub fn set_ledger_check(&self, check: LedgerCheck) {
        let number = |count| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        self.set("octroi_ledger_invariant_breaches", number(check.breaches.len() as u64));
        self.set("octroi_ledger_checked_timestamp_seconds", number(check.at));
        *self.ledger_check.lock().unwrap_or_else(PoisonError::into_inner) = Some(check);
    }

    /// What the last look through the ledger found, once there was one.
    pub fn ledger_check(&self) -> Option<LedgerCheck> {
        self.ledger_check.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, name: &'static str, value: f64) {
        use metrics::Recorder as _;
        self.recorder.register_gauge(&name.into(), &PLACE).set(value);
    }

    /// Counts one request.
    pub(super) fn count(&self, record: &Record<'_>) {
        self.unknown_caveats.increment(u64::from(record.unknown_caveats));
        let service = record.service.unwrap_or("none");
        self.count_units(service, record);
        let Some(access) = record.access else {
            return self.count_refusal(service, record);
        };
        let seconds = record.took.as_secs_f64();
        match self.services.get(service) {
            Some(meters) if (200..300).contains(&record.status) && access != "shadow" => {
                if access == "paid" { &meters.paid } else { &meters.free }.increment(1);
                meters.seconds.record(seconds);
            }
            _ => {
                let code = format!("{}xx", record.status / 100);
                let labels = [("service", service.to_owned()), ("access", access.to_owned()), ("code", code)];
                self.add("octroi_requests_total", &labels, 1);
                match self.services.get(service) {
                    Some(meters) => meters.seconds.record(seconds),
                    // A reload has brought it.
                    None => seconds_of(&self.recorder, service).record(seconds),
                }
                if access == "shadow" && record.reason != "served" {
                    self.add("octroi_shadowed_total", &[("service", service.to_owned())], 1);
                }
            }
        }
    }

    fn count_units(&self, service: &str, record: &Record<'_>) {
        if let Some(units) = record.shadow_units {
            self.add_units(service, "shadow", units);
        }
        let Some(bill) = record.bill else { return };
        let released = bill.reserved.saturating_sub(bill.charged);
        match self.services.get(service) {
            Some(meters) => {
                meters.reserved.increment(bill.reserved.get());
                meters.charged.increment(bill.charged.get());
                meters.released.increment(released.get());
            }
            // A reload has brought it.
            None => {
                for (fate, units) in
                    [("reserved", bill.reserved), ("charged", bill.charged), ("released", released)]
                {
                    self.add_units(service, fate, units);
                }
            }
        }
        if bill.overrun > Units::ZERO {
            self.add_units(service, "overrun", bill.overrun);
        }
        if bill.is_estimate {
            self.add("octroi_estimated_requests_total", &[("service", service.to_owned())], 1);
        }
    }

    fn add_units(&self, service: &str, fate: &'static str, units: Units) {
        let labels = [("service", service.to_owned()), ("fate", fate.to_owned())];
        self.add("octroi_units_total", &labels, units.get());
    }

    fn count_refusal(&self, service: &str, record: &Record<'_>) {
        let reason = ("reason", record.reason.to_owned());
        self.add("octroi_refusals_total", &[("service", service.to_owned()), reason], 1);
        if let Some(price) = record.minted_msat {
            self.add("octroi_challenges_total", &[("service", service.to_owned())], 1);
            self.add("octroi_challenges_msat_total", &[("service", service.to_owned())], price);
        }
    }

    fn add(&self, name: &'static str, labels: &[(&'static str, String)], count: u64) {
        use metrics::Recorder as _;
        let labels: Vec<metrics::Label> =
            labels.iter().map(|(key, value)| metrics::Label::new(*key, value.clone())).collect();
        self.recorder.register_counter(&metrics::Key::from_parts(name, labels), &PLACE).increment(count);
    }
}

impl ServiceMeters {
    fn new(recorder: &PrometheusRecorder, service: &str) -> Self {
        use metrics::Recorder as _;
        let key = |name: &'static str, labels: &[(&'static str, &str)]| {
            let labels: Vec<metrics::Label> =
                labels.iter().map(|(key, value)| metrics::Label::new(*key, (*value).to_owned())).collect();
            metrics::Key::from_parts(name, labels)
        };
        let served = |access| {
            let labels = [("service", service), ("access", access), ("code", "2xx")];
            recorder.register_counter(&key("octroi_requests_total", &labels), &PLACE)
        };
        let units = |fate| {
            let labels = [("service", service), ("fate", fate)];
            recorder.register_counter(&key("octroi_units_total", &labels), &PLACE)
        };
        Self {
            paid: served("paid"),
            free: served("free"),
            seconds: seconds_of(recorder, service),
            sold: units("sold"),
            reserved: units("reserved"),
            charged: units("charged"),
            released: units("released"),
        }
    }
}

fn seconds_of(recorder: &PrometheusRecorder, service: &str) -> Histogram {
    use metrics::Recorder as _;
    let labels = vec![metrics::Label::new("service", service.to_owned())];
    recorder.register_histogram(&metrics::Key::from_parts("octroi_request_seconds", labels), &PLACE)
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meters").field("services", &self.services.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn record(access: Option<&'static str>, status: u16, reason: &'static str) -> Record<'static> {
        Record {
            request_id: 1,
            method: "GET",
            path: "/",
            client: None,
            service: Some("weather"),
            status,
            reason,
            access,
            token_id: None,
            unknown_caveats: 2,
            minted_msat: (status == 402).then_some(10_000),
            bill: None,
            shadow_units: None,
            took: Duration::from_millis(3),
        }
    }

    #[test]
    fn a_service_that_a_reload_has_brought_is_counted_like_the_others() {
        let meters = Meters::new(["weather"].into_iter());
        for status in [200, 200, 502] {
            meters.count(&Record { service: Some("tides"), ..record(Some("paid"), status, "served") });
        }
        let text = meters.render();
        for line in [
            r#"octroi_requests_total{service="tides",access="paid",code="2xx"} 2"#,
            r#"octroi_requests_total{service="tides",access="paid",code="5xx"} 1"#,
            r#"octroi_request_seconds_count{service="tides"} 3"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn what_happened_is_counted_once_under_closed_labels() {
        let meters = Meters::new(["weather"].into_iter());
        meters.count(&record(Some("paid"), 200, "served"));
        meters.count(&record(Some("paid"), 502, "upstream_unreachable"));
        meters.count(&record(Some("shadow"), 200, "payment_required"));
        meters.count(&record(None, 402, "payment_required"));
        meters.set_loopback(true);
        let text = meters.render();
        for line in [
            r#"octroi_requests_total{service="weather",access="paid",code="2xx"} 1"#,
            r#"octroi_requests_total{service="weather",access="paid",code="5xx"} 1"#,
            r#"octroi_refusals_total{service="weather",reason="payment_required"} 1"#,
            r#"octroi_challenges_total{service="weather"} 1"#,
            r#"octroi_challenges_msat_total{service="weather"} 10000"#,
            r#"octroi_shadowed_total{service="weather"} 1"#,
            "octroi_unknown_caveats_total 8",
            "octroi_loopback_node 1",
            r#"octroi_request_seconds_count{service="weather"} 3"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
