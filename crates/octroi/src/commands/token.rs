//! `octroi token`: what a token says, whether it is one of ours, and its end. No node, no network, and the preimage is
//! never shown.

mod revoke;

use super::{
    ConfigFile, EXIT_CONFIG, EXIT_FAILED,
    presented::{Presented, TokenFault, present, read},
    say,
};
use crate::{
    config::{ConfigError, KeySource},
    date::{Date, Span},
    edge::unix_secs,
};
use l402::{Caveat, CaveatRef, Credential, Identifier, MacaroonRef, RootKeys};
use l402_lightning::UntrustedText;
use l402_paywall::{KeyFile, KeyFileError, KeyRing};
use std::{fmt::Write as _, process::ExitCode};

/// Looks into tokens, or ends them.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Shows what a token says and whether it is one of ours
    Inspect {
        /// A macaroon in base64 or hex, or a whole credential (`L402 <macaroon>:<preimage>`); `-` reads it from
        /// standard input, where other users cannot see it
        token: String,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Ends a token at once, on every gateway of the ledger; what it has left is owed to its buyer
    Revoke {
        /// Its id (64 hexadecimal digits), a macaroon, or a whole credential; `-` reads it from standard input
        token: String,
        #[command(flatten)]
        config: ConfigFile,
    },
}

/// The keys to verify with, or why there are none.
enum Keys {
    Known(KeyFile),
    /// No config, so nothing is expected of them.
    NotConfigured,
    Unusable(KeyFileError),
}

/// Runs the command. Exit 1 if the token cannot be read or is not ours, 2 if the config cannot be read.
pub fn run(args: &Args) -> ExitCode {
    match &args.command {
        Command::Inspect { token, config } => show(token, config),
        Command::Revoke { token, config } => revoke::run(token, config),
    }
}

fn show(token: &str, config: &ConfigFile) -> ExitCode {
    let keys = match keys(config) {
        Ok(keys) => keys,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match read(token).and_then(|text| inspect(&text, &keys, unix_secs())) {
        Ok((report, ours)) => {
            say(&report);
            if ours { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) }
        }
        Err(fault) => {
            eprintln!("error: not a token: {fault}\n  hint: {}", fault.hint());
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// Without a config a token can still be read; with a broken one nobody knows which keys were meant.
fn keys(file: &ConfigFile) -> Result<Keys, ConfigError> {
    let config = match file.load() {
        Ok(config) => config,
        Err(ConfigError::NotFound(_)) => return Ok(Keys::NotConfigured),
        Err(error) => return Err(error),
    };
    Ok(match config.keys {
        KeySource::Secret(keys) => Keys::Known(keys),
        KeySource::File(path) => KeyFile::load(&path).map_or_else(Keys::Unusable, Keys::Known),
    })
}

/// What the token says, and whether everything that could be checked holds.
fn inspect(text: &str, keys: &Keys, now: u64) -> Result<(String, bool), TokenFault> {
    let presented = present(text)?;
    let token = match &presented {
        Presented::Token(token) => token.view(),
        Presented::Credential(credential) => credential.macaroon(),
    };
    let identifier = Identifier::parse(token.identifier())?;
    let (signature, signed) = signature(token, &identifier, keys);
    let (preimage, paid) = match &presented {
        Presented::Token(_) => ("not handed in".to_owned(), true),
        Presented::Credential(credential) => preimage(credential, &identifier),
    };
    let mut report = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(report, "{name:<14}{value}");
    };
    line("token id", &identifier.token_id.to_string());
    line("payment hash", &identifier.payment_hash.to_string());
    line("epoch", &epoch(&identifier, keys));
    line("location", &format!("{} (not signed)", shown(token.location())));
    for (index, caveat) in token.caveats().enumerate() {
        line(if index == 0 { "caveats" } else { "" }, &caveat_text(&caveat, now));
    }
    line("signature", &signature);
    line("preimage", &preimage);
    Ok((report, signed && paid))
}

fn epoch(identifier: &Identifier, keys: &Keys) -> String {
    let id = identifier.token_id.epoch();
    let Keys::Known(keys) = keys else { return id.to_string() };
    match keys.epochs().iter().find(|epoch| epoch.id() == id) {
        Some(epoch) => format!("{id}, made {}", Date(epoch.created())),
        None => format!("{id}, not in the key ring: another gateway's, or retired"),
    }
}

fn signature(token: MacaroonRef<'_>, identifier: &Identifier, keys: &Keys) -> (String, bool) {
    let keys = match keys {
        Keys::Known(keys) => KeyRing::new(keys),
        Keys::NotConfigured => {
            return ("not checked: there is no config, so there are no keys".to_owned(), true);
        }
        Keys::Unusable(error) => return (format!("not checked: {error}"), false),
    };
    if token.caveats().any(|caveat| caveat.verification_id.is_some()) {
        return ("cannot hold: it has a third-party caveat, which is not supported".to_owned(), false);
    }
    let holds = keys.root_key(identifier).is_some_and(|key| token.verify(&key).is_ok());
    let text = if holds {
        "holds: minted with the keys of this gateway, and no caveat was changed or removed"
    } else {
        "does not hold: another gateway's, a retired key's, or changed"
    };
    (text.to_owned(), holds)
}

fn preimage(credential: &Credential, identifier: &Identifier) -> (String, bool) {
    let matches = credential.preimage().payment_hash() == identifier.payment_hash;
    let text = if matches { "belongs to the payment hash" } else { "does not belong to the payment hash" };
    (text.to_owned(), matches)
}

fn caveat_text(caveat: &CaveatRef<'_>, now: u64) -> String {
    let text = shown(caveat.identifier);
    if caveat.verification_id.is_some() {
        return format!("{text} (third-party)");
    }
    let Ok(Caveat { condition, value }) = Caveat::parse(caveat.identifier) else {
        return format!("{text} (not understood)");
    };
    if condition == "preimage" {
        return "preimage=..".to_owned();
    }
    let expires = value.parse().ok().filter(|_| condition.ends_with("_valid_until"));
    match expires {
        Some(at) if at > now => format!("{text} ({}, in {})", Date(at), Span(at - now)),
        Some(at) => format!("{text} ({}, expired {} ago)", Date(at), Span(now - at)),
        None => text,
    }
}

/// Bytes of somebody else, safe for a terminal.
fn shown(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) => UntrustedText::new(text).to_string(),
        Err(_) => format!("0x{}", hex::encode(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::presented::{STANDARD, URL_SAFE};
    use base64::Engine as _;
    use l402::{Macaroon, Preimage, TokenId, TokenSpec};

    const NOW: u64 = 1_763_700_000;

    struct Issued {
        keys: Keys,
        token: Macaroon,
        preimage: Preimage,
    }

    fn issued() -> Issued {
        let file = KeyFile::generate(NOW - 86_400 * 3, &mut |bytes: &mut [u8]| bytes.fill(7));
        let preimage = Preimage::from_bytes([9; 32]);
        let mut token_id = [5; 32];
        token_id[..4].copy_from_slice(&file.current().0);
        let identifier =
            Identifier { payment_hash: preimage.payment_hash(), token_id: TokenId::from_bytes(token_id) };
        let spec = TokenSpec {
            service: "weather".parse().expect("a name"),
            tier: 0,
            capabilities: vec!["read".parse().expect("a name")],
            constraints: Vec::new(),
            units: None,
            valid_until: Some(NOW + 3600),
        };
        let key = KeyRing::new(&file).root_key(&identifier).expect("a known epoch");
        let token = l402::mint(&key, "lsat", &identifier, &spec).expect("minted");
        Issued { keys: Keys::Known(file), token, preimage }
    }

    fn base64(token: &Macaroon) -> String {
        STANDARD.encode(token.as_bytes())
    }

    #[test]
    fn a_token_is_read_in_every_spelling_and_verified() {
        let Issued { keys, token, preimage } = issued();
        let credential = format!("{}:{}", base64(&token), preimage.reveal_hex());
        let expected = inspect(&base64(&token), &keys, NOW).expect("a token");
        assert!(expected.1);
        for text in [
            hex::encode(token.as_bytes()),
            URL_SAFE.encode(token.as_bytes()).trim_end_matches('=').to_owned(),
            format!("  {}\n", base64(&token)),
        ] {
            assert_eq!(inspect(&text, &keys, NOW).expect("a token"), expected);
        }
        for text in [credential.clone(), format!("L402 {credential}"), format!("lsat {credential}")] {
            let (report, good) = inspect(&text, &keys, NOW).expect("a credential");
            assert!(good && report.contains("belongs to the payment hash"), "{report}");
        }
    }

    #[test]
    fn the_report_says_what_the_token_says() {
        let Issued { keys, token, .. } = issued();
        let (report, _) = inspect(&base64(&token), &keys, NOW).expect("a token");
        insta::assert_snapshot!(report);
    }

    #[test]
    fn the_preimage_is_never_shown() {
        let Issued { keys, token, preimage } = issued();
        let secret = preimage.reveal_hex();
        let token = token.attenuate(format!("preimage={secret}").as_bytes()).expect("room");
        for text in [base64(&token), format!("L402 {}:{secret}", base64(&token))] {
            let (report, good) = inspect(&text, &keys, NOW).expect("a token");
            assert!(good && report.contains("preimage=..") && !report.contains(&secret), "{report}");
        }
    }

    #[test]
    fn what_is_not_ours_is_told_apart() {
        let Issued { keys, token, .. } = issued();
        let verdict = |text: &str, keys: &Keys| inspect(text, keys, NOW + 7200).expect("a token");
        let (report, good) = verdict(&format!("{}:{}", base64(&token), "00".repeat(32)), &keys);
        assert!(!good && report.contains("does not belong"), "{report}");
        let other = Keys::Known(KeyFile::generate(NOW, &mut |bytes: &mut [u8]| bytes.fill(8)));
        let (report, good) = verdict(&base64(&token), &other);
        assert!(
            !good && report.contains("not in the key ring") && report.contains("does not hold"),
            "{report}"
        );
        let (report, good) = verdict(&base64(&token), &Keys::NotConfigured);
        assert!(good && report.contains("not checked") && report.contains("expired 1 hour ago"), "{report}");
        let mut changed = token.as_bytes().to_vec();
        let at = changed.windows(4).position(|bytes| bytes == b"read").expect("a capability");
        changed[at] = b'l';
        let (report, good) = verdict(&hex::encode(changed), &keys);
        assert!(!good && report.contains("does not hold"), "{report}");
    }

    #[test]
    fn rubbish_is_refused_without_repeating_it() {
        for text in ["", "secret!", "AAAA", "L402 a:b", "a:b", "L402 ", "::", "é", "0201"] {
            let fault = inspect(text, &Keys::NotConfigured, NOW).expect_err(text);
            assert!(!fault.to_string().contains("secret"), "{fault}");
        }
    }
}
