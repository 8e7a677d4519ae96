//! LNbits' API, with a key and without.

use crate::refusal;
use http::{HeaderName, HeaderValue, StatusCode};
use l402::PaymentHash;
use l402_lightning::{OpenError, Settings};
use l402_node_http::{Answer, Door, DoorOptions, Fault, Fields, Place};
use serde_json::Value;
use std::time::Duration;

/// How long a question may take.
pub(crate) const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

const KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");

/// A wallet at LNbits.
#[derive(Debug)]
pub(crate) struct Service {
    keyed: Door,
    /// The same place, as a stranger sees it.
    keyless: Door,
}

/// What LNbits knows of a payment hash.
pub(crate) enum Record {
    /// The fields of the answer. `details` are there, so that the key is known to be good.
    Known(Fields),
    /// The wallet has no such payment. The key is known to be good.
    Unknown,
}

/// Why a question has no usable answer.
pub(crate) enum Problem {
    /// The way to LNbits or its answer is broken.
    Fault(Fault),
    /// LNbits does not know the key.
    Key,
    /// LNbits answered with an error.
    Status(Answer),
}

impl Service {
    /// Prepares the way; connects to nothing.
    pub(crate) fn new(settings: &Settings) -> Result<Self, OpenError> {
        let place = Place::from_setting(settings, "address")?;
        let form = || OpenError::Form { setting: "key", expected: "an API key of a wallet" };
        let key = settings.required_secret("key")?;
        let key = key.text().and_then(|key| HeaderValue::from_str(key).ok()).ok_or_else(form)?;
        let door = |credential| {
            let certificate = settings.file("certificate").map(Into::into);
            Door::new(DoorOptions { place: place.clone(), certificate, credential })
        };
        Ok(Self { keyed: door(Some((KEY_HEADER, key)))?, keyless: door(None)? })
    }

    /// Posts to `/api/v1/payments`, which makes an invoice or pays one. Never sent twice.
    pub(crate) async fn post_payment(&self, body: &Value, deadline: Duration) -> Result<Answer, Fault> {
        self.keyed.send(self.keyed.post_json("api/v1/payments", body), deadline).await
    }

    /// The wallet of the key. It has an `id` if the key is the admin key.
    pub(crate) async fn wallet(&self) -> Result<(Fields, Option<u64>), Problem> {
        let answer = self.get("api/v1/wallet").await?;
        Ok((granted(&answer)?, answer.date))
    }

    /// What LNbits knows of a payment hash, and its clock in Unix seconds.
    pub(crate) async fn record(&self, hash: PaymentHash) -> Result<(Record, Option<u64>), Problem> {
        let answer = self.get(&format!("api/v1/payments/{hash}")).await?;
        if answer.status == StatusCode::NOT_FOUND && !refusal::is_unknown_key(&answer) {
            // Strangers get the same answer: only a key that is good makes it one about its wallet.
            self.wallet().await?;
            return Ok((Record::Unknown, answer.date));
        }
        let fields = granted(&answer)?;
        match fields.get("details") {
            Some(_) => Ok((Record::Known(fields), answer.date)),
            None => Err(Problem::Key),
        }
    }

    /// What a stranger gets to know of a payment hash.
    pub(crate) async fn record_for_strangers(&self, hash: PaymentHash) -> Result<Fields, Problem> {
        let request = self.keyless.get(&format!("api/v1/payments/{hash}"));
        granted(&self.keyless.send(request, QUESTION_TIMEOUT).await?)
    }

    /// Every payment of the wallet with this hash that has not failed: one that it received, one that it made.
    pub(crate) async fn payments(&self, hash: PaymentHash) -> Result<Vec<Fields>, Problem> {
        let answer = self.get(&format!("api/v1/payments?payment_hash={hash}")).await?;
        if !answer.status.is_success() {
            return Err(Problem::Status(answer));
        }
        match answer.json()? {
            Value::Array(payments) => Ok(payments.into_iter().map(Fields::of).collect::<Result<_, _>>()?),
            _ => Err(Problem::Fault(Fault::Garbled("a list of payments"))),
        }
    }

    /// Most that LNbits would pay for routing this invoice, with its own service fee.
    pub(crate) async fn fee_reserve(&self, invoice: &str) -> Result<(Fields, Option<u64>), Problem> {
        let answer = self.get(&format!("api/v1/payments/fee-reserve?invoice={invoice}")).await?;
        Ok((granted(&answer)?, answer.date))
    }

    async fn get(&self, path: &str) -> Result<Answer, Problem> {
        Ok(self.keyed.send(self.keyed.get(path), QUESTION_TIMEOUT).await?)
    }
}

fn granted(answer: &Answer) -> Result<Fields, Problem> {
    if answer.status.is_success() { Ok(answer.fields()?) } else { Err(Problem::Status(answer.clone())) }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
