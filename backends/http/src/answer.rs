//! Answers, read strictly: each field by its name, so that an error can say which one was wrong.

use crate::Fault;
use bytes::Bytes;
use http::StatusCode;
use l402::{PaymentHash, Preimage};
use l402_lightning::{Invoice, InvoicerError, MilliSat};
use serde_json::Value;

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The `Date` header, in Unix seconds: the node's clock.
    pub date: Option<u64>,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as a JSON value.
    pub fn json(&self) -> Result<Value, Fault> {
        serde_json::from_slice(&self.body).map_err(|_| Fault::Garbled("JSON"))
    }

    /// The body as the fields of a JSON object.
    pub fn fields(&self) -> Result<Fields, Fault> {
        Fields::of(self.json()?)
    }
}

/// The fields of a JSON object.
#[derive(Clone, Debug)]
pub struct Fields(serde_json::Map<String, Value>);

impl Fields {
    /// The fields of `value`, which has to be an object.
    pub fn of(value: Value) -> Result<Self, Fault> {
        match value {
            Value::Object(fields) => Ok(Self(fields)),
            _ => Err(Fault::Garbled("a JSON object")),
        }
    }

    /// A field as it is; `None` if it is absent or `null`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text.
    pub fn text(&self, name: &'static str) -> Result<&str, Fault> {
        self.get(name).and_then(Value::as_str).ok_or(Fault::Garbled(name))
    }

    /// A flag.
    pub fn flag(&self, name: &'static str) -> Result<bool, Fault> {
        self.get(name).and_then(Value::as_bool).ok_or(Fault::Garbled(name))
    }

    /// A whole number from 0, as a number or in quotes.
    pub fn number(&self, name: &'static str) -> Result<u64, Fault> {
        let value = self.get(name).ok_or(Fault::Garbled(name))?;
        let number = match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        };
        number.ok_or(Fault::Garbled(name))
    }

    /// An amount in millisatoshis, as a number or in quotes.
    pub fn msat(&self, name: &'static str) -> Result<MilliSat, Fault> {
        self.number(name).map(MilliSat::from_msat)
    }

    /// A payment hash in hex.
    pub fn payment_hash(&self, name: &'static str) -> Result<PaymentHash, Fault> {
        self.text(name)?.parse().map_err(|_| Fault::Garbled(name))
    }

    /// A preimage in hex; `None` if it is absent, empty or all zeros, as services write "none".
    pub fn preimage(&self, name: &'static str) -> Result<Option<Preimage>, Fault> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let text = value.as_str().ok_or(Fault::Garbled(name))?;
        if text.bytes().all(|digit| digit == b'0') {
            return Ok(None);
        }
        Preimage::from_hex(text.as_bytes()).map(Some).map_err(|_| Fault::Garbled(name))
    }

    /// An invoice; its signature is checked.
    pub fn invoice(&self, name: &'static str) -> Result<Invoice, InvoicerError> {
        Ok(Invoice::parse(self.text(name)?)?)
    }

    /// The fields of an object in this one.
    pub fn object(&self, name: &'static str) -> Result<Self, Fault> {
        let value = self.get(name).cloned().ok_or(Fault::Garbled(name))?;
        Self::of(value).map_err(|_| Fault::Garbled(name))
    }

    /// The objects of a list in this one.
    pub fn objects(&self, name: &'static str) -> Result<Vec<Self>, Fault> {
        let items = self.get(name).and_then(Value::as_array).ok_or(Fault::Garbled(name))?;
        items.iter().map(|item| Self::of(item.clone()).map_err(|_| Fault::Garbled(name))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_wrong_field_is_named() {
        let fields =
            Fields::of(json!({ "a": "12", "b": -1, "c": 1.5, "d": null, "e": [1], "p": "00" })).unwrap();
        assert_eq!(fields.number("a"), Ok(12));
        for wrong in ["b", "c", "d", "e", "f"] {
            assert!(matches!(fields.number(wrong), Err(Fault::Garbled(name)) if name == wrong));
        }
        assert!(matches!(fields.objects("e"), Err(Fault::Garbled("e"))));
        assert!(fields.preimage("p").unwrap().is_none());
        assert!(matches!(fields.preimage("a"), Err(Fault::Garbled("a"))));
        assert!(matches!(Fields::of(json!([])), Err(Fault::Garbled(_))));
    }
}
