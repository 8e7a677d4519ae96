//! The first document: what a service takes, and where it is asked for invoices (LUD-06).

use crate::sites::Sites;
use l402_lightning::{Invoice, InvoicerError, MilliSat, Mismatch, Network};
use l402_node_http::Fields;
use reqwest::Url;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// What a service offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    callback: Url,
    /// The smallest amount that it takes.
    pub(crate) least: MilliSat,
    most: MilliSat,
    /// What every invoice has to commit to.
    metadata_hash: [u8; 32],
    /// Most characters of a comment (LUD-12); 0 where it takes none.
    comment_chars_max: u64,
}

impl Offer {
    /// Reads the document.
    pub(crate) fn read(fields: &Fields, sites: &Sites) -> Result<Self, InvoicerError> {
        if fields.text("tag")? != "payRequest" {
            return Err(InvoicerError::Garbled { field: "tag" });
        }
        let callback = sites.admit(fields.text("callback")?).ok_or(InvoicerError::Garbled {
            field: "callback (https, at the address's host or one that `allow_host` names)",
        })?;
        let (least, most) = (fields.msat("minSendable")?, fields.msat("maxSendable")?);
        // LUD-06: the least is at least 1, and at most the most.
        if least == MilliSat::ZERO || least > most {
            return Err(InvoicerError::Garbled { field: "minSendable" });
        }
        let metadata = fields.text("metadata")?;
        if !has_plain_text(metadata) {
            return Err(InvoicerError::Garbled { field: "metadata" });
        }
        let comment_chars_max = match fields.get("commentAllowed") {
            None => 0,
            Some(_) => fields.number("commentAllowed")?,
        };
        let metadata_hash = Sha256::digest(metadata.as_bytes()).into();
        Ok(Self { callback, least, most, metadata_hash, comment_chars_max })
    }

    /// Whether it takes this amount.
    pub(crate) fn takes(&self, amount: MilliSat) -> bool {
        (self.least..=self.most).contains(&amount)
    }

    /// Where an invoice for this amount is asked for. The comment is for the payee's books and goes along where it fits.
    pub(crate) fn question(&self, amount: MilliSat, comment: &str) -> Url {
        let mut url = self.callback.clone();
        url.query_pairs_mut().append_pair("amount", &amount.as_msat().to_string());
        let fits = u64::try_from(comment.chars().count()).is_ok_and(|chars| chars <= self.comment_chars_max);
        if fits && !comment.is_empty() {
            url.query_pairs_mut().append_pair("comment", comment);
        }
        url
    }

    /// Whether the invoice is one of this offer for this amount: the service vouches for what it is for with the hash of
    /// its metadata (LUD-06 step 6).
    pub(crate) fn check(
        &self,
        invoice: &Invoice,
        amount: MilliSat,
        network: Network,
    ) -> Result<(), Mismatch> {
        if invoice.network() != network {
            return Err(Mismatch::Network { expected: network, found: invoice.network() });
        }
        if invoice.amount() != Some(amount) {
            return Err(Mismatch::Amount { expected: amount, found: invoice.amount() });
        }
        if invoice.description_hash() != Some(&self.metadata_hash) {
            return Err(Mismatch::Description);
        }
        Ok(())
    }
}

/// LUD-06: metadata is a list of lists that begin with a type; one is `text/plain`.
fn has_plain_text(metadata: &str) -> bool {
    let Ok(Value::Array(entries)) = serde_json::from_str(metadata) else { return false };
    let kind = |entry: &Value| entry.get(0).and_then(Value::as_str).map(str::to_owned);
    let kinds: Option<Vec<String>> = entries.iter().map(kind).collect();
    kinds.is_some_and(|kinds| kinds.iter().filter(|kind| *kind == "text/plain").count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(change: impl FnOnce(&mut Value)) -> Result<Offer, InvoicerError> {
        let mut document = json!({
            "tag": "payRequest",
            "callback": "https://example.com/pay?shop=1",
            "minSendable": 1_000,
            "maxSendable": 1_000_000_000,
            "metadata": "[[\"text/plain\",\"Weather\"],[\"text/identifier\",\"shop@example.com\"]]",
            "commentAllowed": 12,
        });
        change(&mut document);
        let sites = Sites::of(&Url::parse("https://example.com/").unwrap(), None, false).unwrap();
        Offer::read(&Fields::of(document).unwrap(), &sites)
    }

    #[test]
    fn amounts_are_kept_within_the_range_and_added_to_the_callback() {
        let offer = read(|_| {}).unwrap();
        assert!(offer.takes(MilliSat::from_msat(1_000)) && offer.takes(MilliSat::from_msat(1_000_000_000)));
        assert!(!offer.takes(MilliSat::from_msat(999)) && !offer.takes(MilliSat::from_msat(1_000_000_001)));
        let question = |comment| offer.question(MilliSat::from_msat(21_000), comment).to_string();
        assert_eq!(
            question("L402 weather"),
            "https://example.com/pay?shop=1&amount=21000&comment=L402+weather"
        );
        assert_eq!(question("L402 weather."), "https://example.com/pay?shop=1&amount=21000");
        assert_eq!(question(""), "https://example.com/pay?shop=1&amount=21000");
    }

    #[test]
    fn a_document_that_is_wrong_names_the_field() {
        let wrong: [(&str, Value); 15] = [
            ("tag", json!("withdrawRequest")),
            ("tag", json!(null)),
            ("callback", json!("https://evil.example/pay")),
            ("callback", json!("http://example.com/pay")),
            ("callback", json!(7)),
            ("minSendable", json!(0)),
            ("minSendable", json!(-1)),
            ("minSendable", json!(1_000_000_001)),
            ("maxSendable", json!("a lot")),
            ("metadata", json!([["text/plain", "Weather"]])),
            ("metadata", json!("Weather")),
            ("metadata", json!("[]")),
            ("metadata", json!("[\"text/plain\"]")),
            ("metadata", json!("[[\"text/plain\",\"a\"],[\"text/plain\",\"b\"]]")),
            ("commentAllowed", json!("many")),
        ];
        for (name, value) in wrong {
            let offer = read(|document| document[name] = value.clone());
            let named = matches!(&offer, Err(InvoicerError::Garbled { field }) if field.starts_with(name));
            assert!(named, "{name} = {value}: {offer:?}");
        }
        let without = read(|document| {
            document.as_object_mut().unwrap().remove("commentAllowed");
        });
        assert_eq!(without.map(|offer| offer.comment_chars_max), Ok(0));
    }
}
