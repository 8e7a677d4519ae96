//! One request on its way through a gateway: what its proxy does with a gate, from the head of the request to the last
//! byte of the answer. The upstream answers as the visit's script says.

use crate::{
    client::Client,
    gauge::Gauge,
    pause,
    process::Process,
    slip::Slip,
    tariff::{KEPT_BYTES_MAX, units},
    visit::{Script, Visit},
};
use bytes::Bytes;
use http::HeaderMap;
use l402_paywall::{
    Admission, Completed, Gate, Order, Outcome, Pending, Refusal, Refused, StoreError, Verdict,
    ledger::{Claim, Units},
    metering::{Closing, Extended, Tab, TabError},
};
use std::{
    future::poll_fn,
    net::{IpAddr, Ipv4Addr},
    pin::pin,
    sync::Arc,
    task::Poll,
};

/// Longest wait for the ledger before anything is forwarded, in seconds.
const LEDGER_TIMEOUT_SECS: u64 = 5;
/// What a client is told whose request the upstream did not answer.
const BAD_GATEWAY: u16 = 502;
const FROM: l402_paywall::Client<'static> =
    l402_paywall::Client { ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), server_name: None };

/// A request that was forwarded. If this is dropped before its end, its client has left.
struct Exchange {
    process: Arc<Process>,
    gate: Arc<Gate>,
    client: Client,
    admission: Admission,
    gauge: Gauge,
    /// By the time that never jumps, in seconds.
    started: u64,
    /// Of the upstream's answer, once it has begun.
    status: Option<u16>,
    /// Nothing more can be set aside ahead of what is used.
    is_dry: bool,
}

/// How far an answer came.
enum End {
    Whole,
    Cut,
    Exhausted,
}

/// How far ahead of what is used units are set aside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ahead {
    Nothing,
    Half,
}

/// Serves one request. If this is dropped, its client has left, or its gateway is dead.
pub(crate) async fn serve(process: Arc<Process>, visit: Visit, client: Client) {
    let (gate, mut failed) = (process.gate(), None);
    let refused = match admit(&process, &gate, &visit).await {
        Ok(Completed::Answered(_)) if process.slips(Slip::MixesUpClaims) => return client.replayed(&[0; 8]),
        Ok(Completed::Answered(answer)) => return client.replayed(&answer),
        Ok(Completed::Admitted(admission)) => {
            client.forwarded();
            let exchange = Exchange::new(Arc::clone(&process), Arc::clone(&gate), client.clone(), *admission);
            pause().await;
            if visit.script.is_answered {
                return exchange.pass(&visit.script).await;
            }
            client.upstream_failed();
            failed.insert(exchange).admission.refuse(Refusal::UpstreamUnreachable)
        }
        Err(refused) => {
            if process.slips(Slip::ForwardsOnHope) && matches!(refused.refusal(), Refusal::Ledger(_)) {
                return client.forwarded();
            }
            refused
        }
    };
    let answer = gate.answer(refused, &visit.head, &FROM, process.now()).await;
    if let Some(mut exchange) = failed {
        let outcome = if process.slips(Slip::ChargesFailures) {
            Outcome::Served { status: 200 }
        } else {
            Outcome::UpstreamFailed { status: BAD_GATEWAY }
        };
        exchange.close(outcome);
    }
    client.answered(&answer);
}

/// Whether the request may go upstream: what its head says, then the ledger, which is waited for so long and no longer.
async fn admit(process: &Process, gate: &Gate, visit: &Visit) -> Result<Completed, Refused> {
    let pending = match gate.admit(&visit.head, &FROM, process.now())? {
        Verdict::Admitted(admission) => return Ok(Completed::Admitted(Box::new(admission))),
        Verdict::Pending(pending) => pending,
    };
    let too_late = pending.refuse(Refusal::Ledger(StoreError::Late));
    let order = Order { claim: claim(process, &pending, visit), extra: Units::ZERO };
    let mut asked = pin!(gate.complete(pending, order, process.now()));
    let deadline = process.true_time() + LEDGER_TIMEOUT_SECS;
    let in_time = poll_fn(|context| match asked.as_mut().poll(context) {
        Poll::Ready(found) => Poll::Ready(Some(found)),
        Poll::Pending if process.true_time() >= deadline => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    in_time.await.unwrap_or(Err(too_late))
}

/// What the request claims by its `Idempotency-Key`: its account and key, and everything else that makes it the same.
fn claim(process: &Process, pending: &Pending, visit: &Visit) -> Option<Claim> {
    let (settings, account, claim_key) = (pending.idempotency()?, pending.account()?, visit.key?);
    let mut key = *account.as_bytes();
    key[31] ^= claim_key;
    let expires_at = process.now().unix + settings.keep_secs;
    Some(Claim { key, request: [visit.route as u8; 32], expires_at })
}

impl Exchange {
    fn new(process: Arc<Process>, gate: Arc<Gate>, client: Client, admission: Admission) -> Self {
        let gauge = Gauge::new(&admission.meter().unwrap().cost);
        let started = client.began_at();
        Self { process, gate, client, admission, gauge, started, status: None, is_dry: false }
    }

    /// Hands the upstream's answer on.
    async fn pass(mut self, script: &Script) {
        let status = script.status;
        self.status = Some(status);
        self.gauge.read_head(script.cost);
        let at_head = self.close_at_head(status);
        let mut headers = HeaderMap::new();
        self.gate.dress_reply(&self.admission, &mut headers);
        self.client.head(&headers);
        match self.stream(script).await {
            Ok(End::Whole) => self.finish(script, at_head).await,
            Ok(End::Exhausted) => {
                self.client.spent();
                let covered = self.gauge.needed(self.elapsed()).min(self.reserved());
                let closing = self.close(Outcome::Exhausted { status });
                if settled(closing).await.is_ok() {
                    self.client.part(covered.get());
                }
                self.client.cut();
            }
            Ok(End::Cut) | Err(_) => {
                self.close(Outcome::Cut { status });
                self.client.cut();
            }
        }
    }

    /// The charge on its way, where it is known with the head, however the answer ends.
    fn close_at_head(&mut self, status: u16) -> Option<Closing> {
        let is_decided = self.admission.is_charge_decided_by(status) && self.gauge.is_known_at_head();
        let can_close = is_decided && self.admission.claims_answer().is_none();
        if can_close { self.close(Outcome::Served { status }) } else { None }
    }

    /// Hands the answer on, piece by piece, each covered before it is handed on; the last one is kept back.
    async fn stream(&mut self, script: &Script) -> Result<End, TabError> {
        for (index, piece) in script.pieces.iter().enumerate() {
            let due = self.process.true_time() + piece.after_secs;
            loop {
                if !self.cover().await? {
                    return Ok(End::Exhausted);
                }
                if self.process.true_time() >= due {
                    break;
                }
                pause().await;
            }
            if script.breaks_off_at == Some(index) {
                self.client.upstream_broke_off();
                return Ok(End::Cut);
            }
            let is_last = index + 1 == script.pieces.len();
            self.gauge.receive(piece.bytes);
            self.client.upstream_sent(piece.bytes);
            if self.process.slips(Slip::StreamsAhead) && !is_last {
                self.client.part(self.gauge.needed(self.elapsed()).get());
            }
            if !self.cover().await? {
                return Ok(End::Exhausted);
            }
            if !is_last {
                self.client.part(self.gauge.needed(self.elapsed()).get());
                pause().await;
            }
        }
        Ok(End::Whole)
    }

    /// Has at least as much set aside as is used; says whether the token has that much.
    async fn cover(&mut self) -> Result<bool, TabError> {
        while let Some(total) = self.units_to_add(Ahead::Half).or_else(|| self.units_to_add(Ahead::Nothing)) {
            match self.extend(total).await? {
                Extended::Granted => {}
                Extended::Exhausted { left } if left > Units::ZERO => {
                    self.is_dry = true;
                    self.extend(self.reserved().saturating_add(left)).await?;
                }
                Extended::Exhausted { .. } => {
                    self.is_dry = true;
                    return Ok(self.units_to_add(Ahead::Nothing).is_none());
                }
            }
        }
        Ok(true)
    }

    /// What has to be held in all so that what is used is covered; `None` where it is.
    fn units_to_add(&self, ahead: Ahead) -> Option<Units> {
        let step = self.gauge.step()?;
        self.admission.tab()?;
        let needed = self.gauge.needed(self.elapsed());
        let wanted = match ahead {
            Ahead::Nothing => needed,
            Ahead::Half if self.is_dry => return None,
            Ahead::Half => needed.saturating_add(units(step.get() / 2)),
        };
        (wanted > self.reserved()).then(|| needed.saturating_add(step))
    }

    async fn extend(&mut self, total: Units) -> Result<Extended, TabError> {
        let now = self.process.now().unix;
        let Some(tab) = self.admission.tab() else { return Ok(Extended::Granted) };
        let extended = tab.extend(total, now + self.gate.hold_secs(), now).await?;
        if let (Extended::Granted, Some(tab)) = (extended, self.admission.tab_mut()) {
            tab.note_extended(total);
        }
        Ok(extended)
    }

    /// The last bytes go out once the charge is in the ledger.
    async fn finish(mut self, script: &Script, at_head: Option<Closing>) {
        let status = script.status;
        let closing = at_head.or_else(|| {
            let is_kept = self.admission.claims_answer().is_some() && script.bytes() <= KEPT_BYTES_MAX;
            let answer = is_kept.then(|| Bytes::copy_from_slice(&self.client.number().to_be_bytes()));
            self.close_with(Outcome::Served { status }, answer)
        });
        if self.process.slips(Slip::ServesBeforeSettling) {
            self.client.whole();
        }
        let may_end = match settled(closing).await {
            Ok(()) => true,
            Err(TabError::Ended) => self.process.slips(Slip::ServesWhatHasExpired),
            Err(TabError::Store(_)) => self.process.slips(Slip::TrustsSilence),
        };
        if !may_end {
            return self.client.cut();
        }
        if let Some(bill) = self.admission.bill() {
            self.client.told(bill.balance.get(), Some(bill.charged.get()));
        }
        self.client.whole();
    }

    fn close(&mut self, outcome: Outcome) -> Option<Closing> {
        self.close_with(outcome, None)
    }

    /// Charges what was used, if it is not charged yet. The charge is on its way when this returns.
    fn close_with(&mut self, outcome: Outcome, answer: Option<Bytes>) -> Option<Closing> {
        let used = self.gauge.usage(self.elapsed(), outcome, self.reserved());
        self.admission.close(outcome, used, answer, self.process.now().unix)
    }

    fn reserved(&self) -> Units {
        self.admission.tab().map_or(Units::ZERO, Tab::reserved)
    }

    fn elapsed(&self) -> u64 {
        self.process.true_time() - self.started
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        drop(self.close(Outcome::ClientGone { status: self.status })); // on its way, if it was not done before
    }
}

async fn settled(closing: Option<Closing>) -> Result<(), TabError> {
    match closing {
        Some(closing) => closing.await,
        None => Ok(()),
    }
}
