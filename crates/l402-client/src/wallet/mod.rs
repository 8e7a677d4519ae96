//! The wallets a buyer can pay with: a [`Backend`](l402_lightning::Backend) that can pay, named by a URL.

mod address;

use l402_lightning::{OpenError, Payer};
use std::sync::Arc;

pub use address::{WalletAddress, WalletAddressError, WalletCredentials, wallet_schemes};

/// A wallet that was reached and has said what it can do.
#[derive(Clone)]
pub struct Wallet {
    name: String,
    payer: Arc<dyn Payer>,
    accepts_wallet_fees: bool,
}

impl Wallet {
    /// A wallet of your own.
    pub fn new(name: impl Into<String>, payer: Arc<dyn Payer>) -> Self {
        Self { name: name.into(), payer, accepts_wallet_fees: false }
    }

    /// Opens the wallet and asks it whether it can pay: it is reachable, takes the credential, answers questions by
    /// hash, and its network is known. Nothing is paid.
    pub async fn open(address: &WalletAddress) -> Result<Self, OpenError> {
        let open = address.backend.payer.ok_or(OpenError::WrongSide(address.backend.name))?;
        let payer = open(address.settings.clone()).await?;
        Ok(Self { name: address.to_string(), payer, accepts_wallet_fees: address.accepts_wallet_fees })
    }

    /// Kind and place, without secrets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its owner accepts whatever the wallet charges for routing.
    pub(crate) fn accepts_wallet_fees(&self) -> bool {
        self.accepts_wallet_fees
    }

    /// What pays.
    pub fn payer(&self) -> &dyn Payer {
        &*self.payer
    }
}

impl std::fmt::Debug for Wallet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Wallet").field(&self.name).finish()
    }
}
