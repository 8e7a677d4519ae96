//! This crate's side of the comparison with other macaroon libraries (`e2e/oracle-macaroon`).
//!
//! Reads one JSON object from standard input and answers with one: `mint` is a list of tokens to make, `judge` a list
//! of tokens to verify, all caveats taken as met.

use base64::{Engine, engine::general_purpose::STANDARD};
use l402::{Limits, Macaroon, MacaroonRef, RootKey};
use serde::{Deserialize, Serialize};
use std::{error::Error, io};

#[derive(Deserialize)]
struct Questions {
    mint: Vec<Order>,
    judge: Vec<Presented>,
}

#[derive(Deserialize)]
struct Order {
    root_key: String,
    location: String,
    identifier: String,
    caveats: Vec<String>,
}

#[derive(Deserialize)]
struct Presented {
    root_key: String,
    token: String,
}

/// Tokens in base64, and for each token presented why it is refused, `null` if it is not.
#[derive(Serialize)]
struct Answers {
    mint: Vec<String>,
    judge: Vec<Option<String>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let questions: Questions = serde_json::from_reader(io::stdin().lock())?;
    let mint: Result<Vec<String>, Box<dyn Error>> = questions.mint.iter().map(mint).collect();
    let judge: Result<Vec<Option<String>>, Box<dyn Error>> = questions.judge.iter().map(judge).collect();
    serde_json::to_writer(io::stdout().lock(), &Answers { mint: mint?, judge: judge? })?;
    Ok(())
}

fn mint(order: &Order) -> Result<String, Box<dyn Error>> {
    let key = RootKey::from_secret(&hex::decode(&order.root_key)?);
    let token = Macaroon::mint(&key, &order.location, &hex::decode(&order.identifier)?, &order.caveats)?;
    Ok(STANDARD.encode(token.as_bytes()))
}

fn judge(presented: &Presented) -> Result<Option<String>, Box<dyn Error>> {
    let key = RootKey::from_secret(&hex::decode(&presented.root_key)?);
    let token = STANDARD.decode(&presented.token)?;
    let refusal = match MacaroonRef::parse(&token, &Limits::default()) {
        Ok(view) => view.verify(&key).err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    Ok(refusal)
}
