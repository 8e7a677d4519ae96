//! The wallet: requests and results of NIP-47.

use crate::{
    envelope::Envelope,
    line::{Line, Link},
    record::Record,
    trouble::{Code, Refusal, Trouble},
    uri::WalletUri,
};
use l402::PaymentHash;
use l402_lightning::{Network, OpenError, Settings};
use l402_node_http::{Fault, Fields};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// How long a question may take once there is a connection.
pub(crate) const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) const GET_INFO: &str = "get_info";
pub(crate) const MAKE_INVOICE: &str = "make_invoice";
pub(crate) const LOOKUP_INVOICE: &str = "lookup_invoice";
pub(crate) const LIST_TRANSACTIONS: &str = "list_transactions";
pub(crate) const PAY_INVOICE: &str = "pay_invoice";

/// A wallet.
pub(crate) struct Wallet {
    line: Line,
    envelope: Arc<Envelope>,
}

/// The result of a request.
#[derive(Debug)]
pub(crate) struct Returned {
    /// Its fields.
    pub(crate) fields: Fields,
    /// When the wallet wrote it, in Unix seconds by its clock.
    pub(crate) written_at: u64,
}

/// What a wallet says of itself and of this connection.
#[derive(Debug)]
pub(crate) struct Info {
    methods: Vec<String>,
    /// The network, where it names one.
    pub(crate) network: Option<Network>,
    /// Its clock, in Unix seconds.
    pub(crate) clock: u64,
}

impl Wallet {
    /// Reads the settings; connects to nothing. With `hears_news` notifications are listened to.
    pub(crate) fn new(settings: &Settings, hears_news: bool) -> Result<Self, OpenError> {
        let uri = WalletUri::from_settings(settings)?;
        let envelope = Arc::new(Envelope::new(&uri));
        Ok(Self { line: Line::new(uri, Arc::clone(&envelope), hears_news)?, envelope })
    }

    /// The connection, made if there is none.
    pub(crate) async fn link(&self) -> Result<Link, Fault> {
        self.line.link().await
    }

    /// Asks something that changes no money.
    pub(crate) async fn ask(&self, method: &'static str, params: &Value) -> Result<Returned, Trouble> {
        self.request(method, params, None, QUESTION_TIMEOUT).await
    }

    /// Sends a request once. After `expires_at`, in Unix seconds, the wallet ignores it. Only [`Fault::NotConnected`]
    /// and [`Fault::Certificate`] mean that it was not sent.
    pub(crate) async fn request(
        &self,
        method: &'static str,
        params: &Value,
        expires_at: Option<u64>,
        deadline: Duration,
    ) -> Result<Returned, Trouble> {
        let link = self.link().await?;
        let text = json!({ "method": method, "params": params }).to_string();
        let event = self.envelope.seal(link.cipher, &text, expires_at).ok_or(Fault::NotConnected)?;
        let answer = link.ask(method, event, deadline).await;
        if matches!(answer, Err(Trouble::Fault(Fault::Timeout))) {
            self.line.give_up(&link).await;
        }
        let answer = answer?;
        Ok(Returned { fields: result(method, &answer.text)?, written_at: answer.written_at })
    }

    /// What the wallet says of itself.
    pub(crate) async fn info(&self) -> Result<Info, Trouble> {
        let Returned { fields, written_at } = self.ask(GET_INFO, &json!({})).await?;
        let listed = fields.get("methods").and_then(Value::as_array).ok_or(Fault::Garbled("methods"))?;
        let methods: Option<Vec<String>> =
            listed.iter().map(|method| method.as_str().map(str::to_owned)).collect();
        let network = fields.get("network").and_then(Value::as_str).and_then(|name| name.parse().ok());
        Ok(Info { methods: methods.ok_or(Fault::Garbled("methods"))?, network, clock: written_at })
    }

    /// The invoice or payment with this hash; `None` if the wallet knows none. With it the wallet's clock.
    pub(crate) async fn find(&self, payment_hash: PaymentHash) -> Result<Option<(Record, u64)>, Trouble> {
        let params = json!({ "payment_hash": payment_hash.to_string() });
        let Returned { fields, written_at } = match self.ask(LOOKUP_INVOICE, &params).await {
            Err(Trouble::Refused(Refusal { code: Code::NotFound, .. })) => return Ok(None),
            answer => answer?,
        };
        let record = Record::new(fields);
        if record.payment_hash()? != payment_hash {
            return Err(Fault::Garbled("payment_hash").into());
        }
        Ok(Some((record, written_at)))
    }
}

impl Info {
    /// The first of these methods that the connection lacks.
    pub(crate) fn lacks(&self, needed: [&'static str; 2]) -> Option<&'static str> {
        needed.into_iter().find(|method| !self.methods.iter().any(|known| known == method))
    }
}

/// The result in an answer, or the error in it.
fn result(method: &'static str, text: &str) -> Result<Fields, Trouble> {
    let answer = Fields::of(serde_json::from_str(text).map_err(|_| Fault::Garbled("JSON"))?)?;
    if answer.get("error").is_some() {
        let error = answer.object("error")?;
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
        return Err(Trouble::Refused(Refusal::of_wallet(method, error.text("code")?, message)));
    }
    if answer.text("result_type")? != method {
        return Err(Fault::Garbled("result_type").into());
    }
    Ok(answer.object("result")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_result_or_an_error_and_names_what_is_wrong() {
        let read = |text: &str| result(PAY_INVOICE, text);
        let right = read(r#"{"result_type":"pay_invoice","error":null,"result":{"preimage":"00"}}"#).unwrap();
        assert_eq!(right.text("preimage"), Ok("00"));
        let refused =
            read(r#"{"result_type":"pay_invoice","error":{"code":"OTHER","message":"no"},"result":null}"#);
        let Err(Trouble::Refused(refusal)) = refused else { panic!("{refused:?}") };
        assert_eq!((refusal.code, refusal.message.as_raw()), (Code::Other, "OTHER: no"));
        for (text, field) in [
            ("", "JSON"),
            (r#"{"result_type":"pay_invoice","result":{"#, "JSON"),
            ("[]", "a JSON object"),
            (r#"{"result":{}}"#, "result_type"),
            (r#"{"result_type":"get_info","result":{}}"#, "result_type"),
            (r#"{"result_type":"pay_invoice","result":[]}"#, "result"),
            (r#"{"result_type":"pay_invoice"}"#, "result"),
            (r#"{"result_type":"pay_invoice","error":"no"}"#, "error"),
            (r#"{"result_type":"pay_invoice","error":{}}"#, "code"),
        ] {
            let answer = read(text);
            assert!(matches!(answer, Err(Trouble::Fault(Fault::Garbled(name))) if name == field), "{text}");
        }
    }
}
