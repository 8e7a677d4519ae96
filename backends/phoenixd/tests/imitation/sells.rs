//! The side that is paid: `createinvoice`, `payments/incoming`.

use super::node::{Incoming, Outcome, PhoenixdNode, numbered};
use hyper::StatusCode;
use l402::{PaymentHash, Preimage};
use l402_lightning::{Invoice, InvoiceRequest, MilliSat, loopback::WrongInvoice};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Longest description, in UTF-16 units.
const DESCRIPTION_MAX: usize = 128;

impl PhoenixdNode {
    /// How many invoices were made.
    pub(crate) fn made(&self) -> usize {
        self.lock().incoming.len()
    }

    /// Somebody pays an invoice.
    pub(crate) fn settle(&self, payment_hash: PaymentHash, excess_sat: u64) -> Preimage {
        let millis = {
            let mut records = self.lock();
            records.millis += 1;
            self.clock.now() * 1_000 + records.millis
        };
        self.receive(payment_hash, millis, excess_sat)
    }

    /// Somebody pays an invoice, at this millisecond by the daemon's clock.
    pub(crate) fn settle_at(&self, payment_hash: PaymentHash, millis: u64) -> Preimage {
        self.receive(payment_hash, millis, 0)
    }

    fn receive(&self, payment_hash: PaymentHash, millis: u64, excess_sat: u64) -> Preimage {
        let mut records = self.lock();
        let record = records.incoming.iter_mut().find(|record| record.payment_hash == payment_hash);
        let record = record.expect("an invoice of this daemon");
        assert!(record.completed_at.is_none() && millis / 1_000 < record.expires_at, "it can be paid");
        record.completed_at = Some(millis);
        record.received_sat = record.amount_sat + excess_sat;
        let (preimage, received_sat) = (record.preimage.clone(), record.received_sat);
        drop(records);
        let event = json!({
            "type": "payment_received",
            "timestamp": millis,
            "amountSat": received_sat,
            "paymentHash": payment_hash.to_string(),
        });
        self.tell(event.to_string());
        preimage
    }

    /// Sends an event, as the faults have it.
    fn tell(&self, event: String) {
        let mut records = self.lock();
        let faults = records.faults.clone();
        if faults.mute {
            return;
        }
        if faults.reorder && records.held_event.is_none() {
            records.held_event = Some(event);
            return;
        }
        let held = records.held_event.take();
        records.faults.reorder = false;
        drop(records);
        if faults.twice {
            self.send(event.clone());
        }
        self.send(event);
        if let Some(held) = held {
            self.send(held);
        }
    }

    /// Sends an event to whoever listens.
    pub(super) fn send(&self, event: String) {
        let _ = self.events.send(Some(event));
    }

    pub(super) fn create_invoice(&self, form: &HashMap<String, String>) -> Outcome {
        let bad = |words| Outcome::Text(StatusCode::BAD_REQUEST, words);
        let Some(description) = form.get("description") else {
            return bad("Must provide either a description or descriptionHash");
        };
        if description.encode_utf16().count() > DESCRIPTION_MAX {
            return bad("Request parameter description is too long (max 128 characters)");
        }
        let Some(amount_sat) = form.get("amountSat").and_then(|amount| amount.parse::<u64>().ok()) else {
            return bad("Request parameter amountSat couldn't be parsed/converted to integer");
        };
        let Some(expiry_secs) = form.get("expirySeconds").and_then(|expiry| expiry.parse::<u32>().ok())
        else {
            return bad("Request parameter expirySeconds couldn't be parsed/converted to integer");
        };
        let mut records = self.lock();
        let preimage = numbered(0x9e, records.incoming.len());
        let request = InvoiceRequest {
            amount: MilliSat::from_sat(amount_sat).expect("an amount that exists"),
            expiry_secs,
            description: description.clone(),
            preimage: Some(preimage.clone()),
        };
        let wrong: Option<WrongInvoice> = records.faults.wrong_invoice.take();
        let text = self.write(&request, 1, wrong);
        let payment_hash = preimage.payment_hash();
        let expires_at = self.clock.now() + u64::from(expiry_secs);
        let record = Incoming {
            payment_hash,
            preimage,
            text: text.clone(),
            amount_sat,
            received_sat: 0,
            expires_at,
            completed_at: None,
        };
        records.incoming.push(record);
        if std::mem::take(&mut records.faults.lose_invoice) {
            return Outcome::Cut;
        }
        Outcome::Object(json!({
            "amountSat": amount_sat,
            "paymentHash": payment_hash.to_string(),
            "serialized": text,
        }))
    }

    pub(super) fn incoming(&self, hash: &str) -> Outcome {
        let Ok(hash) = hash.parse::<PaymentHash>() else {
            return Outcome::Text(StatusCode::BAD_REQUEST, "paymentHash couldn't be converted to hex32");
        };
        let (records, now) = (self.lock(), self.clock.now());
        match records.incoming.iter().find(|record| record.payment_hash == hash) {
            Some(record) => Outcome::Object(record.json(now)),
            None => Outcome::Text(StatusCode::NOT_FOUND, "Not found"),
        }
    }

    /// Received payments, newest first.
    pub(super) fn list_incoming(&self, query: &HashMap<String, String>) -> Value {
        let number =
            |name: &str, absent| query.get(name).map_or(absent, |value| value.parse().expect("a number"));
        let (from, to) = (number("from", 0), number("to", u64::MAX));
        let (limit, offset) = (number("limit", 20), number("offset", 0));
        let (mut records, now) = (self.lock(), self.clock.now());
        records.looks += 1;
        let mut received: Vec<&Incoming> = records
            .incoming
            .iter()
            .filter(|record| record.completed_at.is_some_and(|at| (from..=to).contains(&at)))
            .collect();
        received.sort_by_key(|record| std::cmp::Reverse(record.completed_at));
        let page = received.into_iter().skip(place(offset)).take(place(limit));
        page.map(|record| record.json(now)).collect()
    }
}

impl Incoming {
    fn json(&self, now: u64) -> Value {
        let description = Invoice::parse(&self.text)
            .ok()
            .and_then(|invoice| invoice.description().map(|description| description.as_raw().to_owned()));
        let mut json = json!({
            "type": "incoming_payment",
            "subType": "lightning",
            "paymentHash": self.payment_hash.to_string(),
            // Also of an invoice that was not paid.
            "preimage": self.preimage.reveal_hex(),
            "description": description,
            "invoice": self.text,
            "isPaid": self.completed_at.is_some(),
            "isExpired": now > self.expires_at,
            "requestedSat": self.amount_sat,
            "receivedSat": self.received_sat,
            "fees": 0,
            "expiresAt": self.expires_at * 1_000,
            "createdAt": 0,
        });
        if let Some(completed_at) = self.completed_at {
            json["completedAt"] = completed_at.into();
        }
        json
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number).expect("a small number")
}
