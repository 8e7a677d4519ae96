//! Stands before a service, counts its invoices, and changes what it says.

use crate::{
    front::{Asked, Behind, Reply},
    scribe::{Description, Draft},
};
use l402_lightning::{BoxFuture, Invoice, MilliSat, Network};
use serde_json::{Value, json};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

/// What is changed in the next answer that has it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lie {
    /// An invoice's field.
    Invoice(fn(&mut Draft)),
    /// The preimage of a payment.
    Preimage(Option<&'static str>),
}

/// The service, and what it is made to say.
pub(crate) struct Liar<W> {
    behind: Arc<W>,
    lie: Mutex<Option<Lie>>,
    invoices: AtomicUsize,
}

impl<W> Liar<W> {
    pub(crate) fn new(behind: Arc<W>) -> Self {
        Self { behind, lie: Mutex::new(None), invoices: AtomicUsize::new(0) }
    }

    pub(crate) fn set(&self, lie: Option<Lie>) {
        *self.lie.lock().expect("a sound lock") = lie;
    }

    /// Invoices that were made through this line, without those of the self-test.
    pub(crate) fn invoices(&self) -> usize {
        self.invoices.load(Ordering::Relaxed)
    }

    fn spoil(&self, asked: &Value, answer: &mut Value) {
        let mut lie = self.lie.lock().expect("a sound lock");
        match (*lie, asked["out"].as_bool()) {
            (Some(Lie::Invoice(change)), Some(false)) => {
                let mut draft = draft(answer["bolt11"].as_str().expect("an invoice"));
                change(&mut draft);
                answer["bolt11"] = json!(draft.write());
            }
            (Some(Lie::Preimage(preimage)), Some(true)) => answer["preimage"] = json!(preimage),
            _ => return,
        }
        *lie = None;
    }
}

impl<W: Behind> Behind for Liar<W> {
    fn answer(&self, asked: Asked) -> BoxFuture<'_, Reply> {
        Box::pin(async move {
            let request: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
            let of_test = is_self_test(&asked.body);
            let mut reply = self.behind.answer(asked).await;
            if reply.status == 201 && !of_test {
                let mut answer = serde_json::from_slice(&reply.body).expect("JSON");
                self.invoices.fetch_add(usize::from(request["out"] == json!(false)), Ordering::Relaxed);
                self.spoil(&request, &mut answer);
                reply.body = answer.to_string().into_bytes();
            }
            reply
        })
    }
}

/// Whether a request is for the invoice that is never sold.
pub(crate) fn is_self_test(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("L402 self-test")
}

fn draft(text: &str) -> Draft {
    let invoice = Invoice::parse(text).expect("an invoice");
    Draft {
        network: invoice.network(),
        amount: invoice.amount().expect("an amount"),
        payment_hash: invoice.payment_hash(),
        description: Description::Text(invoice.description().expect("words").as_raw().to_owned()),
        created_at: invoice.created_at(),
        expiry_secs: invoice.expiry_secs(),
    }
}

/// Makes an invoice one for another network.
pub(crate) fn other_network(draft: &mut Draft) {
    draft.network = Network::Signet;
}

/// Makes an invoice one for another amount.
pub(crate) fn other_amount(draft: &mut Draft) {
    draft.amount = MilliSat::from_msat(1_000);
}
