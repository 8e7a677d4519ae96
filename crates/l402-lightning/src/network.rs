//! The Bitcoin network an invoice belongs to.

use std::{fmt, str::FromStr};
use thiserror::Error;

/// A Bitcoin network. Complete: these are the networks that BOLT 11 has a prefix for, without the retired simnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// Real money, `lnbc`.
    Mainnet,
    /// The public test network, `lntb`.
    Testnet,
    /// The signed test network, `lntbs`.
    Signet,
    /// A private test network, `lnbcrt`; the loopback node's.
    Regtest,
}

impl Network {
    /// The name in configuration and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mainnet => "mainnet",
            Self::Testnet => "testnet",
            Self::Signet => "signet",
            Self::Regtest => "regtest",
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Network {
    type Err = UnknownNetwork;

    fn from_str(text: &str) -> Result<Self, UnknownNetwork> {
        [Self::Mainnet, Self::Testnet, Self::Signet, Self::Regtest]
            .into_iter()
            .find(|network| network.name() == text)
            .ok_or(UnknownNetwork)
    }
}

/// The text is not the name of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("unknown network: one of mainnet, testnet, signet, regtest")]
pub struct UnknownNetwork;
