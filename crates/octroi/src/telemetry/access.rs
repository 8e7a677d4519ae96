//! The access log: one line per request, written by a thread of its own so that a slow terminal or pipe never holds a
//! request up. When the reader cannot keep up, lines are dropped and counted, never queued without bound.
//!
//! A line names service, status, reason and time; never a credential, a query string or a client's free text.

use super::LogFormat;
use crate::{date::Date, edge::unix_secs};
use l402::TokenId;
use l402_paywall::{ledger::Units, metering::Bill};
use std::{
    fmt::Write as _,
    io::{self, Write as _},
    net::IpAddr,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// What is dropped beyond this waited for a reader that is seconds behind.
const PENDING_BYTES_MAX: usize = 1 << 20;
/// Lines appear at most this late.
const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// One finished request.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Number of the request since start, the same in log lines about it.
    pub request_id: u64,
    /// Method.
    pub method: &'a str,
    /// Path in canonical form, without query; absent where the request was refused before it was known.
    pub path: &'a str,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// Name of the service.
    pub service: Option<&'a str>,
    /// Status code sent.
    pub status: u16,
    /// `served`, `cut`, `client_gone`, `answer_kept` (the client left, and gets the answer if it asks again), or the reason
    /// of a refusal.
    pub reason: &'static str,
    /// `paid`, `free` or `shadow`; absent where nothing was admitted.
    pub access: Option<&'static str>,
    /// The token it was paid with; its public id, not its secret.
    pub token_id: Option<TokenId>,
    /// Foreign caveats that were skipped.
    pub unknown_caveats: u32,
    /// Price of the challenge in the answer, in millisatoshi.
    pub minted_msat: Option<u64>,
    /// What it cost, where the service is metered.
    pub bill: Option<Bill>,
    /// What it would have cost, in units, where a metered service only counts.
    pub shadow_units: Option<Units>,
    /// From head to last byte.
    pub took: Duration,
}

/// Writes access lines.
#[derive(Debug)]
pub struct AccessLog {
    shared: Option<Arc<Shared>>,
    format: LogFormat,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    wake: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Pending {
    lines: String,
    closed: bool,
}

impl AccessLog {
    /// A log that writes nothing.
    pub fn off() -> Self {
        Self { shared: None, format: LogFormat::Text, thread: None }
    }

    /// Starts the writing thread.
    pub fn to_stderr(format: LogFormat) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("access-log".into()).spawn(move || writer.run())?;
        Ok(Self { shared: Some(shared), format, thread: Some(thread) })
    }

    /// Adds one line.
    pub fn write(&self, record: &Record<'_>) {
        let Some(shared) = &self.shared else { return };
        let mut pending = shared.lock();
        if pending.lines.len() > PENDING_BYTES_MAX {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // Writing to a String cannot fail.
        let _ = match self.format {
            LogFormat::Text => text_line(&mut pending.lines, record),
            LogFormat::Json => json_line(&mut pending.lines, record),
        };
    }

    /// Lines that were dropped because stderr could not keep up.
    pub fn dropped(&self) -> u64 {
        self.shared.as_ref().map_or(0, |shared| shared.dropped.load(Ordering::Relaxed))
    }
}

impl Drop for AccessLog {
    /// Waits for the last lines.
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.lock().closed = true;
            shared.wake.notify_all();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there has printed itself
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut batch = String::new();
        loop {
            let guard = self.lock();
            let wait = self.wake.wait_timeout_while(guard, FLUSH_EVERY, |pending| !pending.closed);
            let (mut pending, _) = wait.unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut batch, &mut pending.lines);
            let closed = pending.closed;
            drop(pending);
            // A closed stderr is no reason to stop serving.
            let _ = io::stderr().lock().write_all(batch.as_bytes());
            batch.clear();
            if closed {
                return;
            }
        }
    }
}

fn text_line(line: &mut String, record: &Record<'_>) -> std::fmt::Result {
    write!(line, "{} ACCESS #{} {} ", Date(unix_secs()), record.request_id, record.method)?;
    for character in record.path.chars() {
        write!(line, "{}", character.escape_debug())?; // a path may hold anything printable, and more
    }
    write!(line, " {} {}", record.status, record.reason)?;
    if let Some(service) = record.service {
        write!(line, " service={service}")?;
    }
    if let Some(access) = record.access {
        write!(line, " access={access}")?;
    }
    if let Some(token) = record.token_id {
        write!(line, " token={token}")?;
    }
    if let Some(price) = record.minted_msat {
        write!(line, " minted={price}msat")?;
    }
    if let Some(bill) = record.bill {
        write!(line, " units={} balance={}", bill.charged, bill.balance)?;
    }
    if let Some(units) = record.shadow_units {
        write!(line, " shadow_units={units}")?;
    }
    if let Some(client) = record.client {
        write!(line, " client={client}")?;
    }
    writeln!(line, " ms={}", Millis(record.took))
}

fn json_line(line: &mut String, record: &Record<'_>) -> std::fmt::Result {
    write!(
        line,
        "{{\"timestamp\":\"{}\",\"level\":\"INFO\",\"target\":\"access\",\"request\":{},\"method\":\"{}\",\"path\":\"",
        Date(unix_secs()),
        record.request_id,
        record.method
    )?;
    json_escaped(line, record.path)?;
    write!(line, "\",\"status\":{},\"reason\":\"{}\"", record.status, record.reason)?;
    if let Some(service) = record.service {
        write!(line, ",\"service\":\"{service}\"")?; // a name needs no escaping
    }
    if let Some(access) = record.access {
        write!(line, ",\"access\":\"{access}\"")?;
    }
    if let Some(token) = record.token_id {
        write!(line, ",\"token\":\"{token}\"")?;
    }
    if let Some(price) = record.minted_msat {
        write!(line, ",\"minted_msat\":{price}")?;
    }
    if let Some(bill) = record.bill {
        write!(line, ",\"units\":{},\"balance\":{}", bill.charged, bill.balance)?;
    }
    if let Some(units) = record.shadow_units {
        write!(line, ",\"shadow_units\":{units}")?;
    }
    if let Some(client) = record.client {
        write!(line, ",\"client\":\"{client}\"")?;
    }
    writeln!(line, ",\"ms\":{}}}", Millis(record.took))
}

fn json_escaped(line: &mut String, text: &str) -> std::fmt::Result {
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(line, "\\{character}")?,
            _ if character.is_control() => write!(line, "\\u{:04x}", u32::from(character))?,
            _ => line.push(character),
        }
    }
    Ok(())
}

/// Milliseconds with three decimals.
struct Millis(Duration);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let micros = self.0.as_micros();
        write!(f, "{}.{:03}", micros / 1000, micros % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record<'static> {
        Record {
            request_id: 7,
            method: "GET",
            path: "/a\"b\n",
            client: Some(IpAddr::from([192, 0, 2, 1])),
            service: Some("weather"),
            status: 402,
            reason: "payment_required",
            access: None,
            token_id: None,
            unknown_caveats: 0,
            minted_msat: Some(10_000),
            bill: None,
            shadow_units: None,
            took: Duration::from_micros(1_234),
        }
    }

    #[test]
    fn lines_stay_lines_whatever_the_path_holds() {
        let (mut text, mut json) = (String::new(), String::new());
        text_line(&mut text, &record()).expect("written");
        json_line(&mut json, &record()).expect("written");
        assert_eq!((text.lines().count(), json.lines().count()), (1, 1));
        let parsed: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(parsed["path"], "/a\"b\n");
        assert_eq!(parsed["ms"], 1.234);
        assert!(
            text.ends_with(
                "402 payment_required service=weather minted=10000msat client=192.0.2.1 ms=1.234\n"
            )
        );
    }
}
