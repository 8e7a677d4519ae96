//! Parameters, read as strictly as lightningd reads them.

use super::node::Failure;
use l402::PaymentHash;
use serde_json::Value;

pub(super) fn invalid(name: &str) -> Failure {
    (-32602, format!("{name}: should be something else"))
}

pub(super) fn required<'a>(params: &'a Value, name: &str) -> Result<&'a Value, Failure> {
    params.get(name).ok_or_else(|| (-32602, format!("missing required parameter: {name}")))
}

pub(super) fn text(params: &Value, name: &str) -> Result<String, Failure> {
    Ok(required(params, name)?.as_str().ok_or_else(|| invalid(name))?.to_owned())
}

pub(super) fn number(params: &Value, name: &str) -> Result<u64, Failure> {
    required(params, name)?.as_u64().ok_or_else(|| invalid(name))
}

pub(super) fn hash(params: &Value) -> Result<PaymentHash, Failure> {
    text(params, "payment_hash")?.parse().map_err(|_| invalid("payment_hash"))
}
