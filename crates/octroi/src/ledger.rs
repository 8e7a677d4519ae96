//! Looks after the ledger while the gateway runs: reservations that nobody ended, and tokens that somebody revoked.

use crate::{edge::unix_secs, telemetry::Telemetry};
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
        let mut tick = tokio::time::interval(REVOKED_EVERY);
        let (mut turn, mut is_troubled) = (0_u32, false);
        loop {
            tick.tick().await;
            turn = turn.wrapping_add(1);
            let mut kept = self.metering.revoked().catch_up(&*self.ledger).await.map(|added| {
                if added > 0 {
                    tracing::info!(tokens = added, "tokens were revoked");
                }
            });
            if kept.is_ok() && turn.is_multiple_of(SWEEP_TURNS) {
                kept = self.ledger.forget_claims(unix_secs()).await;
            }
            if kept.is_ok() && turn.is_multiple_of(SWEEP_TURNS) {
                kept = self.sweep(unix_secs()).await.map(|ended| {
                    if ended > 0 {
                        tracing::warn!(
                            reservations = ended,
                            "reservations passed their deadline and were ended"
                        );
                    }
                });
            }
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
