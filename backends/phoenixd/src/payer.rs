//! phoenixd as the node that pays.
//!
//! `payinvoice` answers when the payment has ended, and takes no limit, neither of time nor of fee. The fee is a published
//! figure, so a payment whose fee would be above the limit is not ordered. Time ends only our waiting: what became of the
//! payment is asked by its hash.

use crate::{access::Access, api::Api, node, refusal::Refusal};
use http::StatusCode;
use l402::{PaymentHash, Preimage};
use l402_lightning::{
    BoxFuture, FailureReason, Invoice, MilliSat, Network, NotSent, OpenError, Paid, PayError, PayLimits,
    Payer, PayerCapabilities, PayerOpening, PaymentState, Settings, UnknownCause,
};
use l402_node_http::{Fault, Fields};
use std::{sync::Arc, time::Duration};

/// How much longer than the payment's own timeout is waited for its answer.
const ANSWER_MARGIN: Duration = Duration::from_secs(2);

/// What every payment costs, <https://phoenix.acinq.co/faq#what-are-the-fees>: 4 sat, in millisatoshis ...
const FEE_BASE_MSAT: u64 = 4_000;
/// ... and 0.4 %: one part in so many.
const FEE_DIVISOR: u64 = 250;

/// What a payment needs the full password for.
const PERMISSION: &str = "payinvoice (it takes `http-password`, not the limited one)";

/// phoenixd as the node that pays.
#[derive(Debug)]
struct PhoenixdPayer {
    api: Api,
    network: Network,
}

/// Opens phoenixd and asks it whether it can be paid from.
pub(crate) fn open(settings: Settings) -> PayerOpening {
    Box::pin(async move {
        let api = Api::new(&settings)?;
        let info = api.object("getinfo").await.map_err(Refusal::at_opening)?;
        let (network, has_tip) = node(&info).map_err(|fault| Refusal::from(fault).at_opening())?;
        if !has_tip {
            return Err(OpenError::NotReady(NotSent::Starting));
        }
        if Access::ask(&api).await.map_err(Refusal::at_opening)? == Access::Limited {
            return Err(OpenError::NotReady(NotSent::Forbidden { permission: PERMISSION }));
        }
        ask_lookup(&api).await?;
        Ok(Arc::new(PhoenixdPayer { api, network }) as Arc<dyn Payer>)
    })
}

/// Whether phoenixd can be asked about a payment by its hash: where it can, it finds fault with what is no hash.
/// Where it cannot, its "not found" must never be read as "never paid".
async fn ask_lookup(api: &Api) -> Result<(), OpenError> {
    match api.status("payments/outgoingbyhash/none").await.map_err(Refusal::at_opening)? {
        StatusCode::BAD_REQUEST => Ok(()),
        _ => Err(OpenError::Garbled("payments/outgoingbyhash")),
    }
}

impl PhoenixdPayer {
    async fn send(&self, invoice: &Invoice, limits: PayLimits) -> Result<Paid, PayError> {
        let amount = invoice.amount().ok_or(PayError::NotSent(NotSent::Amountless))?;
        if invoice.network() != self.network {
            return Err(PayError::NotSent(NotSent::OtherNetwork));
        }
        let fee = fee(amount).ok_or(PayError::NotSent(NotSent::InsufficientBalance))?;
        if fee > limits.fee_max {
            return Err(PayError::NotSent(NotSent::FeeLimit { needed: fee }));
        }
        let payment_hash = invoice.payment_hash();
        // phoenixd refuses what was paid, and its older versions pay again what is on its way.
        if let PaymentState::InFlight | PaymentState::Succeeded(_) = self.state(payment_hash).await? {
            return Err(PayError::AlreadyKnown);
        }
        let deadline = limits.timeout.saturating_add(ANSWER_MARGIN);
        let form = [("invoice", invoice.text())];
        let answer = self.api.order("payinvoice", &form, Some(deadline)).await?;
        if let Some(reason) = answer.get("reason") {
            let reason = failure(reason.as_str().ok_or(Fault::Garbled("reason"))?);
            return Err(self.confirm(payment_hash, reason).await?);
        }
        Ok(Paid {
            preimage: preimage(&answer, "paymentPreimage", payment_hash)?,
            amount,
            // In whole satoshis, rounded down; a lookup tells it exactly.
            fee: MilliSat::from_sat(answer.number("routingFeeSat")?)
                .ok_or(Fault::Garbled("routingFeeSat"))?,
        })
    }

    /// What a failure means, by what phoenixd knows of the payment now: it may be another one's that is on its way.
    async fn confirm(&self, payment_hash: PaymentHash, reason: FailureReason) -> Result<PayError, PayError> {
        Ok(match self.state(payment_hash).await? {
            PaymentState::InFlight | PaymentState::Succeeded(_) => PayError::AlreadyKnown,
            _ => PayError::Failed(reason),
        })
    }

    /// phoenixd shows the payment that got furthest, where there are several with the hash.
    async fn state(&self, payment_hash: PaymentHash) -> Result<PaymentState, PayError> {
        let path = format!("payments/outgoingbyhash/{payment_hash}");
        match self.api.find(&path).await {
            Ok(None) => Ok(PaymentState::Unknown),
            Ok(Some(record)) => state(&record, payment_hash),
            Err(refusal) => Err(refusal.into()),
        }
    }
}

impl Payer for PhoenixdPayer {
    fn capabilities(&self) -> PayerCapabilities {
        PayerCapabilities {
            network: Some(self.network),
            fee_limit: false,
            timeout: false,
            returns_preimage: true,
            lookup_by_hash: true,
        }
    }

    fn pay<'a>(&'a self, invoice: &'a Invoice, limits: PayLimits) -> BoxFuture<'a, Result<Paid, PayError>> {
        Box::pin(self.send(invoice, limits))
    }

    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<PaymentState, PayError>> {
        Box::pin(self.state(payment_hash))
    }
}

/// What paying this amount costs on top, rounded up; `None` beyond all money.
fn fee(amount: MilliSat) -> Option<MilliSat> {
    MilliSat::from_msat(amount.as_msat().div_ceil(FEE_DIVISOR))
        .checked_add(MilliSat::from_msat(FEE_BASE_MSAT))
}

/// What a record says of a payment. It has its time of completion once nothing is on its way any more.
fn state(record: &Fields, payment_hash: PaymentHash) -> Result<PaymentState, PayError> {
    if record.payment_hash("paymentHash")? != payment_hash {
        return Err(Fault::Garbled("paymentHash").into());
    }
    if record.flag("isPaid")? {
        return Ok(PaymentState::Succeeded(paid(record, payment_hash)?));
    }
    match record.get("completedAt") {
        None => Ok(PaymentState::InFlight),
        Some(_) => Ok(PaymentState::Failed(FailureReason::Other)),
    }
}

fn paid(record: &Fields, payment_hash: PaymentHash) -> Result<Paid, PayError> {
    let preimage = preimage(record, "preimage", payment_hash)?;
    let fee = record.msat("fees")?;
    Ok(Paid { preimage, amount: amount(record, payment_hash, fee)?, fee })
}

/// What the payee received: what its invoice asks for or, where phoenixd kept none, what was sent without the fee.
fn amount(record: &Fields, payment_hash: PaymentHash, fee: MilliSat) -> Result<MilliSat, Fault> {
    if record.get("invoice").is_some() {
        let invoice = Invoice::parse(record.text("invoice")?).map_err(|_| Fault::Garbled("invoice"))?;
        if invoice.payment_hash() != payment_hash {
            return Err(Fault::Garbled("invoice"));
        }
        if let Some(amount) = invoice.amount() {
            return Ok(amount);
        }
    }
    // `sent` is both together, rounded down to satoshis: what is missing is less than one.
    let sent = MilliSat::from_sat(record.number("sent")?).ok_or(Fault::Garbled("sent"))?;
    let amount = sent.checked_sub(fee).ok_or(Fault::Garbled("fees"))?;
    MilliSat::from_sat(amount.sats_rounded_up()).ok_or(Fault::Garbled("sent"))
}

fn preimage(fields: &Fields, name: &'static str, payment_hash: PaymentHash) -> Result<Preimage, PayError> {
    let preimage = fields.preimage(name)?.ok_or(PayError::OutcomeUnknown(UnknownCause::NoPreimage))?;
    if preimage.payment_hash() != payment_hash {
        return Err(PayError::OutcomeUnknown(UnknownCause::WrongPreimage));
    }
    Ok(preimage)
}

/// Why a payment failed, from the words of lightning-kmp (`FinalFailure`, `Part.Status.Failed.Failure`).
fn failure(words: &str) -> FailureReason {
    match words {
        "not enough funds in wallet to afford payment" => FailureReason::InsufficientBalance,
        "recipient node rejected the payment" => FailureReason::IncorrectPaymentDetails,
        "the recipient was offline or did not have enough liquidity to receive the payment"
        | "recipient node is offline or unreachable"
        | "liquidity issue at the recipient node"
        | "a node in the route had a temporary failure"
        | "payment attempts exhausted without success" => FailureReason::NoRoute,
        _ => FailureReason::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn record() -> Value {
        json!({
            "type": "outgoing_payment",
            "subType": "lightning",
            "paymentHash": Preimage::from_bytes([7; 32]).payment_hash().to_string(),
            "preimage": "07".repeat(32),
            "isPaid": true,
            "sent": 8,
            "fees": 4_016,
            "completedAt": 1_738_348_627_503_u64,
            "createdAt": 1_738_348_626_053_u64,
        })
    }

    fn read(record: Value) -> Result<PaymentState, PayError> {
        state(&Fields::of(record).unwrap(), Preimage::from_bytes([7; 32]).payment_hash())
    }

    #[test]
    fn the_published_fee_is_rounded_up() {
        for (msat, fee_msat) in
            [(1, 4_001), (1_000, 4_004), (4_000, 4_016), (10_001, 4_041), (1_000_000, 8_000)]
        {
            assert_eq!(fee(MilliSat::from_msat(msat)), Some(MilliSat::from_msat(fee_msat)), "{msat}");
        }
        assert!(fee(MilliSat::from_msat(u64::MAX)).is_some());
    }

    #[test]
    fn amount_and_fee_are_told_apart_without_the_invoice() {
        let Ok(PaymentState::Succeeded(paid)) = read(record()) else { panic!("it was paid") };
        assert_eq!((paid.amount.as_msat(), paid.fee.as_msat()), (4_000, 4_016));
    }

    #[test]
    fn a_payment_is_over_once_it_was_completed() {
        let mut other = record();
        other["isPaid"] = false.into();
        assert!(matches!(read(other.clone()), Ok(PaymentState::Failed(_))));
        other["completedAt"] = Value::Null;
        assert!(matches!(read(other), Ok(PaymentState::InFlight)));
    }

    #[test]
    fn a_success_without_its_proof_is_none() {
        for (name, wrong, cause) in [
            ("preimage", Value::Null, UnknownCause::NoPreimage),
            ("preimage", "08".repeat(32).into(), UnknownCause::WrongPreimage),
            ("paymentHash", "08".repeat(32).into(), UnknownCause::Garbled { field: "paymentHash" }),
            ("fees", 9_000.into(), UnknownCause::Garbled { field: "fees" }),
            ("invoice", "lnbc1".into(), UnknownCause::Garbled { field: "invoice" }),
        ] {
            let mut other = record();
            other[name] = wrong;
            assert_eq!(read(other).unwrap_err(), PayError::OutcomeUnknown(cause), "{name}");
        }
    }
}
