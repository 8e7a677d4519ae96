//! The loopback node's faults: what real nodes and lines do to their callers, on demand.

use crate::{MilliSat, Network};
use std::{
    convert::Infallible,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// The faults of a node, one [`Knob`] for each thing it can be asked. They work the same through the traits and
/// through the wallet door, where they show as LND would show them.
#[derive(Debug, Default)]
pub struct Knobs {
    create: Knob<WrongInvoice>,
    lookup: Knob<WrongState>,
    settlements: Knob<Infallible>,
    cancel: Knob<Infallible>,
    probe: Knob<Infallible>,
    pay: Knob<WrongPayment>,
    track: Knob<WrongTrack>,
    fee_msat: AtomicU64,
    surplus_msat: AtomicU64,
    reserve_msat: AtomicU64,
    /// Whether payments that have begun stay in flight.
    holding: watch::Sender<bool>,
}

impl Knobs {
    /// Faults in issuing an invoice.
    pub fn create(&self) -> &Knob<WrongInvoice> {
        &self.create
    }

    /// Faults in looking up an invoice, and in handing it out again.
    pub fn lookup(&self) -> &Knob<WrongState> {
        &self.lookup
    }

    /// Faults in the settlement feed. [`Fault::Duplicate`] reports each settlement twice.
    pub fn settlements(&self) -> &Knob<Infallible> {
        &self.settlements
    }

    /// Faults in withdrawing an invoice.
    pub fn cancel(&self) -> &Knob<Infallible> {
        &self.cancel
    }

    /// Faults in saying how the node is.
    pub fn probe(&self) -> &Knob<Infallible> {
        &self.probe
    }

    /// Faults in paying.
    pub fn pay(&self) -> &Knob<WrongPayment> {
        &self.pay
    }

    /// Faults in looking up a payment.
    pub fn track(&self) -> &Knob<WrongTrack> {
        &self.track
    }

    /// What every payment costs on top of its amount; nothing at first.
    pub fn set_fee(&self, fee: MilliSat) {
        self.fee_msat.store(fee.as_msat(), Ordering::Relaxed);
    }

    /// What every payment costs on top of its amount.
    pub fn fee(&self) -> MilliSat {
        MilliSat::from_msat(self.fee_msat.load(Ordering::Relaxed))
    }

    /// What every payment sends beyond what its invoice asks for; nothing at first. The node takes at most twice what it
    /// asked for, and fails a payment of more as one with wrong details
    /// ([BOLT 4](https://github.com/lightning/bolts/blob/master/04-onion-routing.md#failure-messages)).
    pub fn set_surplus(&self, surplus: MilliSat) {
        self.surplus_msat.store(surplus.as_msat(), Ordering::Relaxed);
    }

    /// What every payment sends beyond what its invoice asks for.
    pub fn surplus(&self) -> MilliSat {
        MilliSat::from_msat(self.surplus_msat.load(Ordering::Relaxed))
    }

    /// What the wallet has to keep: it pays with the rest. Nothing at first.
    pub fn set_reserve(&self, reserve: MilliSat) {
        self.reserve_msat.store(reserve.as_msat(), Ordering::Relaxed);
    }

    /// What the wallet has to keep.
    pub fn reserve(&self) -> MilliSat {
        MilliSat::from_msat(self.reserve_msat.load(Ordering::Relaxed))
    }

    /// From now on payments that begin stay in flight, whoever waits for them or goes away, until
    /// [`LoopbackNode::release_payments`](super::LoopbackNode::release_payments).
    pub fn hold_payments(&self) {
        self.holding.send_replace(true);
    }

    pub(super) fn let_payments_go(&self) {
        self.holding.send_replace(false);
    }

    /// Whether payments stay in flight.
    pub(super) fn is_holding(&self) -> bool {
        *self.holding.borrow()
    }

    /// Waits until payments no longer stay in flight.
    pub(super) async fn until_released(&self) {
        // The sender lives as long as the knobs that are borrowed here.
        let _ = self.holding.subscribe().wait_for(|holding| !holding).await;
    }

    /// Takes every fault and delay back, the fee, the surplus and the reserve. Payments that are held stay so.
    pub fn clear(&self) {
        self.create.clear();
        self.lookup.clear();
        self.settlements.clear();
        self.cancel.clear();
        self.probe.clear();
        self.pay.clear();
        self.track.clear();
        self.set_fee(MilliSat::ZERO);
        self.set_surplus(MilliSat::ZERO);
        self.set_reserve(MilliSat::ZERO);
    }
}

/// What goes wrong with one thing that a node can be asked. `W` is how its answer can be wrong.
#[derive(Debug)]
pub struct Knob<W> {
    setting: Mutex<Setting<W>>,
}

/// The state of a knob.
#[derive(Clone, Copy, Debug)]
struct Setting<W> {
    delay: Duration,
    fault: Option<Fault<W>>,
    /// Calls that the fault is good for.
    calls_left: u32,
}

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault<W> {
    /// The node answers that something went wrong inside it (LND: HTTP 500, code 2).
    Fail(When),
    /// No answer comes, and the line stays open. Only a deadline of the caller's own ends the call.
    Hang(When),
    /// The line is cut without an answer.
    Cut(When),
    /// Asked for an invoice or a payment, the node does it and answers that it had been done already; other
    /// answers come twice where the interface has room for that.
    Duplicate,
    /// The answer is wrong.
    Wrong(W),
}

/// When a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before the call has had any effect.
    Before,
    /// After its effect: only the answer is lost.
    After,
}

/// How an invoice can be wrong. It is signed as it stands, except [`WrongInvoice::Signature`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WrongInvoice {
    /// For this network.
    Network(Network),
    /// For this amount.
    Amount(MilliSat),
    /// Leaves the amount to the payer.
    NoAmount,
    /// A tenth of a millisatoshi.
    SubMilliSatoshi,
    /// More than `u64` millisatoshis.
    AmountTooLarge,
    /// Bound to a preimage that the node chose.
    PaymentHash,
    /// Expires after so many seconds.
    ExpirySecs(u32),
    /// Expired at the moment it was written.
    Expired,
    /// Written at this unix second.
    CreatedAt(u64),
    /// Says that it is for something else.
    Description,
    /// Names this node as the payee, and is signed with another key.
    Signature,
}

/// How the state of an invoice can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WrongState {
    /// Settled, though it is not.
    Settled,
    /// Unknown, though it is not.
    Unknown,
}

/// How the answer to a payment that was made can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WrongPayment {
    /// The preimage of something else.
    WrongPreimage,
    /// 32 zero bytes, as LND shows for payments that have none.
    ZeroPreimage,
    /// No preimage at all.
    NoPreimage,
    /// Failed, though it succeeded.
    Failed,
    /// Still on its way, though it succeeded.
    InFlight,
}

/// How the answer about a payment can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WrongTrack {
    /// Never sent, though it was.
    Unknown,
    /// As the answer to a payment can be.
    Payment(WrongPayment),
}

impl<W: Copy> Knob<W> {
    /// Every call from now on has this fault.
    pub fn set(&self, fault: Fault<W>) {
        self.set_times(u32::MAX, fault);
    }

    /// The next `calls` calls have this fault.
    pub fn set_times(&self, calls: u32, fault: Fault<W>) {
        let mut setting = self.lock();
        (setting.fault, setting.calls_left) = (Some(fault), calls);
    }

    /// Every call from now on takes so much longer; with or without a fault.
    pub fn delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    /// Takes fault and delay back.
    pub fn clear(&self) {
        *self.lock() = Setting::default();
    }

    /// What happens to the next call.
    pub(super) fn next(&self) -> Plan<W> {
        let mut setting = self.lock();
        let fault = setting.fault.filter(|_| setting.calls_left > 0);
        if fault.is_some() && setting.calls_left < u32::MAX {
            setting.calls_left -= 1;
        }
        Plan { delay: setting.delay, fault }
    }

    fn lock(&self) -> MutexGuard<'_, Setting<W>> {
        // Every assignment above leaves a whole setting behind, so a poisoned lock guards a good value.
        self.setting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W> Default for Knob<W> {
    fn default() -> Self {
        Self { setting: Mutex::default() }
    }
}

impl<W> Default for Setting<W> {
    fn default() -> Self {
        Self { delay: Duration::ZERO, fault: None, calls_left: 0 }
    }
}

/// What happens to one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<W> {
    delay: Duration,
    fault: Option<Fault<W>>,
}

/// Why a call has no answer of its own. (A call that hangs never gets as far as this.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interruption {
    /// The node says that it failed.
    Failed,
    /// The line is cut.
    Cut,
}

impl<W: Copy> Plan<W> {
    /// To be awaited before the call's effect.
    pub(super) async fn before(&self) -> Result<(), Interruption> {
        self.strike(When::Before).await
    }

    /// To be awaited after the call's effect and before its answer.
    pub(super) async fn after(&self) -> Result<(), Interruption> {
        self.strike(When::After).await
    }

    /// The time that the call takes.
    pub(super) async fn delay(&self) {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
    }

    /// Whether the answer is to come twice, or to say that all had been done before.
    pub(super) fn duplicates(&self) -> bool {
        matches!(self.fault, Some(Fault::Duplicate))
    }

    /// How the answer is to be wrong.
    pub(super) fn wrong(&self) -> Option<W> {
        match self.fault {
            Some(Fault::Wrong(wrong)) => Some(wrong),
            _ => None,
        }
    }

    async fn strike(&self, now: When) -> Result<(), Interruption> {
        match self.fault {
            Some(Fault::Fail(when)) if when == now => Err(Interruption::Failed),
            Some(Fault::Cut(when)) if when == now => Err(Interruption::Cut),
            Some(Fault::Hang(when)) if when == now => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_lasts_for_as_many_calls_as_it_was_set_for() {
        let knob = Knob::<WrongState>::default();
        assert!(knob.next().fault.is_none());
        knob.set_times(2, Fault::Duplicate);
        assert!(knob.next().duplicates() && knob.next().duplicates() && !knob.next().duplicates());
        knob.set(Fault::Duplicate);
        assert!((0..10).all(|_| knob.next().duplicates()));
        knob.clear();
        assert!(!knob.next().duplicates());
    }
}
