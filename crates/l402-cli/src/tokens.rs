//! `l402 tokens`: the store, without secrets unless they are asked for.

mod import;

use l402::{OfferScheme, authorization_value};
use l402_client::{PurchaseRecord, Stage, Standing, Vault};
use serde_json::json;

use crate::decode;
use crate::failure::{Exit, Failure, open_vault};
use crate::flags::TokensCommand;
use crate::settings::Environment;
use crate::sheet::{Sheet, print_line};

/// Shortest beginning of a payment hash that names a token.
const ID_CHARS_MIN: usize = 4;
/// How much of a payment hash a list shows.
const ID_CHARS_SHOWN: usize = 12;

/// Runs a `tokens` command.
pub(crate) fn run(command: TokensCommand, environment: &Environment, now: u64) -> Result<(), Failure> {
    let vault = open_vault(&environment.data_dir()?)?;
    match command {
        TokensCommand::List { json } => list(&vault, json, now),
        TokensCommand::Show { id, json, reveal } => sheet(&find(&vault, &id)?, now).print(json, reveal),
        TokensCommand::Remove { id, danger_forget_payment, json } => {
            remove(&vault, &find(&vault, &id)?, danger_forget_payment, json)
        }
        TokensCommand::Import { path, origin, json } => import::run(&vault, &path, origin.as_deref(), json),
    }
}

fn list(vault: &Vault, as_json: bool, now: u64) -> Result<(), Failure> {
    let records = vault.all()?;
    if as_json {
        let rows: Vec<_> = records.iter().map(|record| sheet(record, now).to_json(false)).collect();
        return print_line(&json!(rows).to_string());
    }
    for record in &records {
        let id: String = record.payment_hash.to_string().chars().take(ID_CHARS_SHOWN).collect();
        let amount = record.amount.map_or_else(|| "-".to_owned(), |amount| amount.to_string());
        print_line(&format!(
            "{id}  {:<10} {:<32} {}  {amount}",
            state(record, now),
            record.origin,
            record.scope
        ))?;
    }
    Ok(())
}

/// One word for how a purchase stands.
fn state(record: &PurchaseRecord, now: u64) -> &'static str {
    match &record.stage {
        Stage::Intended => "unresolved",
        Stage::Paid(paid) => match paid.standing {
            Standing::Refused { .. } => "refused",
            Standing::Spent { .. } => "spent",
            Standing::Untried | Standing::Accepted if record.has_expired(now) => "expired",
            Standing::Accepted => "accepted",
            Standing::Untried => "untried",
        },
    }
}

fn sheet(record: &PurchaseRecord, now: u64) -> Sheet {
    let mut sheet = Sheet::new("purchase");
    sheet.text("payment_hash", &record.payment_hash);
    sheet.text("state", state(record, now));
    sheet.text("origin", &record.origin);
    sheet.text("scope", &record.scope);
    sheet.foreign_text("path", record.path.as_bytes());
    if let Some(amount) = record.amount {
        sheet.amount("amount", amount);
    }
    if let Some(wallet) = &record.wallet {
        sheet.text("wallet", wallet);
    }
    sheet.time("created_at", record.created_at, now);
    if let Stage::Paid(paid) = &record.stage {
        if let Some(fee) = paid.fee {
            sheet.amount("fee", fee);
        }
        sheet.time("paid_at", paid.paid_at, now);
        sheet.text("scheme", if record.scheme == OfferScheme::Lsat { "LSAT" } else { "L402" });
        sheet.secret("authorization", authorization_value(record.scheme, &record.token, &paid.preimage));
    }
    sheet.sheet("token", decode::token_sheet(&record.token.view(), now));
    sheet
}

fn remove(vault: &Vault, record: &PurchaseRecord, forget: bool, json: bool) -> Result<(), Failure> {
    if matches!(record.stage, Stage::Intended) && !forget {
        let message = "the outcome of this payment is unknown: removing it may mean paying twice";
        return Err(Failure::new(Exit::Refused, "unresolved", message)
            .hint("fetch it again to resolve it, or give --danger-forget-payment"));
    }
    vault.remove(&record.origin, record.payment_hash)?;
    if json { print_line(&json!({ "removed": record.payment_hash.to_string() }).to_string()) } else { Ok(()) }
}

fn find(vault: &Vault, id: &str) -> Result<PurchaseRecord, Failure> {
    let id = id.to_ascii_lowercase();
    let wrong = |message: String| {
        Failure::new(Exit::Other, "no_such_token", message).hint("l402 tokens list shows them")
    };
    if id.len() < ID_CHARS_MIN {
        return Err(wrong(format!("give at least {ID_CHARS_MIN} characters of the payment hash")));
    }
    let mut found = vault.all()?;
    found.retain(|record| record.payment_hash.to_string().starts_with(&id));
    match (found.pop(), found.is_empty()) {
        (Some(record), true) => Ok(record),
        (Some(_), false) => Err(wrong(format!("more than one payment begins with {}", id.escape_debug()))),
        (None, _) => Err(wrong(format!("no payment begins with {}", id.escape_debug()))),
    }
}
