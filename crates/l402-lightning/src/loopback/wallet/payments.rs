//! Payments through the wallet door: pay, track, list.

use super::{
    super::{
        LoopbackNode,
        buyer::{InFlight, PayRefusal, PaymentAnswer},
        ledger::{FailedPayment, PaymentRecord},
    },
    answer::{
        Answer, Code, DoorBody, LineCut, Refused, error_line, result_line, stream_refused, streamed, unary,
    },
    ask::{Ask, bytes32},
    invoices::refused,
    shapes::{payment, succeeded, sync_answer, sync_error, sync_reason},
};
use crate::{Invoice, MilliSat};
use bytes::Bytes;
use hyper::Response;
use l402::PaymentHash;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Payments in one answer of `/v1/payments`.
const PAGE_MAX: u64 = 1_000;
/// Lines of a stream that wait for a slow reader. One, so that the first line is on its way before the next is written,
/// also when a knob cuts the stream between them.
const LINES_WAITING_MAX: usize = 1;
/// Amounts up to this may cost as much again in fees, greater ones [`FEE_PERCENT_DEFAULT`]: LND's rule where the
/// caller of `/v1/channels/transactions` sets no limit.
const SMALL_AMOUNT: MilliSat = MilliSat::from_msat(1_000_000);
const FEE_PERCENT_DEFAULT: u64 = 5;

type Lines = mpsc::Sender<Result<Bytes, LineCut>>;

/// `POST /v2/router/send`: JSON lines, first the payment in flight (unless unwanted), last its end.
pub(super) async fn send(node: Arc<LoopbackNode>, ask: &Ask) -> Answer {
    let plan = match node.announce_payment().await {
        Ok(plan) => plan,
        Err(interruption) => return Ok(stream_refused(&refused(interruption)?)),
    };
    let begun = read_send(ask).and_then(|(invoice, fee_max, quiet)| {
        match InFlight::begin(node, &invoice, fee_max, plan) {
            Ok(in_flight) => Ok(Begun::InFlight { in_flight, quiet }),
            Err(PayRefusal::Failed(reason)) => Ok(Begun::Failed(PaymentAnswer::Failed(FailedPayment {
                payment_hash: invoice.payment_hash(),
                amount: invoice.amount().unwrap_or_default(),
                reason,
                created_at: invoice.created_at(),
                invoice: invoice.text().into(),
            }))),
            Err(refusal) => Err(refused_payment(refusal)),
        }
    });
    match begun {
        Err(refused) => Ok(stream_refused(&refused)),
        Ok(Begun::Failed(failed)) => Ok(stream(async move |lines| say(&lines, &failed).await)),
        Ok(Begun::InFlight { in_flight, quiet }) => Ok(stream(async move |lines| {
            if !quiet {
                say(&lines, &in_flight.answer()).await;
            }
            finish(in_flight, &lines).await;
        })),
    }
}

/// How a call to send goes on.
enum Begun {
    InFlight { in_flight: InFlight<Arc<LoopbackNode>>, quiet: bool },
    Failed(PaymentAnswer),
}

/// Ends a payment and sends the last line.
async fn finish(in_flight: InFlight<Arc<LoopbackNode>>, lines: &Lines) {
    let line = match in_flight.finish().await {
        Ok(Ok(answer)) => Ok(result_line(&payment(&answer))),
        Ok(Err(refusal)) => Ok(error_line(&refused_payment(refusal))),
        Err(interruption) => refused(interruption).map(|refused| error_line(&refused)),
    };
    let _ = lines.send(line).await;
}

/// `POST /v1/channels/transactions`: one answer, whose preimage is in base64.
pub(super) async fn send_sync(node: &LoopbackNode, ask: &Ask) -> Answer {
    let plan = match node.announce_payment().await {
        Ok(plan) => plan,
        Err(interruption) => return Ok(unary(Err(refused(interruption)?))),
    };
    let invoice = match read_invoice(ask) {
        Ok(invoice) => invoice,
        Err(refused) => return Ok(unary(Err(refused))),
    };
    let fee_max = match fee_limit(ask, invoice.amount().unwrap_or_default()) {
        Ok(fee_max) => fee_max,
        Err(refused) => return Ok(unary(Err(refused))),
    };
    let outcome = match InFlight::begin(node, &invoice, fee_max, plan) {
        Err(refusal) => Err(refusal),
        Ok(in_flight) => match in_flight.finish().await {
            Ok(outcome) => outcome,
            Err(interruption) => return Ok(unary(Err(refused(interruption)?))),
        },
    };
    Ok(unary(match outcome {
        Ok(answer) => Ok(sync_answer(invoice.payment_hash(), &answer)),
        Err(PayRefusal::Failed(reason)) => Ok(sync_error(invoice.payment_hash(), sync_reason(reason))),
        Err(refusal @ (PayRefusal::AlreadyPaid | PayRefusal::InTransition)) => {
            Ok(sync_error(invoice.payment_hash(), &refused_payment(refusal).message))
        }
        Err(refusal) => Err(refused_payment(refusal)),
    }))
}

/// `GET /v2/router/track/{hash}`, the hash in base64: JSON lines until the payment has ended.
pub(super) async fn track(node: Arc<LoopbackNode>, hash: &str, quiet: bool) -> Answer {
    let Some(hash) = bytes32(hash).map(PaymentHash::from_bytes) else {
        return Ok(stream_refused(&Refused::new(Code::InvalidArgument, "the payment hash is not 32 bytes")));
    };
    let (answer, twice) = match node.track(hash).await {
        Ok((PaymentAnswer::Unknown, _)) => {
            return Ok(stream_refused(&Refused::new(Code::NotFound, "payment isn't initiated")));
        }
        Ok(answer) => answer,
        Err(interruption) => return Ok(stream_refused(&refused(interruption)?)),
    };
    Ok(stream(async move |lines| {
        let open = matches!(answer, PaymentAnswer::InFlight(_));
        if !(open && quiet) {
            for _ in 0..=u8::from(twice) {
                say(&lines, &answer).await;
            }
        }
        if open {
            say(&lines, &node.end_of(hash).await).await;
        }
    }))
}

/// `GET /v1/payments`: the payments that succeeded, oldest first unless `reversed`.
pub(super) fn list(node: &LoopbackNode, offset: u64, max: u64, reversed: bool) -> Value {
    let total = node.ledger.payment_count() as u64;
    let max = if max == 0 { PAGE_MAX } else { max.min(PAGE_MAX) };
    let (skip, take) = if reversed {
        let end = if offset == 0 { total } else { offset.saturating_sub(1).min(total) };
        (end.saturating_sub(max), end.min(max))
    } else {
        (offset, max)
    };
    let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let records = node.ledger.payments(place(skip), place(take));
    let index = |record: Option<&PaymentRecord>| record.map_or(0, |record| record.index).to_string();
    json!({
        "first_index_offset": index(records.first()),
        "last_index_offset": index(records.last()),
        "total_num_payments": total.to_string(),
        "payments": records.iter().map(|record| succeeded(record, Some(&record.preimage))).collect::<Vec<_>>(),
    })
}

/// A stream that `write` fills. It ends with `write`, or with its reader.
fn stream<F>(write: impl FnOnce(Lines) -> F + Send + 'static) -> Response<DoorBody>
where
    F: Future<Output = ()> + Send,
{
    let (lines, answer) = mpsc::channel(LINES_WAITING_MAX);
    let reader = lines.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = reader.closed() => {}
            () = write(lines) => {}
        }
    });
    streamed(answer)
}

/// Writes one line. Nobody may be left to read it.
async fn say(lines: &Lines, answer: &PaymentAnswer) {
    let _ = lines.send(Ok(result_line(&payment(answer)))).await;
}

/// The invoice, the fee limit, and whether lines before the last are unwanted.
fn read_send(ask: &Ask) -> Result<(Invoice, MilliSat, bool), Refused> {
    let invoice = read_invoice(ask)?;
    let fee_max = match (ask.positive("fee_limit_sat")?, ask.positive("fee_limit_msat")?) {
        (Some(_), Some(_)) => {
            return Err(Refused::new(
                Code::Unknown,
                "fee_limit_sat and fee_limit_msat are mutually exclusive",
            ));
        }
        (Some(sat), None) => MilliSat::from_sat(sat).unwrap_or(MilliSat::from_msat(u64::MAX)),
        // No limit means routes without a fee only.
        (None, msat) => MilliSat::from_msat(msat.unwrap_or_default()),
    };
    Ok((invoice, fee_max, ask.flag("no_inflight_updates")?))
}

fn read_invoice(ask: &Ask) -> Result<Invoice, Refused> {
    Invoice::parse(ask.text("payment_request")?)
        .map_err(|error| Refused::new(Code::Unknown, error.to_string()))
}

/// The limit of `fee_limit: { fixed | fixed_msat | percent }`.
fn fee_limit(ask: &Ask, amount: MilliSat) -> Result<MilliSat, Refused> {
    let share = |percent: u64| {
        let msat = u128::from(amount.as_msat()) * u128::from(percent) / 100;
        MilliSat::from_msat(u64::try_from(msat).unwrap_or(u64::MAX))
    };
    let Some(limit) = ask.object("fee_limit")? else {
        return Ok(share(if amount <= SMALL_AMOUNT { 100 } else { FEE_PERCENT_DEFAULT }));
    };
    if let Some(sat) = limit.positive("fixed")? {
        return Ok(MilliSat::from_sat(sat).unwrap_or(MilliSat::from_msat(u64::MAX)));
    }
    if let Some(percent) = limit.positive("percent")? {
        return Ok(share(percent));
    }
    Ok(MilliSat::from_msat(limit.positive("fixed_msat")?.unwrap_or_default()))
}

/// A payment that did not begin, in LND's words.
fn refused_payment(refusal: PayRefusal) -> Refused {
    match refusal {
        PayRefusal::Expired => Refused::new(Code::Unknown, "invoice expired"),
        PayRefusal::Amountless => {
            Refused::new(Code::Unknown, "amount must be specified when paying a zero amount invoice")
        }
        PayRefusal::OtherNetwork => {
            Refused::new(Code::Unknown, "invoice not for current active network 'regtest'")
        }
        PayRefusal::AlreadyPaid => Refused::new(Code::AlreadyExists, "invoice is already paid"),
        PayRefusal::InTransition => Refused::new(Code::AlreadyExists, "payment already exists"),
        PayRefusal::Failed(reason) => Refused::new(Code::Unknown, reason.to_string()),
    }
}
