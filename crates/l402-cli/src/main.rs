//! `l402`: like curl, but pays.
//!
//! `flags` is what was typed, `plan` what it means, `get`, `decode` and `tokens` do it. Data goes to standard output,
//! talk to standard error, and every bad end is a [`failure::Failure`] with an exit code of its own.

mod decode;
mod failure;
mod flags;
mod get;
mod plan;
mod settings;
mod sheet;
mod tokens;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use failure::{Exit, Failure};
use flags::{Command, Flags};
use settings::Environment;

fn main() -> ExitCode {
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => return misread(&error),
    };
    let json = flags.command.wants_json();
    match run(flags.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let text = if json { failure.to_json().to_string() } else { failure.to_string() };
            // Nobody left to tell.
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    let environment = Environment::read();
    match command {
        Command::Decode(flags) => decode::run(&flags, now()),
        Command::Tokens(command) => tokens::run(command, &environment, now()),
        Command::Get(flags) => {
            let plan = plan::GetPlan::new(*flags, &environment)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| Failure::new(Exit::Other, "other", error.to_string()))?;
            let outcome = runtime.block_on(get::run(plan, now));
            // A write that hangs in the kernel must not hold the process up.
            runtime.shutdown_background();
            outcome
        }
    }
}

/// Help and version go to standard output; a command line that cannot be read is a usage error.
fn misread(error: &clap::Error) -> ExitCode {
    let helps = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if !helps && std::env::args_os().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let _ = writeln!(std::io::stderr(), "{}", Failure::usage(first).to_json());
        return ExitCode::from(Exit::Usage as u8);
    }
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8))
}

/// The time in unix seconds: the one place where this program reads the wall clock.
#[expect(clippy::disallowed_methods, reason = "the edge: everything below takes the time as an argument")]
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
