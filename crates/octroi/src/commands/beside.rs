//! Work on the ledger beside a gateway that may be running.

use super::{ConfigFile, EXIT_CONFIG, EXIT_FAILED, presented::TokenFault};
use crate::{
    config::Config,
    start::{LedgerError, Stores, open_stores_beside},
};
use l402::TokenId;
use l402_paywall::StoreError;
use std::{io, process::ExitCode};

/// Why a command about the ledger failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum LedgerFault {
    #[error(transparent)]
    Open(#[from] LedgerError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the ledger cannot be asked: {0}")]
    Runtime(io::Error),
    #[error("not a token: {0}")]
    Token(#[from] TokenFault),
    #[error("nothing was ever booked for token {0}")]
    NeverUsed(TokenId),
    #[error("the ledger took the step for another one")]
    Misunderstood,
    #[error("units are not where they belong: {0}")]
    Breached(String),
    #[error("the lines cannot be written: {0}")]
    Output(io::Error),
}

impl LedgerFault {
    pub(super) fn hint(&self) -> String {
        let hint = match self {
            Self::Open(error) => return error.hint(),
            Self::Store(error) => error.hint(),
            Self::Runtime(_) => "check what this machine has left to give",
            Self::Token(fault) => {
                return format!("{}; or its id, 64 hexadecimal digits", fault.hint());
            }
            Self::NeverUsed(_) => {
                "a purchase is booked when its token is first presented to a metered service; is it this gateway's?"
            }
            Self::Misunderstood => "the ledger and this program are of different versions; use one",
            Self::Breached(_) => {
                "stop the gateways, keep a copy of the ledger as it is, and restore the last backup that passes"
            }
            Self::Output(_) => "is the disk full?",
        };
        hint.to_owned()
    }
}

/// Runs a command on the ledger that the config names. Exit 1 if it fails, 2 if the config cannot be read.
pub(super) fn run<W>(file: &ConfigFile, work: W) -> ExitCode
where
    W: AsyncFnOnce(&Config, &Stores) -> Result<(), LedgerFault>,
{
    let config = match file.load() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match open_and(&config, work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("error: {fault}\n  hint: {}", fault.hint());
            ExitCode::from(EXIT_FAILED)
        }
    }
}

fn open_and<W>(config: &Config, work: W) -> Result<(), LedgerFault>
where
    W: AsyncFnOnce(&Config, &Stores) -> Result<(), LedgerFault>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(LedgerFault::Runtime)?.block_on(async {
        let stores = open_stores_beside(config)?;
        work(config, &stores).await
    })
}
