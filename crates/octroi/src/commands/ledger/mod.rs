//! `octroi ledger`: what was bought, spent and is left. Works beside a running gateway, and changes nothing.

mod balance;
mod check;
mod export;
#[cfg(test)]
pub(super) mod sample;

use super::{
    ConfigFile,
    beside::{self, LedgerFault},
    presented::{read, token_id},
    say,
};
use crate::waiting::Waiting;
use std::{
    io::{self, BufWriter},
    process::ExitCode,
};

/// Looks into the ledger of metered services.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Proves that no unit was lost or made up: reads everything, exit code 1 if something does not hold
    Check {
        /// Prints one JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Shows what a token bought, spent and has left
    Balance {
        /// Its id (64 hexadecimal digits), a macaroon in base64 or hex, or a whole credential; `-` reads it from
        /// standard input, where other users cannot see it
        token: String,
        /// Prints one JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Prints the journal as JSON, one line for each entry, with the sums up to there
    Export {
        /// The first line to print; the sums count from the beginning all the same
        #[arg(long, value_name = "LINE", default_value_t = 1)]
        from: u64,
        #[command(flatten)]
        config: ConfigFile,
    },
}

/// Runs the command. Exit 1 if it fails or something does not hold, 2 if the config cannot be read.
pub fn run(args: &Args) -> ExitCode {
    match &args.command {
        Command::Check { json, config } => beside::run(config, async |_, stores| {
            let waiting = Waiting::and_saying(|_| eprintln!("still reading the ledger"));
            stores.ledger.check_storage().await?;
            let audit = stores.ledger.check_invariants().await?;
            drop(waiting);
            let settled = stores.settlements.totals().await?;
            say(&if *json { check::json(&audit, &settled) } else { check::text(&audit, &settled) });
            check::verdict(&audit)
        }),
        Command::Balance { token, json, config } => beside::run(config, async |_, stores| {
            let id = token_id(&read(token)?)?;
            let holding = stores.ledger.holding(id).await?.ok_or(LedgerFault::NeverUsed(id))?;
            let now = crate::edge::unix_secs();
            say(&if *json { balance::json(id, &holding) } else { balance::text(id, &holding, now) });
            Ok(())
        }),
        Command::Export { from, config } => beside::run(config, async |_, stores| {
            export::export(&*stores.ledger, *from, &mut BufWriter::new(io::stdout().lock())).await
        }),
    }
}
