//! What a gateway adds to an upstream's reply.

use super::Gate;
use crate::{
    Admission,
    metering::{BALANCE, COST, Tab},
};
use http::{HeaderMap, HeaderValue, header};

impl Gate {
    /// Completes an upstream's reply: nothing that was paid for may be kept by a shared cache, and a page that may call
    /// the service may read its answer.
    pub fn dress_reply(&self, admission: &Admission, reply: &mut HeaderMap) {
        if admission.permit().is_some() {
            make_private(reply);
        }
        reply.remove(BALANCE);
        let (balance, cost) = match (admission.bill(), admission.tab()) {
            (Some(bill), _) => (Some(bill.balance), Some(bill.charged)),
            (None, tab) => (tab.map(Tab::balance), None),
        };
        reply.extend(balance.map(|units| (BALANCE, HeaderValue::from(units.get()))));
        reply.extend(cost.map(|units| (COST, HeaderValue::from(units.get()))));
        let service = self.table.services().get(admission.service_id());
        if let Some(cors) = service.and_then(|service| service.spec().cors.as_ref())
            && !reply.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
        {
            cors.allow(admission.origin.as_ref(), reply);
        }
    }
}

/// RFC 9111 section 5.2.2: `private` unless the upstream says that or stricter.
fn make_private(reply: &mut HeaderMap) {
    const PRIVATE: HeaderValue = HeaderValue::from_static("private");
    if !reply.contains_key(header::CACHE_CONTROL) {
        reply.insert(header::CACHE_CONTROL, PRIVATE);
        return;
    }
    let lines: Vec<&str> =
        reply.get_all(header::CACHE_CONTROL).iter().filter_map(|v| v.to_str().ok()).collect();
    let directives = lines.iter().flat_map(|line| line.split(',')).map(str::trim).filter(|d| !d.is_empty());
    let name = |directive: &str| directive.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
    let mut kept = Vec::new();
    let mut strict = false;
    for directive in directives {
        match name(directive).as_str() {
            "private" if !directive.contains('=') => strict = true,
            "no-store" => strict = true,
            "public" | "s-maxage" => continue,
            _ => {}
        }
        kept.push(directive);
    }
    if !strict {
        kept.push("private");
    }
    let value = HeaderValue::try_from(kept.join(", ")).unwrap_or(PRIVATE);
    reply.insert(header::CACHE_CONTROL, value);
}
