//! Core Lightning as the node that pays.
//!
//! `xpay` may answer while parts of the payment are still on their way, and lightningd may go on paying when the
//! connection is gone. So an error of `xpay` counts as a failure only where it is one that ends the payment, and where
//! `listpays`, asked afterwards, knows of no part that is on its way. lightningd itself never pays a hash twice: it
//! refuses a new payment while another is on its way or after one succeeded (`injectpaymentonion`).

use crate::{
    api::{Api, GET_INFO, LIST_PAYS, QUESTION_TIMEOUT, Returned, XPAY},
    network,
    refusal::Refusal,
};
use l402::PaymentHash;
use l402_lightning::{
    BoxFuture, FailureReason, Invoice, MilliSat, Network, NotSent, OpenError, Paid, PayError, PayLimits,
    Payer, PayerCapabilities, PayerOpening, PaymentState, Settings, UnknownCause, UntrustedText,
};
use l402_node_http::{Fault, Fields};
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// How much longer than the payment's own timeout its answer may take.
const ANSWER_MARGIN: Duration = Duration::from_secs(2);
/// Longest that `xpay` is let make new attempts, in seconds: its own default.
const RETRY_SECS_MAX: u64 = 60;
/// How long after its first attempt a payment may look failed between two attempts, in seconds: `xpay` makes no new one
/// after [`RETRY_SECS_MAX`] and the time to find one more route.
const RETRYING_SECS: u64 = RETRY_SECS_MAX + 15;

/// Core Lightning as the node that pays.
#[derive(Debug)]
struct ClnPayer {
    api: Api,
    network: Network,
}

/// Opens the node and asks it whether it can be paid from.
pub(crate) fn open(settings: Settings) -> PayerOpening {
    Box::pin(async move {
        let api = Api::new(&settings)?;
        let network = ask_network(&api, settings.network).await?;
        let payer = ClnPayer { api, network };
        // A node that may not be asked about a payment could never be asked after a crash.
        payer.pays(PaymentHash::from_bytes([0; 32])).await.map_err(Refusal::at_opening)?;
        Ok(Arc::new(payer) as Arc<dyn Payer>)
    })
}

/// The node's network, and whether it follows the chain. A rune without `getinfo` needs the network named.
async fn ask_network(api: &Api, named: Option<Network>) -> Result<Network, OpenError> {
    let info = match (api.ask(GET_INFO, &json!({})).await, named) {
        (Ok(returned), _) => returned.fields,
        (Err(Refusal::Forbidden { .. }), Some(network)) => return Ok(network),
        (Err(refusal), _) => return Err(refusal.at_opening()),
    };
    if ["warning_bitcoind_sync", "warning_lightningd_sync"].iter().any(|name| info.get(name).is_some()) {
        return Err(OpenError::NotReady(NotSent::Starting));
    }
    let name = info.text("network").map_err(|_| OpenError::Garbled("network"))?;
    network(name).ok_or(OpenError::Garbled("network"))
}

impl ClnPayer {
    async fn send(&self, invoice: &Invoice, limits: PayLimits) -> Result<Paid, PayError> {
        if invoice.amount().is_none() {
            return Err(PayError::NotSent(NotSent::Amountless));
        }
        if invoice.network() != self.network {
            return Err(PayError::NotSent(NotSent::OtherNetwork));
        }
        let params = json!({
            "invstring": invoice.text(),
            "maxfee": limits.fee_max.as_msat(),
            "retry_for": limits.timeout.as_secs().clamp(1, RETRY_SECS_MAX),
        });
        let deadline = limits.timeout.saturating_add(ANSWER_MARGIN);
        match self.api.call(XPAY, &params, deadline).await {
            Ok(returned) => paid(&returned.fields, "payment_preimage", invoice.payment_hash()),
            Err(Refusal::Failed { code, message }) => {
                let ended = ended(code, &message);
                self.confirm(invoice.payment_hash(), ended).await
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// What an error of `xpay` means, by what the node knows of the payment now.
    async fn confirm(&self, payment_hash: PaymentHash, ended: Option<PayError>) -> Result<Paid, PayError> {
        let pays = self.pays(payment_hash).await?;
        match Progress::of(&pays.fields, payment_hash)? {
            Progress::None | Progress::Failed { .. } => {
                Err(ended.unwrap_or(PayError::OutcomeUnknown(UnknownCause::WalletFailed)))
            }
            Progress::Pending | Progress::Complete(_) => Err(PayError::AlreadyKnown),
        }
    }

    async fn state(&self, payment_hash: PaymentHash) -> Result<PaymentState, PayError> {
        let Returned { fields, now } = self.pays(payment_hash).await?;
        Ok(match Progress::of(&fields, payment_hash)? {
            Progress::None => PaymentState::Unknown,
            Progress::Pending => PaymentState::InFlight,
            Progress::Complete(paid) => PaymentState::Succeeded(paid),
            Progress::Failed { began_at } => {
                let now = now.ok_or(Fault::Garbled("the header Date"))?;
                if now < began_at.saturating_add(RETRYING_SECS) {
                    PaymentState::InFlight
                } else {
                    PaymentState::Failed(FailureReason::Other)
                }
            }
        })
    }

    async fn pays(&self, payment_hash: PaymentHash) -> Result<Returned, Refusal> {
        let params = json!({ "payment_hash": payment_hash.to_string() });
        self.api.call(LIST_PAYS, &params, QUESTION_TIMEOUT).await
    }
}

impl Payer for ClnPayer {
    fn capabilities(&self) -> PayerCapabilities {
        PayerCapabilities {
            network: Some(self.network),
            fee_limit: true,
            timeout: true,
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

/// How far the payments with one hash are, taken together.
#[derive(Debug)]
enum Progress {
    /// There are none.
    None,
    /// A part is on its way.
    Pending,
    /// One succeeded.
    Complete(Paid),
    /// All attempts so far failed; the newest payment began at this Unix second.
    Failed { began_at: u64 },
}

impl Progress {
    /// Reads the result of `listpays`.
    fn of(listed: &Fields, payment_hash: PaymentHash) -> Result<Self, PayError> {
        let mut progress = Self::None;
        for pay in listed.objects("pays")? {
            if pay.payment_hash("payment_hash")? != payment_hash {
                return Err(Fault::Garbled("payment_hash").into());
            }
            match pay.text("status")? {
                "complete" => return Ok(Self::Complete(paid(&pay, "preimage", payment_hash)?)),
                "pending" => progress = Self::Pending,
                "failed" => {
                    let began_at = pay.number("created_at")?;
                    progress = match progress {
                        Self::Pending => Self::Pending,
                        Self::Failed { began_at: other } => Self::Failed { began_at: began_at.max(other) },
                        _ => Self::Failed { began_at },
                    };
                }
                _ => return Err(Fault::Garbled("status").into()),
            }
        }
        Ok(progress)
    }
}

/// What an error of `xpay` says if nothing is on its way: `None` if it does not end the payment. Codes:
/// <https://docs.corelightning.org/reference/xpay>, `common/jsonrpc_errors.h`.
fn ended(code: Option<i64>, message: &UntrustedText) -> Option<PayError> {
    let failed = |reason| Some(PayError::Failed(reason));
    match code? {
        // Destination refused; no route; route too expensive; other; gave up.
        203 => failed(FailureReason::IncorrectPaymentDetails),
        205 | 206 => failed(FailureReason::NoRoute),
        209 if message.as_raw().starts_with("Timed out") => failed(FailureReason::Timeout),
        209 => failed(FailureReason::Other),
        210 => failed(FailureReason::Timeout),
        207 => Some(PayError::NotSent(NotSent::Expired)),
        // The parameters, or the method, are refused before anything is sent.
        -32601 | -32602 => Some(PayError::NotSent(NotSent::Refused { message: message.clone() })),
        _ => None,
    }
}

/// A payment that succeeded; `preimage` is what the preimage is called there.
fn paid(fields: &Fields, preimage: &'static str, payment_hash: PaymentHash) -> Result<Paid, PayError> {
    let preimage = fields.preimage(preimage)?.ok_or(PayError::OutcomeUnknown(UnknownCause::NoPreimage))?;
    if preimage.payment_hash() != payment_hash {
        return Err(PayError::OutcomeUnknown(UnknownCause::WrongPreimage));
    }
    let sent = fields.msat("amount_sent_msat")?;
    // Missing where a part was sent by other means than `xpay`: then the fee cannot be told from the amount.
    let amount = if fields.get("amount_msat").is_some() { fields.msat("amount_msat")? } else { sent };
    let fee: MilliSat = sent.checked_sub(amount).ok_or(Fault::Garbled("amount_sent_msat"))?;
    Ok(Paid { preimage, amount, fee })
}

#[cfg(test)]
mod tests {
    use super::*;
    use l402::Preimage;
    use serde_json::Value;

    fn progress(pays: &Value) -> Result<Progress, PayError> {
        let hash = Preimage::from_bytes([7; 32]).payment_hash();
        Progress::of(&Fields::of(json!({ "pays": pays })).unwrap(), hash)
    }

    fn pay(status: &str) -> Value {
        json!({
            "payment_hash": Preimage::from_bytes([7; 32]).payment_hash().to_string(),
            "status": status,
            "created_at": 5,
            "amount_msat": 1_000,
            "amount_sent_msat": 1_007,
            "preimage": "07".repeat(32),
        })
    }

    #[test]
    fn one_success_and_one_part_on_its_way_outweigh_failures() {
        assert!(matches!(progress(&json!([])), Ok(Progress::None)));
        assert!(matches!(progress(&json!([pay("failed")])), Ok(Progress::Failed { began_at: 5 })));
        for pays in [json!([pay("pending"), pay("failed")]), json!([pay("failed"), pay("pending")])] {
            assert!(matches!(progress(&pays), Ok(Progress::Pending)));
        }
        let Ok(Progress::Complete(paid)) = progress(&json!([pay("failed"), pay("pending"), pay("complete")]))
        else {
            panic!("one of them succeeded");
        };
        assert_eq!((paid.amount.as_msat(), paid.fee.as_msat()), (1_000, 7));
    }

    #[test]
    fn a_listing_that_cannot_be_understood_is_no_answer() {
        let mut other = pay("complete");
        other["payment_hash"] = "00".repeat(32).into();
        let mut bare = pay("complete");
        bare["preimage"] = Value::Null;
        let mut wrong = pay("complete");
        wrong["preimage"] = "08".repeat(32).into();
        for (listed, cause) in [
            (other, UnknownCause::Garbled { field: "payment_hash" }),
            (bare, UnknownCause::NoPreimage),
            (wrong, UnknownCause::WrongPreimage),
            (pay("maybe"), UnknownCause::Garbled { field: "status" }),
        ] {
            assert_eq!(progress(&json!([listed])).unwrap_err(), PayError::OutcomeUnknown(cause));
        }
    }

    #[test]
    fn only_errors_that_end_a_payment_are_failures() {
        let ended = |code| ended(code, &UntrustedText::new("Failed after 3 attempts."));
        for code in [203, 205, 206, 209, 210, 207, -32601, -32602] {
            assert!(ended(Some(code)).is_some_and(|error| error.nothing_paid()), "{code}");
        }
        for code in [None, Some(-1), Some(-3), Some(-4), Some(200), Some(218), Some(219)] {
            assert_eq!(ended(code), None, "{code:?}");
        }
    }
}
