//! From a checked config to a running gateway: keys, node, gate, in that order. Everything that can be wrong is found
//! before the first listener opens.

mod keys;
mod ledger;
mod node;
mod till;

pub use keys::{Found, KeysError, find_keys, open_keys, read_keys};
pub use ledger::{LedgerError, Stores, ledger_file, open_stores, open_stores_beside};
pub use node::{NodeError, RunningNode, open_remote};
pub use till::{NeedsRestart, Payee, Till, TillError, TillReport};

use crate::{config::Config, edge::OsEntropy};
use l402_paywall::{Gate, GateParts, KeyFile, KeyRing, Mint, RouteTable};
use std::sync::Arc;

/// No request lasts longer than `timeouts.whole`, and then its bill still has to reach the ledger.
const HOLD_MARGIN_SECS: u64 = 15;

/// Builds the engine of one configuration. The limits of `previous` go on counting.
pub fn build_gate(
    routes: RouteTable,
    config: &Config,
    keys: &KeyFile,
    payee: Payee,
    previous: Option<&Gate>,
) -> Gate {
    let Payee { invoicer, settlement, metering } = payee;
    let mut mint = Mint::new(invoicer, config.lightning.network, Arc::new(OsEntropy));
    mint.location.clone_from(&config.location);
    mint.invoice_expiry_secs = config.lightning.invoice_expiry_secs;
    mint.limits = config.limits.mint;
    if let Some(previous) = previous {
        mint = mint.continuing(previous.mint());
    }
    Gate::new(GateParts {
        table: routes,
        keys: Arc::new(KeyRing::new(keys)),
        mint,
        settlement,
        metering,
        hold_secs: config.timeouts.whole.as_secs().saturating_add(HOLD_MARGIN_SECS),
    })
}
