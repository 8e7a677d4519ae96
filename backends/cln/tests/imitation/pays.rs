//! The methods of who pays: `xpay`, `listpays`.

use super::{
    node::{ClnNode, Ending, Failure, NoProof, Pay, Records},
    params::{hash, invalid, number, text},
};
use l402::{PaymentHash, Preimage};
use l402_lightning::{Invoice, Network};
use serde_json::{Value, json};

/// What a payment costs on top where nothing else is said.
const FEE_MSAT: u64 = 7;

impl ClnNode {
    /// Pays, as `xpay` does: a payment goes on whether or not somebody waits for its end.
    pub(super) async fn xpay(&self, params: &Value) -> Result<Value, Ending> {
        if params.get("partial_msat").is_some() {
            return Err(Ending::Failed((-32602, "unexpected partial_msat".to_owned())));
        }
        let invoice = Invoice::parse(&text(params, "invstring")?).map_err(|_| invalid("invstring"))?;
        let (fee_max, _) = (number(params, "maxfee")?, number(params, "retry_for")?);
        let payment_hash = invoice.payment_hash();
        let (preimage, early) = self.begin(&invoice, fee_max)?;
        if let Some(code) = early {
            return Err(Ending::Failed((code, "Failed after 1 attempts.".to_owned())));
        }
        let mut news = self.news.subscribe();
        loop {
            if let Some(ending) = self.ending(payment_hash, &preimage) {
                return ending;
            }
            news.changed().await.expect("the sender lives");
        }
    }

    /// Begins a payment: the preimage it will reveal, and the error to answer too early.
    fn begin(&self, invoice: &Invoice, fee_max: u64) -> Result<(Preimage, Option<i64>), Ending> {
        let (now, payment_hash) = (self.clock.now(), invoice.payment_hash());
        let amount = invoice.amount().ok_or_else(|| invalid("amount_msat"))?.as_msat();
        if invoice.network() != Network::Regtest {
            return Err(invalid("invstring").into());
        }
        if invoice.is_expired(now) {
            return Err(Ending::Failed((207, "Invoice expired 1 seconds ago".to_owned())));
        }
        let mut records = self.lock();
        let fee = records.faults.fee_above.map_or(FEE_MSAT, |limit| limit.as_msat() + 1);
        if records.faults.no_route || fee > fee_max {
            return Err(Ending::Failed((205, "Failed: We could not find a usable set of paths.".to_owned())));
        }
        let pays = records.pays.entry(payment_hash).or_default();
        for pay in pays.iter() {
            match pay.status {
                "complete" => return Err(Ending::Failed((219, "Already paid this invoice".to_owned()))),
                "pending" => {
                    let words = "Unexpected injectpaymentonion error 200: payment in progress";
                    return Err(Ending::Failed((-3, words.to_owned())));
                }
                _ => {}
            }
        }
        pays.push(Pay { status: "pending", began_at: now, amount, fee });
        let last = pays.len() - 1;
        let Some(preimage) = records.strangers.get(&payment_hash).cloned() else {
            set(&mut records, payment_hash, last, "failed");
            return Err(Ending::Failed((203, "Destination said it doesn't know invoice".to_owned())));
        };
        let early = records.faults.early_error.take();
        if !std::mem::take(&mut records.faults.hold) && early.is_none() {
            set(&mut records, payment_hash, last, "complete");
        }
        Ok((preimage, early))
    }

    /// The answer to a payment that succeeded; `None` while it is on its way.
    fn ending(&self, payment_hash: PaymentHash, preimage: &Preimage) -> Option<Result<Value, Ending>> {
        let mut records = self.lock();
        let pay = records.pays.get(&payment_hash)?.iter().find(|pay| pay.status == "complete")?.clone();
        if std::mem::take(&mut records.faults.lose_payment) {
            return Some(Err(Ending::Cut));
        }
        let mut answer = json!({
            "payment_preimage": preimage.reveal_hex(),
            "failed_parts": 0,
            "successful_parts": 1,
            "amount_msat": pay.amount,
            "amount_sent_msat": pay.amount + pay.fee,
        });
        match records.faults.proof.take() {
            None => {}
            Some(NoProof::Missing) => answer["payment_preimage"] = Value::Null,
            Some(NoProof::Another) => answer["payment_preimage"] = "08".repeat(32).into(),
        }
        Some(Ok(answer))
    }

    pub(super) fn list_pays(&self, params: &Value) -> Result<Value, Failure> {
        let payment_hash = hash(params)?;
        let records = self.lock();
        let shown = records.strangers.get(&payment_hash).map(Preimage::reveal_hex);
        let pays = records.pays.get(&payment_hash).into_iter().flatten().map(|pay| {
            let mut json = json!({
                "payment_hash": payment_hash.to_string(),
                "status": pay.status,
                "created_at": pay.began_at,
                "created_index": 1,
                "amount_sent_msat": pay.amount + pay.fee,
            });
            if pay.status == "complete" {
                json["amount_msat"] = pay.amount.into();
                json["preimage"] = shown.clone().into();
            }
            json
        });
        Ok(json!({ "pays": pays.collect::<Vec<_>>() }))
    }
}

fn set(records: &mut Records, payment_hash: PaymentHash, place: usize, status: &'static str) {
    if let Some(pay) = records.pays.get_mut(&payment_hash).and_then(|pays| pays.get_mut(place)) {
        pay.status = status;
    }
}
