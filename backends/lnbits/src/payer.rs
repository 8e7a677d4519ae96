//! The wallet that pays.

use crate::{
    payment::{Payment, Status},
    refusal,
    service::{Record, Service},
};
use l402::{PaymentHash, Preimage};
use l402_lightning::{
    BoxFuture, FailureReason, Invoice, MilliSat, Network, NotSent, OpenError, Paid, PayError, PayLimits,
    Payer, PayerCapabilities, PayerOpening, PaymentState, Settings, UnknownCause,
};
use l402_node_http::{Answer, Fault};
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// How long LNbits may take beyond the time of the payment: it waits for its funding source first, 5 s by default.
const ANSWER_MARGIN: Duration = Duration::from_secs(5);
/// The pause between two questions about a payment that is on its way.
const POLL_PAUSE: Duration = Duration::from_millis(500);

/// Opens the side that pays: asks for the wallet, which the key has to be the admin key of.
pub(crate) fn open(settings: Settings) -> PayerOpening {
    Box::pin(async move {
        let service = Service::new(&settings)?;
        let (wallet, _) = service.wallet().await?;
        if wallet.get("id").is_none() {
            return Err(OpenError::NotReady(NotSent::Forbidden { permission: "admin key" }));
        }
        Ok(Arc::new(LnbitsPayer { service, network: settings.network }) as Arc<dyn Payer>)
    })
}

struct LnbitsPayer {
    service: Service,
    network: Option<Network>,
}

impl LnbitsPayer {
    async fn pay_once(&self, invoice: &Invoice, limits: PayLimits) -> Result<Paid, PayError> {
        let hash = invoice.payment_hash();
        self.check(invoice, limits.fee_max).await?;
        let body = json!({ "out": true, "bolt11": invoice.text() });
        let deadline = limits.timeout.saturating_add(ANSWER_MARGIN);
        let answer = self.service.post_payment(&body, deadline).await?;
        if refusal::is_payment_error(&answer) {
            return Err(self.confirmed(hash, refusal::of_payment(&answer)).await);
        }
        if !answer.status.is_success() {
            return Err(refusal::of_payment(&answer));
        }
        match paid_at_once(hash, &answer)? {
            Some(paid) => Ok(paid),
            None => tokio::time::timeout(limits.timeout, self.end_of(hash))
                .await
                .unwrap_or(Err(PayError::OutcomeUnknown(UnknownCause::Timeout))),
        }
    }

    /// Whether the invoice may be paid within the limits. LNbits itself looks neither at the network nor at the expiry.
    async fn check(&self, invoice: &Invoice, fee_max: MilliSat) -> Result<(), PayError> {
        if invoice.amount().is_none() {
            return Err(PayError::NotSent(NotSent::Amountless));
        }
        if self.network.is_some_and(|network| network != invoice.network()) {
            return Err(PayError::NotSent(NotSent::OtherNetwork));
        }
        let (reserve, date) = self.service.fee_reserve(invoice.text()).await?;
        let needed = reserve.msat("fee_reserve")?;
        let refusal = if date.is_some_and(|now| invoice.is_expired(now)) {
            NotSent::Expired
        } else if needed > fee_max {
            NotSent::FeeLimit { needed }
        } else {
            return Ok(());
        };
        Err(self.confirmed(invoice.payment_hash(), PayError::NotSent(refusal)).await)
    }

    /// A refusal counts if LNbits has no payment with this hash, or one that failed. What it says against a second call
    /// says nothing of the first: that one may have emptied the wallet.
    async fn confirmed(&self, hash: PaymentHash, refusal: PayError) -> PayError {
        match self.state(hash).await {
            Ok(PaymentState::InFlight | PaymentState::Succeeded(_)) => PayError::AlreadyKnown,
            Ok(_) => refusal,
            Err(_) => PayError::OutcomeUnknown(UnknownCause::WalletFailed),
        }
    }

    /// Asks until the payment has succeeded or failed.
    async fn end_of(&self, hash: PaymentHash) -> Result<Paid, PayError> {
        loop {
            match self.state(hash).await {
                Ok(PaymentState::Succeeded(paid)) => return Ok(paid),
                Ok(PaymentState::Failed(reason)) => return Err(PayError::Failed(reason)),
                // The payment began: whatever else is said now is not its end.
                Ok(_) | Err(_) => tokio::time::sleep(POLL_PAUSE).await,
            }
        }
    }

    async fn state(&self, hash: PaymentHash) -> Result<PaymentState, PayError> {
        let (Record::Known(fields), _) = self.service.record(hash).await? else {
            return Ok(PaymentState::Unknown);
        };
        let payment = Payment::read(hash, fields.object("details")?)?;
        if payment.incoming {
            // LNbits shows a payment that was made before one that was received: there is none.
            return Ok(PaymentState::Unknown);
        }
        Ok(match payment.status {
            Status::Pending => PaymentState::InFlight,
            Status::Failed => PaymentState::Failed(FailureReason::Other),
            Status::Success => PaymentState::Succeeded(paid(hash, &payment)?),
        })
    }
}

/// The payment, if it has succeeded by now. A record that is still pending, or none as in LNbits before 1.0, has no end yet.
fn paid_at_once(hash: PaymentHash, answer: &Answer) -> Result<Option<Paid>, PayError> {
    let fields = answer.fields()?;
    if fields.payment_hash("payment_hash")? != hash {
        return Err(Fault::Garbled("payment_hash").into());
    }
    if fields.get("status").is_none() {
        return Ok(None);
    }
    let payment = Payment::read(hash, fields)?;
    match payment.status {
        Status::Success => paid(hash, &payment).map(Some),
        Status::Pending | Status::Failed => Ok(None),
    }
}

/// The proof of a payment that succeeded.
fn paid(hash: PaymentHash, payment: &Payment) -> Result<Paid, PayError> {
    let unknown = |cause| PayError::OutcomeUnknown(cause);
    let preimage: Preimage = payment.preimage.clone().ok_or(unknown(UnknownCause::NoPreimage))?;
    if preimage.payment_hash() != hash {
        return Err(unknown(UnknownCause::WrongPreimage));
    }
    Ok(Paid { preimage, amount: payment.amount, fee: payment.fee })
}

impl Payer for LnbitsPayer {
    fn capabilities(&self) -> PayerCapabilities {
        PayerCapabilities {
            network: self.network,
            fee_limit: true,
            timeout: false,
            returns_preimage: true,
            lookup_by_hash: true,
        }
    }

    fn pay<'a>(&'a self, invoice: &'a Invoice, limits: PayLimits) -> BoxFuture<'a, Result<Paid, PayError>> {
        Box::pin(self.pay_once(invoice, limits))
    }

    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<PaymentState, PayError>> {
        Box::pin(self.state(payment_hash))
    }
}
