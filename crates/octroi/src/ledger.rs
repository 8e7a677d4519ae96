//! Looks after the ledger while the gateway runs: reservations that nobody ended, tokens that somebody revoked, and whether
//! every unit is where it belongs.

mod deadlines;
#[cfg(test)]
pub(crate) mod troubled;

use crate::{
    edge::{Clock, unix_secs},
    telemetry::{LedgerCheck, Telemetry},
};
use deadlines::Deadlines;
use l402_paywall::{
    StoreError,
    ledger::{Abandoned, Effect, Ledger, Operation},
    metering::Metering,
};
use std::{sync::Arc, time::Duration};

/// How often revoked tokens are asked for: on every gateway of a ledger they are refused within a second.
const REVOKED_EVERY: Duration = Duration::from_millis(250);
/// How often reservations are looked at whose deadline has passed, in turns of the above.
const SWEEP_TURNS: u32 = 8;
/// How many of them at a time.
const SWEPT_MAX: usize = 1_000;
/// When the whole ledger is looked through for the first time: a restart is over by then.
const CHECK_AFTER: Duration = Duration::from_secs(30);
/// How often from then on. It reads everything, on the store's own reader.
const CHECK_EVERY: Duration = Duration::from_hours(1);
/// What to do about a unit that is not where it belongs.
const BREACH_HINT: &str = "the gateway goes on; keep a copy of the ledger as it is, run `octroi ledger check`, and compare the account with its lines in `octroi ledger export`";

/// Keeps a ledger in order.
pub struct Keeper {
    metering: Arc<Metering>,
    ledger: Arc<dyn Ledger>,
    rule: Abandoned,
    telemetry: Arc<Telemetry>,
}

impl Keeper {
    /// For the ledger of these meters; `None` where they have none.
    pub fn new(metering: &Arc<Metering>, rule: Abandoned, telemetry: &Arc<Telemetry>) -> Option<Self> {
        let ledger = Arc::clone(metering.ledger()?);
        Some(Self { metering: Arc::clone(metering), ledger, rule, telemetry: Arc::clone(telemetry) })
    }

    /// Before anything is served: reads which tokens are revoked, and ends what an earlier process left open. On a ledger
    /// that this gateway has for itself that is everything; others may be serving what is not overdue on a shared one.
    ///
    /// Returns how many reservations were ended.
    pub async fn begin(&self, is_exclusive: bool) -> Result<u64, StoreError> {
        self.metering.revoked().catch_up(&*self.ledger).await?;
        self.sweep(if is_exclusive { u64::MAX } else { unix_secs() }).await
    }

    /// Looks after the ledger until this is dropped.
    pub async fn keep(self) {
        tokio::join!(self.watch(), self.check_for_ever());
    }

    /// Looks whether every unit of the ledger is where it belongs, and tells the operator where it is not. One account
    /// that is wrong stops nobody: the others are right, and the gateway stays ready.
    pub async fn check(&self) {
        let audit = match self.ledger.check_invariants().await {
            Ok(audit) => audit,
            Err(error) => {
                tracing::warn!(%error, hint = error.hint(), "the ledger could not be looked through; the next attempt is in an hour");
                return;
            }
        };
        for breach in &audit.breaches {
            tracing::error!(%breach, hint = BREACH_HINT, "a unit of the ledger is not where it belongs");
        }
        self.telemetry.meters.set_ledger_check(LedgerCheck { at: unix_secs(), breaches: audit.breaches });
    }

    async fn check_for_ever(&self) {
        tokio::time::sleep(CHECK_AFTER).await;
        loop {
            self.check().await;
            tokio::time::sleep(CHECK_EVERY).await;
        }
    }

    async fn watch(&self) {
        let mut tick = tokio::time::interval(REVOKED_EVERY);
        let (mut turn, mut is_troubled) = (0_u32, false);
        let clock = Clock::start();
        let mut deadlines = Deadlines::default();
        loop {
            tick.tick().await;
            let overdue = deadlines.passed(clock.now(), self.metering.hold_secs());
            turn = turn.wrapping_add(1);
            for (service, units) in self.metering.take_sold() {
                self.telemetry.meters.count_sold(service.as_str(), units);
            }
            let mut kept = self.metering.revoked().catch_up(&*self.ledger).await.map(|added| {
                if added > 0 {
                    tracing::info!(tokens = added, "tokens were revoked");
                }
            });
            if kept.is_ok() && turn.is_multiple_of(SWEEP_TURNS) {
                kept = self.ledger.forget_claims(unix_secs()).await;
            }
            if kept.is_ok() && turn.is_multiple_of(SWEEP_TURNS) {
                kept = self.sweep(overdue).await.map(|ended| {
                    if ended > 0 {
                        tracing::warn!(
                            reservations = ended,
                            "reservations passed their deadline and were ended"
                        );
                    }
                });
            }
            // A store that no longer writes may still be read.
            let kept = kept.and_then(|()| self.ledger.fault().map_or(Ok(()), Err));
            match kept {
                Err(error) if !is_troubled => {
                    is_troubled = true;
                    tracing::error!(%error, hint = error.hint(), "the ledger is in trouble; metered services stand still");
                }
                Ok(()) if is_troubled => {
                    is_troubled = false;
                    tracing::info!("the ledger answers again");
                }
                _ => {}
            }
        }
    }

    /// Ends everything whose deadline is `until` or earlier, many at a time.
    async fn sweep(&self, until: u64) -> Result<u64, StoreError> {
        let mut ended = 0;
        loop {
            let expire =
                |handle| self.ledger.apply(Operation::Expire { handle, rule: self.rule }, unix_secs());
            let overdue = self.ledger.overdue(until, SWEPT_MAX).await?;
            let count = overdue.len();
            let expiries: Vec<_> = overdue.into_iter().map(expire).collect();
            let mut ended_now = 0;
            for expiry in expiries {
                if let Effect::Ended { is_new: true, .. } = expiry.await? {
                    ended_now += 1;
                }
            }
            self.telemetry.meters.count_expired(ended_now);
            ended += ended_now;
            // Whatever could not be ended would be found again for ever.
            if count < SWEPT_MAX || ended_now == 0 {
                return Ok(ended);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{troubled::TroubledLedger, *};
    use crate::{
        edge::OsEntropy,
        ops::{self, Readyz},
        telemetry::{AccessLog, Meters},
    };
    use l402_paywall::ledger::{AccountKey, Breach};
    use serde_json::{Value, json};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    /// A ledger in which a look finds this, and whoever keeps it.
    fn kept(breaches: Vec<Breach>) -> (Keeper, Arc<Telemetry>) {
        let telemetry =
            Arc::new(Telemetry { access: AccessLog::off(), meters: Meters::new(["weather"].into_iter()) });
        let ledger = Arc::new(TroubledLedger { breaches, ..TroubledLedger::default() });
        let metering = Arc::new(Metering::new(Some(ledger), &OsEntropy));
        let keeper = Keeper::new(&metering, Abandoned::Release, &telemetry).expect("a ledger");
        (keeper, telemetry)
    }

    async fn readyz(telemetry: &Arc<Telemetry>) -> (bool, Value) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let parts = || Readyz { ready: true, parts: json!({ "ledger": { "state": "open" } }) };
        let serving = tokio::spawn(ops::serve(listener, Arc::clone(telemetry), Arc::new(parts)));
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(b"GET /readyz HTTP/1.1\r\nconnection: close\r\n\r\n").await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("text");
        serving.abort();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        let parts: Value = serde_json::from_str(body).expect("JSON");
        (head.starts_with("HTTP/1.1 200"), parts["parts"]["ledger"].clone())
    }

    #[tokio::test]
    async fn a_unit_out_of_place_is_told_everywhere_and_stops_nobody() {
        let account = AccountKey::from_bytes([7; 32]);
        let (keeper, telemetry) = kept(vec![Breach::Unbalanced(account), Breach::Debited(account)]);
        keeper.check().await;
        let metrics = telemetry.meters.render();
        assert!(metrics.contains("octroi_ledger_invariant_breaches 2\n"), "{metrics}");
        let (is_ready, ledger) = readyz(&telemetry).await;
        assert!(is_ready, "the other accounts are right");
        assert_eq!((&ledger["state"], &ledger["check"]["breaches"]), (&json!("open"), &json!(2)));
        let named = ledger["check"]["first"][0].as_str().expect("a breach");
        assert!(named.contains(&hex::encode([7; 32])), "{named}");
        assert!(ledger["check"]["hint"].as_str().is_some_and(|hint| hint.contains("octroi ledger check")));
    }

    #[tokio::test]
    async fn books_that_hold_are_told_too_once_they_were_looked_at() {
        let (keeper, telemetry) = kept(Vec::new());
        assert_eq!(readyz(&telemetry).await.1, json!({ "state": "open" }));
        assert!(!telemetry.meters.render().contains("\noctroi_ledger_invariant_breaches"));
        keeper.check().await;
        let metrics = telemetry.meters.render();
        assert!(metrics.contains("\noctroi_ledger_invariant_breaches 0\n"), "{metrics}");
        assert!(metrics.contains("\noctroi_ledger_checked_timestamp_seconds 1"), "{metrics}");
        let (is_ready, ledger) = readyz(&telemetry).await;
        assert!(is_ready && ledger["check"]["at"].as_u64().is_some_and(|at| at > 1_700_000_000), "{ledger}");
        assert_eq!(ledger["check"]["breaches"], 0);
    }
}
