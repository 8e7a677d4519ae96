//! Whether the Lightning node would do what the gateway will ask of it: it is asked for one small invoice.

use crate::{
    config::{Config, RemoteNode},
    edge::{OsEntropy, unix_secs},
    start::{NodeError, open_remote},
};
use l402::Preimage;
use l402_lightning::{
    AmountUnit, CLOCK_SKEW_SECS_MAX, Expected, InvoiceRequest, Invoicer, InvoicerError, KeyControl, MilliSat,
    Mismatch, Network, check,
};
use l402_paywall::{AccessMode, Entropy as _};
use std::{fmt::Write as _, time::Duration};

/// The trial invoice can be paid for this long where it cannot be withdrawn.
const TRIAL_SECS: u32 = 60;
/// What the trial invoice asks for where no price is set.
const TRIAL_AMOUNT: MilliSat = MilliSat::from_msat(1_000);

/// Why the gateway could not sell through the node.
#[derive(Debug, thiserror::Error)]
pub(super) enum NodeFault {
    #[error(transparent)]
    Open(#[from] NodeError),
    #[error("it cannot be tried: {0}")]
    Runtime(std::io::Error),
    #[error("{0}")]
    Trouble(#[from] InvoicerError),
    #[error("it is on {found}, and the config says {expected}")]
    Network { expected: Network, found: Network },
    #[error("it does not follow the chain yet")]
    NotSynced,
    #[error("its clock differs from this machine's by {0} s")]
    Clock(u64),
    #[error("service {service} sells for {price}, and this node knows whole satoshis only")]
    WholeSats { service: String, price: MilliSat },
}

impl NodeFault {
    pub(super) fn hint(&self) -> String {
        match self {
            Self::Open(NodeError::Open { error, .. }) => error.hint(),
            Self::Open(_) | Self::Runtime(_) => "check what this machine has left to give".to_owned(),
            Self::Trouble(error) => error.hint().to_owned(),
            Self::Network { found, .. } => {
                format!("set `lightning.network: {found}`, or name a node on the right network")
            }
            Self::NotSynced => "wait until it does; it goes on by itself".to_owned(),
            Self::Clock(_) => "set the clocks of both machines (NTP)".to_owned(),
            Self::WholeSats { .. } => "set a price in whole `sat`".to_owned(),
        }
    }
}

/// Opens the node, and unless `offline` asks it how it is and for one invoice, which is withdrawn again if it can be.
pub(super) fn look(remote: &RemoteNode, config: &Config, offline: bool) -> Result<String, NodeFault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(NodeFault::Runtime)?;
    let name = remote.backend.name;
    runtime.block_on(async {
        let node = open_remote(remote)?;
        whole_sats(node.capabilities().amount_unit, config)?;
        if offline {
            return Ok(format!("{name} (not asked)"));
        }
        let trial =
            Trial { node: &*node, network: config.lightning.network, limit: config.lightning.timeout };
        trial.status().await?;
        let amount = prices(config).map(|(_, price)| price).min().unwrap_or(TRIAL_AMOUNT);
        let mut text = format!("{name} answers; ");
        trial.invoice(amount, &mut text).await?;
        Ok(text)
    })
}

/// A price that the node cannot ask for.
fn whole_sats(unit: AmountUnit, config: &Config) -> Result<(), NodeFault> {
    let mut parts = prices(config).filter(|(_, price)| price.as_msat() % 1_000 != 0);
    match (unit, parts.next()) {
        (AmountUnit::Sat, Some((service, price))) => Err(NodeFault::WholeSats { service, price }),
        _ => Ok(()),
    }
}

fn prices(config: &Config) -> impl Iterator<Item = (String, MilliSat)> {
    config.routes.services().iter().flat_map(|service| {
        let spec = service.spec();
        let own = spec.price.filter(|_| spec.access != AccessMode::Free);
        let packs = spec.meter.iter().flat_map(|meter| &meter.packs);
        let packs = packs.chain(spec.routes.iter().flat_map(|route| &route.packs)).map(|pack| pack.price);
        let all = own.into_iter().chain(spec.routes.iter().filter_map(|route| route.price)).chain(packs);
        all.map(|price| (spec.name.to_string(), price))
    })
}

struct Trial<'a> {
    node: &'a dyn Invoicer,
    network: Network,
    limit: Duration,
}

impl Trial<'_> {
    async fn status(&self) -> Result<(), NodeFault> {
        let status = self.bounded(self.node.probe()).await?;
        if let Some(found) = status.network.filter(|found| *found != self.network) {
            return Err(NodeFault::Network { expected: self.network, found });
        }
        if status.synced == Some(false) {
            return Err(NodeFault::NotSynced);
        }
        match status.clock.map(|clock| clock.abs_diff(unix_secs())) {
            Some(skew) if skew > CLOCK_SKEW_SECS_MAX => Err(NodeFault::Clock(skew)),
            _ => Ok(()),
        }
    }

    /// One invoice as the gateway asks for them, and what became of it in words.
    async fn invoice(&self, amount: MilliSat, text: &mut String) -> Result<(), NodeFault> {
        let capabilities = self.node.capabilities();
        let request = InvoiceRequest {
            amount,
            expiry_secs: TRIAL_SECS,
            description: "L402 check".to_owned(),
            preimage: (capabilities.key_control == KeyControl::Preimage).then(random_preimage),
        };
        let invoice = self.bounded(self.node.create(request.clone())).await?;
        let expected = Expected {
            request: &request,
            network: self.network,
            now: unix_secs(),
            terms: capabilities.terms,
        };
        check(&invoice, &expected).map_err(|lie| match lie {
            Mismatch::Network { expected, found } => NodeFault::Network { expected, found },
            lie => NodeFault::Trouble(InvoicerError::Lied(lie)),
        })?;
        // Writing to a String cannot fail.
        let _ = write!(text, "it issued an invoice of {amount} for {}", self.network);
        if capabilities.cancel {
            match self.bounded(self.node.cancel(invoice.payment_hash())).await {
                Ok(()) => text.push_str(" and withdrew it"),
                Err(error) => {
                    let hint = error.hint();
                    let _ =
                        write!(text, "; it could not be withdrawn and expires by itself ({error}: {hint})");
                }
            }
        }
        Ok(())
    }

    async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, InvoicerError>>,
    ) -> Result<T, InvoicerError> {
        tokio::time::timeout(self.limit, call).await.unwrap_or(Err(InvoicerError::Timeout))
    }
}

fn random_preimage() -> Preimage {
    let mut bytes = [0; 32];
    OsEntropy.fill(&mut bytes);
    Preimage::from_bytes(bytes)
}
