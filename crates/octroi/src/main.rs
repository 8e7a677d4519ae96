//! `octroi`: parses the arguments and runs one command.

use clap::{Parser, Subcommand};
use octroi::commands::{check, demo, init, keys, ledger, run, schema, token};
use std::process::ExitCode;

/// Charge for any HTTP or gRPC API over the Lightning Network.
#[derive(Debug, Parser)]
#[command(name = "octroi", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Run(run::Args),
    Check(check::Args),
    Init(init::Args),
    Schema(schema::Args),
    Keys(keys::Args),
    Token(token::Args),
    Ledger(ledger::Args),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Ledger(args) => ledger::run(&args),
    }
}
