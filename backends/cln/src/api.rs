//! clnrest: `POST /v1/<method>` with a JSON object, the rune in the header `Rune`.
//!
//! A result comes with status 201. A refusal comes with 401 or 403 (the rune), 404 (no such method) or 500 (the method
//! failed), and the error object of lightningd's JSON-RPC: `code`, `message`.

use crate::refusal::Refusal;
use http::{HeaderName, HeaderValue};
use l402_lightning::{OpenError, Settings};
use l402_node_http::{Answer, Door, DoorOptions, Fields, Place};
use serde_json::Value;
use std::{path::Path, time::Duration};

/// Longest wait for the answer to a question; they are answered from the node's own records.
pub(crate) const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// A method of lightningd.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    path: &'static str,
    /// What a rune calls the right to it.
    pub(crate) permission: &'static str,
}

/// <https://docs.corelightning.org/reference/invoice>
pub(crate) const INVOICE: Method = Method { path: "v1/invoice", permission: "method=invoice" };
/// <https://docs.corelightning.org/reference/listinvoices>
pub(crate) const LIST_INVOICES: Method =
    Method { path: "v1/listinvoices", permission: "method=listinvoices" };
/// <https://docs.corelightning.org/reference/waitanyinvoice>
pub(crate) const WAIT_ANY_INVOICE: Method =
    Method { path: "v1/waitanyinvoice", permission: "method=waitanyinvoice" };
/// <https://docs.corelightning.org/reference/delinvoice>
pub(crate) const DEL_INVOICE: Method = Method { path: "v1/delinvoice", permission: "method=delinvoice" };
/// <https://docs.corelightning.org/reference/getinfo>
pub(crate) const GET_INFO: Method = Method { path: "v1/getinfo", permission: "method=getinfo" };
/// <https://docs.corelightning.org/reference/xpay>
pub(crate) const XPAY: Method = Method { path: "v1/xpay", permission: "method=xpay (for this amount)" };
/// <https://docs.corelightning.org/reference/listpays>
pub(crate) const LIST_PAYS: Method = Method { path: "v1/listpays", permission: "method=listpays" };

/// A node behind clnrest.
#[derive(Debug)]
pub(crate) struct Api {
    door: Door,
}

/// What a method returned.
#[derive(Debug)]
pub(crate) struct Returned {
    /// The result.
    pub(crate) fields: Fields,
    /// The node's clock, in Unix seconds.
    pub(crate) now: Option<u64>,
}

impl Api {
    /// Prepares the way to the node that the settings name; connects to nothing.
    pub(crate) fn new(settings: &Settings) -> Result<Self, OpenError> {
        let place = Place::from_setting(settings, "address")?;
        let rune = settings.required_secret("rune")?;
        let form = || OpenError::Form { setting: "rune", expected: "a rune, as `createrune` prints it" };
        let rune = HeaderValue::from_str(rune.text().ok_or_else(form)?).map_err(|_| form())?;
        let door = Door::new(DoorOptions {
            place,
            certificate: settings.file("certificate").map(Path::to_owned),
            credential: Some((HeaderName::from_static("rune"), rune)),
        })?;
        Ok(Self { door })
    }

    /// Calls a method once.
    pub(crate) async fn call(
        &self,
        method: Method,
        params: &Value,
        deadline: Duration,
    ) -> Result<Returned, Refusal> {
        let answer = self.door.send(self.door.post_json(method.path, params), deadline).await?;
        if answer.status.is_success() {
            return Ok(Returned { fields: answer.fields()?, now: answer.date });
        }
        Err(refusal(method, &answer))
    }

    /// Calls a method that is answered at once.
    pub(crate) async fn ask(&self, method: Method, params: &Value) -> Result<Returned, Refusal> {
        self.call(method, params, QUESTION_TIMEOUT).await
    }
}

/// What an answer that is no success says.
fn refusal(method: Method, answer: &Answer) -> Refusal {
    let fields = match answer.fields() {
        Ok(fields) => fields,
        Err(fault) => return fault.into(),
    };
    let code = fields.get("code").and_then(Value::as_i64);
    let message = fields.text("message").unwrap_or_default();
    Refusal::of(method, answer.status, code, message)
}
