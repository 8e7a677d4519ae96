//! Writes the conformance vectors: `cargo run -p l402 --example vectors -- vectors/`.
//!
//! Everything comes from fixed seeds, so the files change only when a case or the protocol does. Each case states its
//! verdict, and the generator fails where this crate gives another one: the vectors say what is meant, not what
//! happens to come out.

#![expect(clippy::expect_used, reason = "a generator that cannot go on says why and stops")]

mod challenges;
mod clearing;
mod credentials;
mod keys;
mod macaroons;
mod mutations;
mod random;

use l402::{Identifier, Macaroon, Preimage, RootKey, TokenId};
use serde::Serialize;
use std::{fmt::Debug, fs, io, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: vectors FOLDER");
        return ExitCode::from(2);
    };
    match write_all(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write_all(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    write(folder, "identifiers.json", &keys::identifiers())?;
    write(folder, "preimages.json", &keys::preimages())?;
    write(folder, "root-keys.json", &keys::root_keys())?;
    write(folder, "macaroons.json", &macaroons::cases())?;
    write(folder, "mutations.json", &mutations::cases())?;
    write(folder, "credentials.json", &credentials::cases())?;
    write(folder, "challenges.json", &challenges::cases())?;
    write(folder, "clearing.json", &clearing::cases())
}

/// A file of cases, one a line, so that a change shows as the lines it concerns.
fn write<C: Serialize>(folder: &Path, file: &str, cases: &[C]) -> io::Result<()> {
    let lines: Result<Vec<String>, _> = cases.iter().map(serde_json::to_string).collect();
    fs::write(folder.join(file), format!("[\n{}\n]\n", lines?.join(",\n")))
}

/// What comes of a case: exactly one of `ok` and `error`.
#[derive(Serialize)]
struct Verdict<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<T> Verdict<T> {
    fn of<E: Debug>(result: Result<T, E>) -> Self {
        match result {
            Ok(value) => Self { ok: Some(value), error: None },
            Err(error) => Self { ok: None, error: Some(error_name(&error)) },
        }
    }
}

/// The variant's name; for an error inside an error both, as in `Token.Limit.Caveats`. Numbers are left out.
fn error_name(error: &impl Debug) -> String {
    let text = format!("{error:?}");
    let names = text.split(['(', ')']).filter(|part| part.starts_with(char::is_alphabetic));
    names.collect::<Vec<_>>().join(".")
}

/// The seller of the header and caveat cases: one key, one paid invoice, one token id.
fn key() -> RootKey {
    RootKey::from_bytes(ROOT_KEY)
}

const ROOT_KEY: [u8; 32] = [1; 32];

fn preimage() -> Preimage {
    Preimage::from_bytes([2; 32])
}

fn identifier() -> Identifier {
    Identifier { payment_hash: preimage().payment_hash(), token_id: TokenId::from_bytes([3; 32]) }
}

fn token(caveats: &[&str]) -> Macaroon {
    Macaroon::mint(&key(), "lsat", &identifier().to_bytes(), caveats).expect("a small token")
}
