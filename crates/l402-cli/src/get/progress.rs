//! Talk on standard error: for people on a terminal as it happens, for programs one JSON object at the end.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;

use l402_client::{Approved, Event};
use l402_lightning::MilliSat;
use serde_json::{Value, json};

/// A download is worth a word from this size on.
const WORTH_A_WORD_BYTES: u64 = 1024 * 1024;

/// Who is listening.
pub(crate) struct Progress {
    listener: Listener,
    now: fn() -> u64,
    /// Whole mebibytes last spoken of.
    spoken: Mutex<u64>,
}

enum Listener {
    Person,
    Program,
    Nobody,
}

impl Progress {
    /// Talk for a program if it asked for JSON, for a person if there is a terminal, else silence.
    pub(crate) fn new(json: bool, now: fn() -> u64) -> Self {
        let listener = match (json, io::stderr().is_terminal()) {
            (true, _) => Listener::Program,
            (false, true) => Listener::Person,
            (false, false) => Listener::Nobody,
        };
        Self { listener, now, spoken: Mutex::new(0) }
    }

    /// Tells what happened.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        if let Some(text) = warning(event) {
            self.warn(&text);
            return;
        }
        if let Some(line) = self.sentence(event).filter(|_| matches!(self.listener, Listener::Person)) {
            say(&line);
        }
    }

    /// Tells everybody what went wrong on the side.
    pub(crate) fn warn(&self, text: &str) {
        say(&match self.listener {
            Listener::Program => json!({ "warning": text }).to_string(),
            Listener::Person | Listener::Nobody => format!("warning: {text}"),
        });
    }

    /// Tells how much of the body has come.
    pub(crate) fn received(&self, bytes: u64) {
        if !matches!(self.listener, Listener::Person) || io::stdout().is_terminal() {
            return;
        }
        let whole = bytes / WORTH_A_WORD_BYTES;
        let Ok(mut spoken) = self.spoken.lock() else { return };
        if whole > *spoken {
            *spoken = whole;
            let _ = write!(io::stderr(), "\r  {whole} MiB received");
        }
    }

    /// Tells how it ended.
    pub(crate) fn report(&self, report: &Value) {
        match self.listener {
            Listener::Program => say(&report.to_string()),
            Listener::Person => {
                if self.spoken.lock().is_ok_and(|spoken| *spoken > 0) {
                    say("");
                }
            }
            Listener::Nobody => {}
        }
    }

    fn sentence(&self, event: &Event<'_>) -> Option<String> {
        Some(match event {
            Event::Redirected { to } => format!("redirected to {to}"),
            Event::TokenPresented { hash } => format!("showing the token bought by payment {}", short(hash)),
            Event::PriceAsked { approved } => self.price(approved),
            Event::Waiting { owner: Some(owner) } => {
                format!(
                    "process {} on {} is buying this already: waiting for its token",
                    owner.pid, owner.host
                )
            }
            Event::Waiting { owner: None } => "another process is buying this already: waiting".to_owned(),
            Event::Resolving { hash } => format!("asking the wallet about payment {}", short(hash)),
            Event::Paying { amount, fee_max, wallet } => {
                format!("paying {}, fee at most {fee_max}, with {wallet}", words(*amount))
            }
            Event::Paid { receipt } if receipt.earlier => {
                format!("paid already, by an earlier run: {}", words(receipt.amount))
            }
            Event::Paid { receipt } => {
                let (amount, fee) = (words(receipt.amount), words(receipt.fee));
                format!("paid {amount}, fee {fee}, in {} ms", receipt.took.as_millis())
            }
            _ => return None,
        })
    }

    fn price(&self, approved: &Approved) -> String {
        let invoice = approved.invoice();
        let left = invoice.expires_at().saturating_sub((self.now)());
        let what = invoice.description().map(|text| format!(" for \"{text}\"")).unwrap_or_default();
        format!("price: {}{what}, payable for {left} s", approved.amount())
    }
}

fn warning(event: &Event<'_>) -> Option<String> {
    match event {
        Event::NotSaved { error } => Some(format!("the store could not be written: {error}")),
        Event::Unprotected { origin } => Some(format!(
            "buying from {origin} over plain http: anyone on the way can change the price and take the token"
        )),
        Event::LimitBroken { receipt, fee_max } => {
            Some(format!("the wallet spent {} on routing, though told at most {fee_max}", words(receipt.fee)))
        }
        _ => None,
    }
}

fn words(amount: Option<MilliSat>) -> String {
    amount.map_or_else(|| "an unknown amount".to_owned(), |amount| amount.to_string())
}

/// Enough of a hash for people to tell payments apart.
fn short(hash: &l402::PaymentHash) -> String {
    hash.to_string().chars().take(12).collect()
}

fn say(line: &str) {
    // Nobody left to tell.
    let _ = writeln!(io::stderr(), "{line}");
}
