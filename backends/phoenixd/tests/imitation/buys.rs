//! The side that pays: `payinvoice`, `payments/outgoingbyhash`.

use super::node::{NoProof, Outcome, Outgoing, PhoenixdNode, Records, Status};
use hyper::StatusCode;
use l402::PaymentHash;
use l402_lightning::Invoice;
use serde_json::{Value, json};
use std::collections::HashMap;

impl PhoenixdNode {
    /// Lets the payments that are on their way succeed.
    pub(crate) fn release(&self) {
        for payment in self.lock().outgoing.iter_mut().filter(|payment| payment.status == Status::Pending) {
            payment.status = Status::Succeeded;
        }
        self.news.send_modify(|count| *count += 1);
    }

    /// How often money moved for this hash, or is on its way.
    pub(crate) fn payment_count(&self, payment_hash: PaymentHash) -> usize {
        let records = self.lock();
        let moved =
            |payment: &&Outgoing| payment.payment_hash == payment_hash && payment.status != Status::Failed;
        records.outgoing.iter().filter(moved).count()
    }

    /// Pays: a payment goes on whether or not somebody waits for its end.
    pub(super) async fn pay_invoice(&self, form: &HashMap<String, String>) -> Outcome {
        let Some(text) = form.get("invoice") else {
            return Outcome::Text(StatusCode::BAD_REQUEST, "Request parameter invoice is missing");
        };
        let Ok(invoice) = Invoice::parse(text) else {
            return Outcome::Text(StatusCode::BAD_REQUEST, "invoice couldn't be converted to bolt11invoice");
        };
        let payment_hash = invoice.payment_hash();
        if let Err(reason) = self.begin(&invoice) {
            return Outcome::Object(json!({ "paymentHash": payment_hash.to_string(), "reason": reason }));
        }
        let mut news = self.news.subscribe();
        loop {
            if let Some(outcome) = self.ending(payment_hash) {
                return outcome;
            }
            news.changed().await.expect("the sender lives");
        }
    }

    /// Begins a payment, or says why not.
    fn begin(&self, invoice: &Invoice) -> Result<(), &'static str> {
        let mut records = self.lock();
        let payment_hash = invoice.payment_hash();
        match records.furthest(payment_hash).map(|payment| payment.status) {
            Some(Status::Succeeded) => return Err("this invoice has already been paid"),
            Some(Status::Pending) => return Err("another payment is in progress for that invoice"),
            Some(Status::Failed) | None => {}
        }
        let amount = invoice.amount().ok_or("payment amount must be positive")?;
        let mut payment =
            Outgoing { payment_hash, text: invoice.text().to_owned(), amount, status: Status::Failed };
        let known = records.strangers.contains_key(&payment_hash);
        let reason = match records.faults.failure {
            Some(words) => Some(words),
            None if invoice.is_expired(self.clock.now()) || !known => {
                Some("recipient node rejected the payment")
            }
            None => None,
        };
        if reason.is_none() {
            let hold = std::mem::take(&mut records.faults.hold);
            payment.status = if hold { Status::Pending } else { Status::Succeeded };
        }
        records.outgoing.push(payment);
        reason.map_or(Ok(()), Err)
    }

    /// The answer to a payment that succeeded; `None` while it is on its way.
    fn ending(&self, payment_hash: PaymentHash) -> Option<Outcome> {
        let mut records = self.lock();
        let payment = records.furthest(payment_hash)?.clone();
        if payment.status != Status::Succeeded {
            return None;
        }
        if std::mem::take(&mut records.faults.lose_payment) {
            return Some(Outcome::Cut);
        }
        let mut answer = json!({
            "recipientAmountSat": payment.amount.as_msat() / 1_000,
            "routingFeeSat": fee(&payment) / 1_000,
            "paymentId": "961d413c-91ca-4f3d-9d91-760a08405901",
            "paymentHash": payment_hash.to_string(),
            "paymentPreimage": records.strangers.get(&payment_hash)?.reveal_hex(),
        });
        match records.faults.proof.take() {
            None => {}
            Some(NoProof::Missing) => answer["paymentPreimage"] = Value::Null,
            Some(NoProof::Another) => answer["paymentPreimage"] = "08".repeat(32).into(),
        }
        Some(Outcome::Object(answer))
    }

    pub(super) fn outgoing(&self, hash: &str) -> Outcome {
        let Ok(hash) = hash.parse::<PaymentHash>() else {
            return Outcome::Text(StatusCode::BAD_REQUEST, "paymentHash couldn't be converted to hex32");
        };
        let records = self.lock();
        let Some(payment) = records.furthest(hash) else {
            return Outcome::Text(StatusCode::NOT_FOUND, "Not found");
        };
        let fee = fee(payment);
        let mut json = json!({
            "type": "outgoing_payment",
            "subType": "lightning",
            "paymentId": "961d413c-91ca-4f3d-9d91-760a08405901",
            "paymentHash": hash.to_string(),
            "isPaid": payment.status == Status::Succeeded,
            "sent": (payment.amount.as_msat() + fee) / 1_000,
            "fees": fee,
            "invoice": payment.text,
            "createdAt": 1,
        });
        if payment.status == Status::Succeeded {
            json["preimage"] = records.strangers[&hash].reveal_hex().into();
        }
        if payment.status != Status::Pending {
            json["completedAt"] = 2.into();
        }
        Outcome::Object(json)
    }
}

impl Records {
    /// The payment with this hash that got furthest.
    fn furthest(&self, payment_hash: PaymentHash) -> Option<&Outgoing> {
        self.outgoing
            .iter()
            .filter(|payment| payment.payment_hash == payment_hash)
            .max_by_key(|payment| payment.status)
    }
}

/// 4 sat and 0.4 %, rounded down, in millisatoshis.
fn fee(payment: &Outgoing) -> u64 {
    4_000 + payment.amount.as_msat() * 4_000 / 1_000_000
}
