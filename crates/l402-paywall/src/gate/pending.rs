//! Step 5 where something has to be asked: whether the payment is settled, and whether the units are there.

use super::{Gate, Now};
use crate::{
    StoreError,
    admission::Admission,
    ledger::{AccountKey, Cap, Claim, Claimed, Effect, Ledger, Operation, Purse, Reserve, Standing, Units},
    meter::{Idempotency, Meter},
    metering::Tab,
    refusal::{Refusal, Refused},
    settled::{Standing as Settled, Unsettled},
};
use bytes::Bytes;
use l402::Permit;
use std::sync::Arc;

/// What [`Gate::admit`] found.
#[derive(Debug)]
pub enum Verdict {
    /// The request may go upstream.
    Admitted(Admission),
    /// The token allows the request; [`Gate::complete`] has to find out the rest.
    Pending(Pending),
}

/// A request that its token allows, as far as the bytes can tell.
#[derive(Debug)]
pub struct Pending {
    /// Not to be had before everything was asked.
    admission: Admission,
}

/// What a request asks for beside the usual.
#[derive(Debug, Default)]
pub struct Order {
    /// Where it has an `Idempotency-Key` that is honoured.
    pub claim: Option<Claim>,
    /// Units to set aside beyond the meter's estimate.
    pub extra: Units,
}

/// What [`Gate::complete`] found.
#[derive(Debug)]
pub enum Completed {
    /// The request may go upstream.
    Admitted(Box<Admission>),
    /// The same request was answered before; this is the answer that was kept.
    Answered(Bytes),
}

impl Pending {
    /// The account that the token spends from: its purchase, or the last budget that was delegated to its holder. Holders
    /// of one account share their `Idempotency-Key`s, and others do not.
    pub fn account(&self) -> Option<AccountKey> {
        let permit = self.admission.permit()?;
        let budget = permit.budgets().last().map(|budget| AccountKey::from_bytes(budget.key));
        Some(budget.unwrap_or(AccountKey::of_payment(permit.payment_hash())))
    }

    /// How the request is counted, on metered services.
    pub fn meter(&self) -> Option<&Arc<Meter>> {
        self.admission.meter()
    }

    /// How the service honours `Idempotency-Key`, if it does.
    pub fn idempotency(&self) -> Option<Idempotency> {
        self.meter().and_then(|meter| meter.idempotency)
    }

    /// The refusal that the client gets before anything is asked.
    pub fn refuse(&self, refusal: Refusal) -> Refused {
        self.admission.refuse(refusal)
    }
}

impl Gate {
    /// Whether anything has to be asked about an admission before it may be used.
    pub(super) fn verdict(&self, admission: Admission) -> Verdict {
        let is_paid = admission.permit().is_some();
        if is_paid && (self.settlement.is_some() || admission.meter.is_some()) {
            Verdict::Pending(Pending { admission })
        } else {
            Verdict::Admitted(admission)
        }
    }

    /// Asks what the bytes cannot tell. Where the seller wants settled payments: whether this one is; waits for the node
    /// at most where neither memory nor store know. Where the service is metered: sets the units aside that the request
    /// may cost, durably.
    ///
    /// If this is dropped before its end, whatever it set aside is given back.
    pub async fn complete(&self, pending: Pending, order: Order, now: Now) -> Result<Completed, Refused> {
        let Pending { mut admission } = pending;
        self.confirm(&admission, now).await?;
        let (Some(meter), Some(permit)) = (admission.meter.clone(), admission.permit()) else {
            return Ok(Completed::Admitted(Box::new(admission)));
        };
        let Some(ledger) = &self.metering.ledger else {
            return Err(admission.refuse(Refusal::Internal));
        };
        let purse = purse(permit).ok_or_else(|| admission.refuse(Refusal::Internal))?;
        let booked = self.metering.booked.book(&**ledger, &purse, now.unix).await;
        booked.map_err(|error| admission.refuse(Refusal::Ledger(error)))?;
        let Order { claim, extra } = order;
        let mut units = meter.estimate().saturating_add(extra);
        let deadline = now.unix.saturating_add(self.hold_secs);
        let found = loop {
            let id = self.metering.next_reservation(now.unix);
            let reserve = Reserve { id, purse: purse.clone(), units, deadline, claim: claim.clone() };
            let found = open_tab(ledger, reserve, now.unix).await;
            match &found {
                // The last units of a token buy a part of what is sold by its length.
                Err(Refusal::Exhausted { balance, .. })
                    if meter.grows() && *balance > extra && *balance < units =>
                {
                    units = *balance;
                }
                _ => break found,
            }
        };
        match found {
            Ok(Opened::Tab(tab)) => {
                admission.tab = Some(tab);
                Ok(Completed::Admitted(Box::new(admission)))
            }
            Ok(Opened::Answered(answer)) => Ok(Completed::Answered(answer)),
            Err(refusal) => Err(admission.refuse(refusal)),
        }
    }

    /// Whether the payment behind an admission is settled, where the seller asks for that.
    async fn confirm(&self, admission: &Admission, now: Now) -> Result<(), Refused> {
        let (Some(settlement), Some(permit)) = (&self.settlement, admission.permit()) else {
            return Ok(());
        };
        let (why, open) = match settlement.standing(permit.payment_hash(), now.monotonic_ns).await {
            Ok(Settled::Settled) => return Ok(()),
            Ok(Settled::Open(invoice)) => (Unsettled::Open, Some(invoice)),
            Ok(Settled::Ended) => (Unsettled::Open, None),
            Err(why) => (why, None),
        };
        Err(Refused { open, ..admission.refuse(Refusal::Unsettled(why)) })
    }
}

enum Opened {
    Tab(Tab),
    Answered(Bytes),
}

/// Sets units aside. If this is dropped before its end, they are given back.
async fn open_tab(ledger: &Arc<dyn Ledger>, reserve: Reserve, now: u64) -> Result<Opened, Refusal> {
    let (units, handle) = (reserve.units, reserve.handle());
    let asked = ledger.apply(Operation::Reserve(reserve), now);
    let standing = Standing { balance: Units::ZERO, reserved: units };
    let ledger = Arc::clone(ledger);
    let mut tab = Tab { ledger, handle, standing, opened_at: now, is_closed: false };
    // After an error the units may be set aside or not, so the tab is dropped open.
    let effect = asked.await.map_err(Refusal::Ledger)?;
    if let Effect::Reserved(standing) = effect {
        tab.standing = standing;
        return Ok(Opened::Tab(tab));
    }
    tab.is_closed = true;
    match effect {
        Effect::Claimed(Claimed::Answered(Some(answer))) => Ok(Opened::Answered(answer)),
        effect => Err(refusal_of(&effect, units)),
    }
}

/// What the token spends from. The numbers were in range when the caveats were judged.
fn purse(permit: &Permit) -> Option<Purse> {
    let cap = |budget: &l402::Budget| {
        Some(Cap { key: AccountKey::from_bytes(budget.key), units: Units::new(budget.units)? })
    };
    Some(Purse {
        payment_hash: permit.payment_hash(),
        token_id: permit.token_id(),
        service: permit.service_name().clone(),
        pack: Units::new(permit.units()?)?,
        caps: permit.budgets().iter().map(cap).collect::<Option<_>>()?,
    })
}

fn refusal_of(effect: &Effect, needed: Units) -> Refusal {
    match effect {
        Effect::Short(Standing { balance, .. }) => Refusal::Exhausted { balance: *balance, needed },
        Effect::Revoked => Refusal::Revoked,
        Effect::Claimed(Claimed::InFlight) => Refusal::InFlight,
        Effect::Claimed(Claimed::Differs) => Refusal::KeyReused,
        Effect::Claimed(Claimed::Answered(_)) => Refusal::AnswerNotKept,
        // It was made, and ended by another gateway before this one heard of it: their clocks differ, or the answer was late.
        Effect::Ended { .. } => Refusal::Ledger(StoreError::Late),
        // The reservation's name is new, so nothing else can have come of it.
        Effect::Reserved(_)
        | Effect::Credited { .. }
        | Effect::Unknown
        | Effect::Conflict
        | Effect::Withdrawn { .. } => Refusal::Internal,
    }
}
