//! The node as the one that pays.

use super::{
    LoopbackNode, count,
    knobs::{Interruption, Plan, WrongPayment, WrongTrack},
    ledger::{FailedPayment, NoBeginning, PaymentEntry, PaymentRecord},
};
use crate::{
    BoxFuture, FailureReason, Invoice, MilliSat, Network, NotSent, Paid, PayError, PayLimits, Payer,
    PayerCapabilities, PaymentState, UnknownCause,
};
use l402::{PaymentHash, Preimage};
use std::ops::Deref;

/// What the wallet says about a payment.
pub(super) enum PaymentAnswer {
    Unknown,
    InFlight(PaymentRecord),
    Succeeded { record: PaymentRecord, preimage: ShownPreimage },
    Failed(FailedPayment),
}

/// The preimage in an answer: the right one, or as a knob wants it.
pub(super) enum ShownPreimage {
    Some(Preimage),
    None,
}

/// Why a payment did not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PayRefusal {
    Expired,
    Amountless,
    OtherNetwork,
    AlreadyPaid,
    InTransition,
    Failed(FailureReason),
}

/// A payment between its beginning and its end. `N` is a reference to the node, borrowed or counted.
pub(super) struct InFlight<N: Deref<Target = LoopbackNode>> {
    node: N,
    payment_hash: PaymentHash,
    plan: Plan<WrongPayment>,
}

impl LoopbackNode {
    /// Counts a call to pay and waits out what comes before its effect.
    pub(super) async fn announce_payment(&self) -> Result<Plan<WrongPayment>, Interruption> {
        count(&self.calls.pay);
        let plan = self.knobs.pay().next();
        plan.before().await?;
        Ok(plan)
    }

    /// What is known about a payment, knobs applied. The flag: the answer is to come twice.
    pub(super) async fn track(
        &self,
        payment_hash: PaymentHash,
    ) -> Result<(PaymentAnswer, bool), Interruption> {
        count(&self.calls.track);
        let plan = self.knobs.track().next();
        plan.delay().await;
        plan.before().await?;
        let answer = match self.ledger.entry(payment_hash) {
            PaymentEntry::Unknown => PaymentAnswer::Unknown,
            PaymentEntry::InFlight(record) => PaymentAnswer::InFlight(record),
            PaymentEntry::Failed(failed) => PaymentAnswer::Failed(failed),
            PaymentEntry::Succeeded(record) => match plan.wrong() {
                None => succeeded(record, None),
                Some(WrongTrack::Unknown) => PaymentAnswer::Unknown,
                Some(WrongTrack::Payment(wrong)) => succeeded(record, Some(wrong)),
            },
        };
        plan.after().await?;
        Ok((answer, plan.duplicates()))
    }

    /// Waits for the end of a payment that is in flight. A payment that is not, whatever a knob made of it, has none.
    pub(super) async fn end_of(&self, payment_hash: PaymentHash) -> PaymentAnswer {
        let mut news = self.ledger.watch();
        let mut seen_in_flight = false;
        loop {
            match self.ledger.entry(payment_hash) {
                PaymentEntry::InFlight(_) => seen_in_flight = true,
                PaymentEntry::Succeeded(record) if seen_in_flight => return succeeded(record, None),
                _ => std::future::pending().await,
            }
            if news.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl<N: Deref<Target = LoopbackNode>> InFlight<N> {
    /// Begins a payment. From here on it will succeed, whether or not its caller stays to hear it.
    pub(super) fn begin(
        node: N,
        invoice: &Invoice,
        fee_max: MilliSat,
        plan: Plan<WrongPayment>,
    ) -> Result<Self, PayRefusal> {
        let now = node.now();
        if invoice.network() != Network::Regtest {
            return Err(PayRefusal::OtherNetwork);
        }
        let invoiced = invoice.amount().ok_or(PayRefusal::Amountless)?;
        let surplus = node.knobs.surplus();
        if invoice.is_expired(now) {
            return Err(PayRefusal::Expired);
        }
        let payment_hash = invoice.payment_hash();
        let fee = node.knobs.fee();
        let preimage = node.keys.unmask(invoice.payment_secret(), payment_hash);
        let record = PaymentRecord {
            index: 0,
            payment_hash,
            preimage: preimage.clone().unwrap_or_else(|| Preimage::from_bytes([0; 32])),
            amount: invoiced.checked_add(surplus).unwrap_or(invoiced),
            invoiced,
            fee,
            created_at: now,
            settled_at: 0,
            invoice: invoice.text().into(),
            attempts: 1,
        };
        let hopeless = if invoice.payee() != node.id() || fee > fee_max {
            Some(FailureReason::NoRoute)
        } else if preimage.is_none() || surplus > invoiced {
            Some(FailureReason::IncorrectPaymentDetails)
        } else {
            None
        };
        if let Some(reason) = hopeless {
            return Err(node.ledger.fail(&record, reason).into());
        }
        node.ledger.begin(record, node.knobs.reserve())?;
        Ok(Self { node, payment_hash, plan })
    }

    /// The payment as it stands.
    pub(super) fn answer(&self) -> PaymentAnswer {
        match self.node.ledger.entry(self.payment_hash) {
            PaymentEntry::InFlight(record) => PaymentAnswer::InFlight(record),
            _ => PaymentAnswer::Unknown,
        }
    }

    /// Waits out the payment and ends it. Dropped before that, it ends all the same, unless it is held: a caller that
    /// goes away does not stop a payment.
    pub(super) async fn finish(self) -> Result<Result<PaymentAnswer, PayRefusal>, Interruption> {
        self.plan.delay().await;
        self.node.knobs.until_released().await;
        let record = self.node.ledger.commit(self.payment_hash, self.node.now());
        self.plan.after().await?;
        Ok(match record {
            Some(_) if self.plan.duplicates() => Err(PayRefusal::AlreadyPaid),
            Some(record) => Ok(succeeded(record, self.plan.wrong())),
            None => Ok(PaymentAnswer::Unknown),
        })
    }
}

impl<N: Deref<Target = LoopbackNode>> Drop for InFlight<N> {
    fn drop(&mut self) {
        if !self.node.knobs.is_holding() {
            self.node.ledger.commit(self.payment_hash, self.node.now());
        }
    }
}

impl Payer for LoopbackNode {
    fn capabilities(&self) -> PayerCapabilities {
        PayerCapabilities {
            network: Some(Network::Regtest),
            fee_limit: true,
            timeout: true,
            returns_preimage: true,
            lookup_by_hash: true,
        }
    }

    fn pay<'a>(&'a self, invoice: &'a Invoice, limits: PayLimits) -> BoxFuture<'a, Result<Paid, PayError>> {
        Box::pin(async move {
            let plan = self.announce_payment().await.map_err(error_of)?;
            let in_flight = InFlight::begin(self, invoice, limits.fee_max, plan)?;
            let answer = tokio::time::timeout(limits.timeout, in_flight.finish())
                .await
                .map_err(|_| PayError::OutcomeUnknown(UnknownCause::Timeout))?
                .map_err(error_of)??;
            match answer.state()? {
                PaymentState::Succeeded(paid) => Ok(paid),
                PaymentState::Failed(reason) => Err(PayError::Failed(reason)),
                PaymentState::InFlight | PaymentState::Unknown => {
                    Err(PayError::OutcomeUnknown(UnknownCause::Garbled { field: "invoice" }))
                }
            }
        })
    }

    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<PaymentState, PayError>> {
        Box::pin(async move {
            let (answer, _) = self.track(payment_hash).await.map_err(error_of)?;
            answer.state()
        })
    }
}

impl PaymentAnswer {
    /// The answer as a caller through the trait sees it.
    fn state(self) -> Result<PaymentState, PayError> {
        Ok(match self {
            Self::Unknown => PaymentState::Unknown,
            Self::InFlight(_) => PaymentState::InFlight,
            Self::Failed(failed) => PaymentState::Failed(failed.reason),
            Self::Succeeded { record, preimage } => match preimage {
                ShownPreimage::Some(preimage) => {
                    PaymentState::Succeeded(Paid { preimage, amount: record.amount, fee: record.fee })
                }
                ShownPreimage::None => return Err(PayError::OutcomeUnknown(UnknownCause::NoPreimage)),
            },
        })
    }
}

/// The answer for a payment that was made.
fn succeeded(record: PaymentRecord, wrong: Option<WrongPayment>) -> PaymentAnswer {
    let preimage = match wrong {
        None => ShownPreimage::Some(record.preimage.clone()),
        Some(WrongPayment::WrongPreimage) => ShownPreimage::Some(Preimage::from_bytes([0x5a; 32])),
        Some(WrongPayment::ZeroPreimage) => ShownPreimage::Some(Preimage::from_bytes([0; 32])),
        Some(WrongPayment::NoPreimage) => ShownPreimage::None,
        Some(WrongPayment::InFlight) => return PaymentAnswer::InFlight(record),
        Some(WrongPayment::Failed) => {
            return PaymentAnswer::Failed(FailedPayment {
                payment_hash: record.payment_hash,
                amount: record.amount,
                reason: FailureReason::NoRoute,
                created_at: record.created_at,
                invoice: record.invoice,
            });
        }
    };
    PaymentAnswer::Succeeded { record, preimage }
}

/// An interruption as a caller through the trait sees it.
fn error_of(interruption: Interruption) -> PayError {
    PayError::OutcomeUnknown(match interruption {
        Interruption::Failed => UnknownCause::WalletFailed,
        Interruption::Cut => UnknownCause::Cut,
    })
}

impl From<NoBeginning> for PayRefusal {
    fn from(reason: NoBeginning) -> Self {
        match reason {
            NoBeginning::AlreadyPaid => Self::AlreadyPaid,
            NoBeginning::InTransition => Self::InTransition,
            NoBeginning::Failed(reason) => Self::Failed(reason),
        }
    }
}

impl From<PayRefusal> for PayError {
    fn from(refusal: PayRefusal) -> Self {
        match refusal {
            PayRefusal::Expired => Self::NotSent(NotSent::Expired),
            PayRefusal::Amountless => Self::NotSent(NotSent::Amountless),
            PayRefusal::OtherNetwork => Self::NotSent(NotSent::OtherNetwork),
            PayRefusal::AlreadyPaid | PayRefusal::InTransition => Self::AlreadyKnown,
            PayRefusal::Failed(reason) => Self::Failed(reason),
        }
    }
}
