//! What a gateway does for one metered request, from its arrival to the last byte of the answer.
//!
//! [`serve`] is the only place that knows: the world calls it, drops it in the middle when its gateway dies, and judges
//! what the [`Client`] saw.

use crate::books::{Client, Refusal};
use bytes::Bytes;
use l402_paywall::ledger::{
    Abandoned, Claim, Claimed, Effect, EndedBy, Handle, Ledger, Operation, Purse, ReservationId, Reserve,
    Units,
};
use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

/// How often a step is asked for whose outcome is unknown.
const TRIES_MAX: u32 = 4;

/// How many reservations one sweep ends.
const SWEPT_MAX: usize = 4;

/// A gateway's process.
pub(crate) struct Gateway {
    pub(crate) ledger: Arc<dyn Ledger>,
    /// Its own clock, in Unix seconds.
    pub(crate) clock: Arc<AtomicU64>,
    pub(crate) rule: Abandoned,
    pub(crate) habit: Habit,
}

/// How a gateway goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// As it should.
    Good,
    /// Forwards when it cannot find out whether units were set aside.
    ForwardsOnHope,
    /// Hands everything out, and then settles.
    ServesBeforeSettling,
    /// Takes silence for a yes.
    TrustsSilence,
    /// Hands out the last bytes although the reservation ended otherwise before.
    ServesWhatHasExpired,
    /// Charges for what never came.
    ChargesFailures,
    /// Hands a stream on while more is being set aside for it.
    StreamsAhead,
    /// Forgets answers whose time will be over one day.
    ForgetsTheFuture,
}

/// A request with a token that verifies.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) id: ReservationId,
    pub(crate) purse: Purse,
    pub(crate) estimate: u64,
    pub(crate) lasts_secs: u64,
    pub(crate) claim: Option<Claim>,
    pub(crate) upstream: Upstream,
}

/// What the upstream makes of it.
#[derive(Clone, Debug)]
pub(crate) enum Upstream {
    /// Not reached, not in time, or 5xx before the first byte: costs nothing.
    Fails,
    /// An answer of so many units, perhaps more than the estimate.
    Answers(u64),
    /// An answer whose cost nobody can read: the estimate is charged.
    AnswersUnreadably,
    /// A stream, by the units that it has cost at each part's end.
    Streams(Vec<u64>),
    /// Breaks off in the middle, when it had cost so much.
    BreaksOff(u64),
    /// The client hangs up, when it had cost so much.
    LosesItsClient(u64),
}

/// What the request came to.
enum Outcome {
    /// It is not charged.
    Failed,
    /// It is charged, and the last bytes are still here.
    Whole(u64),
    /// It is charged, and there is no more to come.
    Broken(u64),
}

/// Serves one request.
pub(crate) async fn serve(gateway: Arc<Gateway>, request: Request, client: Client) {
    let handle = request.reserve(gateway.now()).handle();
    match gateway.insist(Operation::Reserve(request.reserve(gateway.now()))).await {
        Some(Effect::Reserved(_)) => {}
        Some(Effect::Claimed(Claimed::Answered(Some(answer)))) => return client.replayed(&answer),
        Some(Effect::Claimed(_)) => return client.refused(Refusal::Claimed),
        Some(Effect::Short(_)) => return client.refused(Refusal::Short),
        Some(Effect::Revoked) => return client.refused(Refusal::Revoked),
        Some(_) => return client.refused(Refusal::Unavailable),
        None if gateway.habit == Habit::ForwardsOnHope => {}
        None => {
            // Nothing was forwarded; what may have been set aside goes back.
            client.refused(Refusal::Unavailable);
            gateway.insist(Operation::Release(handle)).await;
            return;
        }
    }
    client.forwarded();
    pause().await;
    let mut held = request.estimate;
    let outcome = match &request.upstream {
        Upstream::Fails => Outcome::Failed,
        Upstream::Answers(cost) => Outcome::Whole(*cost),
        Upstream::AnswersUnreadably => Outcome::Whole(request.estimate),
        Upstream::Streams(parts) => gateway.stream(&request, parts, &mut held, &client).await,
        Upstream::BreaksOff(cost) | Upstream::LosesItsClient(cost) => Outcome::Broken(*cost),
    };
    gateway.finish(&request, outcome, held, &client).await;
}

/// Ends reservations whose deadline has passed, and forgets answers whose time is over.
pub(crate) async fn sweep(gateway: Arc<Gateway>) {
    let ahead_secs = if gateway.habit == Habit::ForgetsTheFuture { u64::MAX >> 2 } else { 0 };
    let _ = gateway.ledger.forget_claims(gateway.now() + ahead_secs).await; // the next sweep asks again
    let Ok(handles) = gateway.ledger.overdue(gateway.now(), SWEPT_MAX).await else { return };
    for handle in handles {
        gateway.insist(Operation::Expire { handle, rule: gateway.rule }).await;
    }
}

/// Revokes a token.
pub(crate) async fn revoke(gateway: Arc<Gateway>, purse: Purse) {
    gateway.insist(Operation::Revoke(purse.token_id)).await;
}

impl Gateway {
    fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Asks for a step until its outcome is known; `None` where it stays unknown.
    async fn insist(&self, operation: Operation) -> Option<Effect> {
        for _ in 0..TRIES_MAX {
            if let Ok(effect) = self.ledger.apply(operation.clone(), self.now()).await {
                return Some(effect);
            }
            pause().await;
        }
        None
    }

    /// Hands a stream on, part by part, each covered before it is handed on; the last part is kept back.
    async fn stream(&self, request: &Request, parts: &[u64], held: &mut u64, client: &Client) -> Outcome {
        let mut sent = 0;
        for (index, total) in parts.iter().enumerate() {
            pause().await;
            let is_last = index + 1 == parts.len();
            if total > held {
                if self.habit == Habit::StreamsAhead && !is_last {
                    client.part(*total);
                }
                if !self.extend(request, *total).await {
                    // The balance has run out, or nobody knows: the stream ends where the client can see it.
                    return Outcome::Broken(sent);
                }
                *held = *total;
            }
            if !is_last {
                client.part(*total);
                sent = *total;
            }
        }
        Outcome::Whole(parts.last().copied().unwrap_or(0))
    }

    async fn extend(&self, request: &Request, total: u64) -> bool {
        let reserve = request.reserve(self.now());
        let (handle, deadline) = (reserve.handle(), reserve.deadline);
        let extended = self.insist(Operation::Extend { handle, total: units(total), deadline }).await;
        matches!(extended, Some(Effect::Reserved(_)))
    }

    /// Charges or releases, and hands out the last bytes once that is acknowledged.
    async fn finish(&self, request: &Request, outcome: Outcome, held: u64, client: &Client) {
        let handle = request.reserve(self.now()).handle();
        let cost = match outcome {
            Outcome::Failed if self.habit == Habit::ChargesFailures => request.estimate,
            Outcome::Failed => {
                self.insist(Operation::Release(handle)).await;
                return client.failed();
            }
            Outcome::Whole(cost) | Outcome::Broken(cost) => cost,
        };
        let covered = cost.min(held);
        let is_whole = matches!(outcome, Outcome::Whole(_));
        if is_whole && self.habit == Habit::ServesBeforeSettling {
            client.whole(covered);
        }
        let may_serve = match self.insist(settlement(handle, cost, request.id)).await {
            Some(Effect::Ended { ending, .. }) => {
                ending.by == EndedBy::Settle
                    || ending.charged.get() >= covered
                    || self.habit == Habit::ServesWhatHasExpired
            }
            Some(_) => false,
            None => self.habit == Habit::TrustsSilence,
        };
        if is_whole && may_serve { client.whole(covered) } else { client.cut() }
    }
}

impl Request {
    fn reserve(&self, now: u64) -> Reserve {
        Reserve {
            id: self.id,
            purse: self.purse.clone(),
            units: units(self.estimate),
            deadline: now + self.lasts_secs,
            claim: self.claim.clone(),
        }
    }
}

/// A settlement, with an answer by which the request can be recognised.
fn settlement(handle: Handle, cost: u64, id: ReservationId) -> Operation {
    let answer = Some(Bytes::copy_from_slice(id.as_bytes()));
    Operation::Settle { handle, cost: units(cost), answer }
}

pub(crate) fn units(count: u64) -> Units {
    Units::new(count).unwrap()
}

/// Something else happens first.
async fn pause() {
    let mut has_waited = false;
    poll_fn(|_| if std::mem::replace(&mut has_waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}
