//! The command line as it is typed. What it means is `plan`'s business.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Fetch what must be paid for with Lightning (L402).
#[derive(Debug, Parser)]
#[command(name = "l402", version, about, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fetch a URL, paying for it if it asks for money
    Get(Box<GetFlags>),
    /// Show what is in a challenge, credential, token or invoice
    Decode(DecodeFlags),
    /// List, show, remove or import the tokens that were bought
    #[command(subcommand)]
    Tokens(TokensCommand),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done; 1 other; 2 usage; 3 refused before paying; 4 payment failed, nothing paid; \
    5 payment outcome unknown; 6 paid and still refused; 7 network or TLS; 8 HTTP error status with -f."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub(crate) struct GetFlags {
    /// What to fetch
    pub(crate) url: String,
    /// Write the body to FILE instead of standard output; opened before anything is paid
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Continue an interrupted download of FILE
    #[arg(short = 'C', long = "continue", requires = "output")]
    pub(crate) resume: bool,
    /// The request method
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub(crate) request: Option<String>,
    /// Send DATA, as it is; @FILE sends a file, @- what standard input holds. Makes the request a POST
    #[arg(short, long, value_name = "DATA")]
    pub(crate) data: Option<String>,
    /// Send a header field, "Name: value"; may be given again
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub(crate) headers: Vec<String>,
    /// Put the head of the answer in front of the body
    #[arg(short, long, conflicts_with = "resume")]
    pub(crate) include: bool,
    /// Fail on an HTTP error status, without its body (exit code 8)
    #[arg(short, long)]
    pub(crate) fail: bool,
    /// Follow redirects to other origins too, where nothing is paid and no token shown
    #[arg(short = 'L', long)]
    pub(crate) location: bool,
    /// Trust the certificates in this PEM file, and no others
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
    /// Report as one JSON object on standard error
    #[arg(long)]
    pub(crate) json: bool,
    /// The most to spend, amount and routing fee together [default: 1000 sat]
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) max_cost: Option<String>,
    /// How long the wallet may try to pay [default: 60s]
    #[arg(long, value_name = "TIME")]
    pub(crate) payment_timeout: Option<String>,
    /// Use tokens that were bought, but buy none
    #[arg(long)]
    pub(crate) no_pay: bool,
    /// Send the request, say what the answer would cost, and pay nothing
    #[arg(long, conflicts_with_all = ["output", "include"])]
    pub(crate) dry_run: bool,
    /// The wallet to pay with
    #[arg(
        long,
        value_name = "URL",
        help = "The wallet to pay with: \"loopback:\" or \"lnd://host:10009?macaroon=FILE&cert=FILE\", and more"
    )]
    pub(crate) wallet: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DecodeFlags {
    /// A WWW-Authenticate or Authorization value, a token, or an invoice; "-" reads standard input
    #[arg(allow_hyphen_values = true)]
    pub(crate) text: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Show signatures and preimages
    #[arg(long)]
    pub(crate) reveal: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokensCommand {
    /// List tokens and unfinished purchases
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one
    Show {
        /// Its payment hash, or the beginning of it
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Show the credential, ready to be sent
        #[arg(long)]
        reveal: bool,
    },
    /// Remove one; a refused token that is removed may be bought again
    Remove {
        /// Its payment hash, or the beginning of it
        id: String,
        /// Also remove a purchase whose outcome is unknown: it may have been paid, and may be paid again
        #[arg(long)]
        danger_forget_payment: bool,
        /// Report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Take over tokens of lnget or aperture
    Import {
        /// A token file, or the folder that holds one folder per host
        path: PathBuf,
        /// The origin a single token file belongs to, such as <https://example.com>
        #[arg(long, value_name = "URL")]
        origin: Option<String>,
        /// Report as JSON
        #[arg(long)]
        json: bool,
    },
}

impl Command {
    /// Whether the report is to be JSON.
    pub(crate) fn wants_json(&self) -> bool {
        match self {
            Self::Get(flags) => flags.json,
            Self::Decode(flags) => flags.json,
            Self::Tokens(
                TokensCommand::List { json }
                | TokensCommand::Show { json, .. }
                | TokensCommand::Remove { json, .. }
                | TokensCommand::Import { json, .. },
            ) => *json,
        }
    }
}
