//! The methods of who is paid: `invoice`, `listinvoices`, `delinvoice`, `waitanyinvoice`.

use super::{
    node::{ClnNode, Ending, Failure, InvoiceRecord, numbered},
    params::{hash, invalid, number, required, text},
};
use l402::Preimage;
use l402_lightning::{InvoiceRequest, MilliSat};
use serde_json::{Value, json};
use std::{pin::pin, time::Duration};

impl ClnNode {
    pub(super) fn invoice(&self, params: &Value) -> Result<Value, Ending> {
        let amount = required(params, "amount_msat")?.as_u64().ok_or_else(|| invalid("amount_msat"))?;
        let label = text(params, "label")?;
        let preimage = match params.get("preimage") {
            Some(_) => {
                Preimage::from_hex(text(params, "preimage")?.as_bytes()).map_err(|_| invalid("preimage"))?
            }
            None => numbered(0x1e, self.lock().made as u64),
        };
        let request = InvoiceRequest {
            amount: MilliSat::from_msat(amount),
            expiry_secs: u32::try_from(number(params, "expiry")?).map_err(|_| invalid("expiry"))?,
            description: text(params, "description")?,
            preimage: Some(preimage.clone()),
        };
        let payment_hash = preimage.payment_hash();
        let mut records = self.lock();
        if records.invoices.iter().any(|record| record.label == label) {
            return Err(Ending::Failed((900, format!("Duplicate label '{label}'"))));
        }
        if records.invoices.iter().any(|record| record.payment_hash == payment_hash) {
            return Err(Ending::Failed((901, "preimage already used".to_owned())));
        }
        let text = self.write(&request, 1, records.faults.wrong_invoice.take());
        let expires_at = self.clock.now() + u64::from(request.expiry_secs);
        records.made += 1;
        let record = InvoiceRecord {
            label,
            payment_hash,
            preimage,
            text: text.clone(),
            amount,
            expires_at,
            paid: None,
        };
        records.invoices.push(record);
        if std::mem::take(&mut records.faults.lose_invoice) {
            return Err(Ending::Cut);
        }
        Ok(json!({
            "payment_hash": payment_hash.to_string(),
            "expires_at": expires_at,
            "bolt11": text,
            "created_index": records.made,
            "warning_capacity": "Insufficient incoming channel capacity to pay invoice",
        }))
    }

    pub(super) fn list_invoices(&self, params: &Value) -> Result<Value, Failure> {
        let payment_hash = hash(params)?;
        let (records, now) = (self.lock(), self.clock.now());
        let found = records.invoices.iter().filter(|record| record.payment_hash == payment_hash);
        Ok(json!({ "invoices": found.map(|record| record.json(now)).collect::<Vec<_>>() }))
    }

    pub(super) fn delete(&self, params: &Value) -> Result<Value, Failure> {
        let (label, status, now) = (text(params, "label")?, text(params, "status")?, self.clock.now());
        let mut records = self.lock();
        let place = records.invoices.iter().position(|record| record.label == label);
        let place = place.ok_or((905, "Unknown invoice".to_owned()))?;
        if records.invoices[place].status(now) != status {
            return Err((
                906,
                format!("Invoice status is {} not {status}", records.invoices[place].status(now)),
            ));
        }
        Ok(records.invoices.remove(place).json(now))
    }

    pub(super) async fn wait_any(&self, params: &Value) -> Result<Value, Ending> {
        let after = number(params, "lastpay_index")?;
        let deadline = tokio::time::sleep(Duration::from_secs(number(params, "timeout")?));
        let (mut deadline, mut news) = (pin!(deadline), self.news.subscribe());
        loop {
            {
                let (mut records, now) = (self.lock(), self.clock.now());
                if std::mem::take(&mut records.faults.cut_feed) {
                    return Err(Ending::Cut);
                }
                let index = |record: &&InvoiceRecord| record.paid.map_or(0, |payment| payment.index);
                let later = records.invoices.iter().filter(|record| index(record) > after);
                if let Some(record) = later.min_by_key(index) {
                    return Ok(record.json(now));
                }
            }
            tokio::select! {
                changed = news.changed() => changed.expect("the sender lives"),
                () = &mut deadline => {
                    return Err(Ending::Failed((904, "Timed out".to_owned())));
                }
            }
        }
    }
}

impl InvoiceRecord {
    pub(super) fn status(&self, now: u64) -> &'static str {
        match self.paid {
            Some(_) => "paid",
            None if now >= self.expires_at => "expired",
            None => "unpaid",
        }
    }

    pub(super) fn json(&self, now: u64) -> Value {
        let mut json = json!({
            "label": self.label,
            "bolt11": self.text,
            "payment_hash": self.payment_hash.to_string(),
            "status": self.status(now),
            "amount_msat": self.amount,
            "expires_at": self.expires_at,
            "created_index": 1,
        });
        if let Some(payment) = self.paid {
            json["pay_index"] = payment.index.into();
            json["paid_at"] = payment.at.into();
            json["amount_received_msat"] = payment.amount.into();
        }
        json
    }
}
