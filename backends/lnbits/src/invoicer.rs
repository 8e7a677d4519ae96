//! The wallet that is paid.

use crate::{
    payment::{Payment, Status, invoice},
    refusal,
    secrecy::try_secrecy,
    service::{QUESTION_TIMEOUT, Record, Service},
};
use l402::PaymentHash;
use l402_lightning::{
    AmountUnit, BoxFuture, Invoice, InvoiceRequest, InvoiceState, Invoicer, InvoicerCapabilities,
    InvoicerError, InvoicerOpening, KeyControl, Network, NodeStatus, OpenError, Settings, Settlement,
    SettlementFeed, Terms, Unsupported,
};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Most bytes of a description: what fits into one field of an invoice.
const DESCRIPTION_BYTES_MAX: usize = 639;
/// Longest expiry in seconds: a year, which is lnd's limit.
const EXPIRY_SECS_MAX: u32 = 31_536_000;
const MSAT_PER_SAT: u64 = 1_000;

/// Opens the side that is paid; connects to nothing.
pub(crate) fn open(settings: &Settings) -> InvoicerOpening {
    let network = settings.network.ok_or(OpenError::Missing("network"))?;
    let service = Service::new(settings)?;
    Ok(Arc::new(LnbitsInvoicer { service, network, secrecy: OnceCell::new() }))
}

struct LnbitsInvoicer {
    service: Service,
    network: Network,
    /// There once LNbits was seen to keep preimages: the network of its invoices.
    secrecy: OnceCell<Network>,
}

impl LnbitsInvoicer {
    async fn secrecy(&self) -> Result<Network, InvoicerError> {
        self.secrecy.get_or_try_init(|| try_secrecy(&self.service)).await.copied()
    }

    async fn issue(&self, request: &InvoiceRequest) -> Result<Invoice, InvoicerError> {
        let sats = whole_sats(request)?;
        self.secrecy().await?;
        let body = json!({
            "out": false,
            "amount": sats,
            "unit": "sat",
            "memo": request.description,
            "expiry": request.expiry_secs,
        });
        let answer = self.service.post_payment(&body, QUESTION_TIMEOUT).await?;
        if !answer.status.is_success() {
            return Err(refusal::of_invoicer(&answer));
        }
        let fields = answer.fields()?;
        invoice(fields.payment_hash("payment_hash")?, &fields)
    }

    /// What the wallet knows of an invoice of its own, and LNbits' clock.
    async fn invoice_record(
        &self,
        hash: PaymentHash,
    ) -> Result<Option<(Payment, Option<u64>)>, InvoicerError> {
        let (record, date) = self.service.record(hash).await?;
        let Record::Known(fields) = record else { return Ok(None) };
        let payment = Payment::read(hash, fields.object("details")?)?;
        if payment.incoming {
            return Ok(Some((payment, date)));
        }
        // A wallet that pays its own invoice has two payments with one hash, and LNbits shows the one that was made.
        for fields in self.service.payments(hash).await? {
            let payment = Payment::read(hash, fields)?;
            if payment.incoming {
                return Ok(Some((payment, date)));
            }
        }
        Ok(None)
    }
}

/// The request's amount in whole satoshis, if LNbits can make such an invoice.
fn whole_sats(request: &InvoiceRequest) -> Result<u64, InvoicerError> {
    let msat = request.amount.as_msat();
    let unsupported = if request.preimage.is_some() {
        Unsupported::ChosenPreimage
    } else if msat == 0 || !msat.is_multiple_of(MSAT_PER_SAT) {
        Unsupported::Amount
    } else if request.description.len() > DESCRIPTION_BYTES_MAX {
        Unsupported::Description
    } else if !(1..=EXPIRY_SECS_MAX).contains(&request.expiry_secs) {
        Unsupported::Expiry
    } else {
        return Ok(msat / MSAT_PER_SAT);
    };
    Err(InvoicerError::Unsupported(unsupported))
}

/// What became of an invoice, and the invoice.
fn state(
    hash: PaymentHash,
    payment: &Payment,
    date: Option<u64>,
) -> Result<(InvoiceState, Invoice), InvoicerError> {
    let invoice = payment.invoice(hash)?;
    let now = date.ok_or(InvoicerError::Garbled { field: "Date (header)" })?;
    let late = payment.expired || invoice.is_expired(now);
    let state = match payment.status {
        Status::Success => InvoiceState::Settled { amount: payment.amount },
        Status::Pending | Status::Failed if late => InvoiceState::Expired,
        Status::Pending => InvoiceState::Open,
        Status::Failed => InvoiceState::Cancelled,
    };
    Ok((state, invoice))
}

impl Invoicer for LnbitsInvoicer {
    fn capabilities(&self) -> InvoicerCapabilities {
        InvoicerCapabilities {
            network: self.network,
            key_control: KeyControl::None,
            amount_unit: AmountUnit::Sat,
            description_bytes_max: DESCRIPTION_BYTES_MAX,
            settlement_feed: SettlementFeed::Poll,
            cancel: false,
            terms: Terms::Caller,
        }
    }

    fn create(&self, request: InvoiceRequest) -> BoxFuture<'_, Result<Invoice, InvoicerError>> {
        Box::pin(async move { self.issue(&request).await })
    }

    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<InvoiceState, InvoicerError>> {
        Box::pin(async move {
            let Some((payment, date)) = self.invoice_record(payment_hash).await? else {
                return Ok(InvoiceState::Unknown);
            };
            Ok(state(payment_hash, &payment, date)?.0)
        })
    }

    fn open_invoice(
        &self,
        payment_hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<Invoice>, InvoicerError>> {
        Box::pin(async move {
            let Some((payment, date)) = self.invoice_record(payment_hash).await? else { return Ok(None) };
            let (state, invoice) = state(payment_hash, &payment, date)?;
            Ok((state == InvoiceState::Open).then_some(invoice))
        })
    }

    fn cancel(&self, _payment_hash: PaymentHash) -> BoxFuture<'_, Result<(), InvoicerError>> {
        Box::pin(std::future::ready(Err(InvoicerError::Unsupported(Unsupported::Cancel))))
    }

    fn probe(&self) -> BoxFuture<'_, Result<NodeStatus, InvoicerError>> {
        Box::pin(async move {
            let (_, clock) = self.service.wallet().await?;
            let network = self.secrecy().await?;
            Ok(NodeStatus { network: Some(network), clock, ..NodeStatus::default() })
        })
    }

    fn settlements(&self, _cursor: u64) -> BoxFuture<'_, Result<Vec<Settlement>, InvoicerError>> {
        Box::pin(std::future::ready(Err(InvoicerError::Unsupported(Unsupported::Feed))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use l402_lightning::MilliSat;

    #[test]
    fn what_lnbits_would_round_or_replace_is_refused() {
        let good = InvoiceRequest {
            amount: MilliSat::from_msat(21_000),
            expiry_secs: 600,
            description: "L402 weather".to_owned(),
            preimage: None,
        };
        assert_eq!(whole_sats(&good), Ok(21));
        for (request, expected) in [
            (InvoiceRequest { amount: MilliSat::from_msat(21_001), ..good.clone() }, Unsupported::Amount),
            (InvoiceRequest { amount: MilliSat::ZERO, ..good.clone() }, Unsupported::Amount),
            (InvoiceRequest { expiry_secs: 0, ..good.clone() }, Unsupported::Expiry),
            (InvoiceRequest { expiry_secs: EXPIRY_SECS_MAX + 1, ..good.clone() }, Unsupported::Expiry),
            (InvoiceRequest { description: "é".repeat(320), ..good.clone() }, Unsupported::Description),
        ] {
            assert_eq!(whole_sats(&request), Err(InvoicerError::Unsupported(expected)), "{request:?}");
        }
    }
}
