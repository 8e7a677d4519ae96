//! `octroi schema`: the keys of the config, for editors and for people.

use super::say;
use crate::config;
use std::process::ExitCode;

/// Prints the JSON Schema of the config.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Prints a reference for people instead, in Markdown
    #[arg(long)]
    markdown: bool,
}

/// Prints the schema or the reference.
pub fn run(args: &Args) -> ExitCode {
    let text = if args.markdown {
        config::reference()
    } else {
        format!(
            "{:#}
",
            config::schema()
        )
    };
    say(&text);
    ExitCode::SUCCESS
}
