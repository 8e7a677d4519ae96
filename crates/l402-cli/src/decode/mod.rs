//! `l402 decode`: what is in a challenge, a credential, a token or an invoice.

mod reading;

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use l402::{Credential, Identifier, Macaroon, MacaroonRef, Offer};
use l402_lightning::Invoice;

use crate::failure::{Exit, Failure};
use crate::flags::DecodeFlags;
use crate::sheet::Sheet;
use reading::{Reading, Unreadable};

/// Most that is read from standard input: far more than any header.
const INPUT_BYTES_MAX: u64 = 64 * 1024;

/// Decodes and prints.
pub(crate) fn run(flags: &DecodeFlags, now: u64) -> Result<(), Failure> {
    let text = if flags.text == "-" { standard_input()? } else { flags.text.clone() };
    let reading = Reading::of(text.trim()).map_err(|unreadable| explain(&unreadable))?;
    let sheet = match &reading {
        Reading::Invoice(invoice) => invoice_sheet(invoice, now),
        Reading::Token(token) => token_sheet(&token.view(), now),
        Reading::Challenge(offer) => offer_sheet(offer, now),
        Reading::Credential(credential) => credential_sheet(credential, now),
    };
    sheet.print(flags.json, flags.reveal)
}

/// A token as text, the way headers carry it.
pub(crate) fn token_text(token: &Macaroon) -> String {
    STANDARD.encode(token.as_bytes())
}

/// Everything in an invoice that a payer should look at.
pub(crate) fn invoice_sheet(invoice: &Invoice, now: u64) -> Sheet {
    let mut sheet = Sheet::new("invoice");
    sheet.text("network", &invoice.network());
    match invoice.amount() {
        Some(amount) => sheet.amount("amount", amount),
        None => sheet.text("amount", "none: the payer chooses"),
    }
    sheet.text("payment_hash", &invoice.payment_hash());
    sheet.text("payee", &invoice.payee());
    if let Some(description) = invoice.description() {
        sheet.text("description", description);
    }
    if let Some(hash) = invoice.description_hash() {
        sheet.text("description_hash", &hex::encode(hash));
    }
    sheet.time("created_at", invoice.created_at(), now);
    sheet.time("expires_at", invoice.expires_at(), now);
    sheet.flag("expired", invoice.is_expired(now));
    sheet.number("final_cltv_blocks", invoice.min_final_cltv_expiry());
    sheet
}

/// Everything in a token but its signature.
pub(crate) fn token_sheet(token: &MacaroonRef<'_>, now: u64) -> Sheet {
    let mut sheet = Sheet::new("token");
    sheet.foreign_text("location", token.location());
    match Identifier::parse(token.identifier()) {
        Ok(identifier) => {
            sheet.text("payment_hash", &identifier.payment_hash);
            sheet.text("token_id", &identifier.token_id);
        }
        Err(fault) => {
            sheet.text("identifier", &hex::encode(token.identifier()));
            sheet.text("identifier_fault", &fault);
        }
    }
    sheet.foreign("caveats", token.caveats().map(|caveat| caveat.identifier));
    if let Some(end) = l402_client::valid_until(token) {
        sheet.time("valid_until", end, now);
    }
    sheet.secret("signature", hex::encode(token.signature()));
    sheet
}

fn offer_sheet(offer: &Offer, now: u64) -> Sheet {
    let mut sheet = Sheet::new("challenge");
    sheet.text("scheme", offer.scheme.as_str());
    sheet.sheet("token", token_sheet(&offer.token.view(), now));
    match Invoice::parse(&offer.invoice) {
        Ok(invoice) => {
            sheet.flag("token_belongs_to_invoice", invoice.payment_hash() == offer.identifier.payment_hash);
            sheet.sheet("invoice", invoice_sheet(&invoice, now));
        }
        Err(fault) => sheet.text("invoice_fault", &fault),
    }
    sheet
}

fn credential_sheet(credential: &Credential, now: u64) -> Sheet {
    let mut sheet = Sheet::new("credential");
    sheet.sheet("token", token_sheet(&credential.macaroon(), now));
    let paid = credential.preimage().payment_hash();
    sheet.flag("preimage_belongs_to_token", paid == credential.identifier().payment_hash);
    sheet.secret("preimage", credential.preimage().reveal_hex());
    sheet
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(INPUT_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| Failure::new(Exit::Other, "input", format!("standard input: {error}")))?;
    Ok(text)
}

fn explain(unreadable: &Unreadable) -> Failure {
    Failure::new(Exit::Other, "undecodable", unreadable.to_string())
        .hint("a WWW-Authenticate or Authorization value, a token in base64 or hex, or a Lightning invoice")
}
