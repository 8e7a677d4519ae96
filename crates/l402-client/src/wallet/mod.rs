//! The wallets a buyer can pay with. A new kind is one [`Payer`] and one line in [`KINDS`].

mod address;
mod lnd_message;
mod lnd_rest;

use std::path::PathBuf;
use std::sync::Arc;

use l402_lightning::{BoxFuture, NotSent, Payer};
use thiserror::Error;
use zeroize::Zeroizing;

pub use address::{WalletAddress, WalletAddressError};

use crate::tls::TrustError;

/// Every kind of wallet, by the word before the `:` of its URL.
const KINDS: &[Kind] =
    &[Kind { name: "lnd+http", open: lnd_rest::open }, Kind { name: "lnd+https", open: lnd_rest::open }];

struct Kind {
    name: &'static str,
    open: fn(WalletRequest) -> Opening,
}

/// A wallet being opened.
type Opening = BoxFuture<'static, Result<Arc<dyn Payer>, WalletError>>;

/// Which wallet to open, and with what.
#[derive(Debug, Clone)]
pub struct WalletRequest {
    /// Its kind and place.
    pub address: WalletAddress,
    /// Credentials that come from elsewhere than the address.
    pub credentials: WalletCredentials,
}

/// Credentials from the environment; the address's own files come first.
#[derive(Clone, Default)]
pub struct WalletCredentials {
    /// A macaroon as hex.
    pub macaroon_hex: Option<Zeroizing<String>>,
    /// A PEM file with the certificate to trust.
    pub certificate: Option<PathBuf>,
}

/// A wallet that was reached and has said what it can do.
#[derive(Clone)]
pub struct Wallet {
    name: String,
    payer: Arc<dyn Payer>,
}

/// Why a wallet cannot be used. Nothing was paid.
#[derive(Debug, Error)]
pub enum WalletError {
    /// No wallet of this kind can be driven.
    #[error("unknown wallet kind `{kind}`")]
    UnknownKind {
        /// The word before the `:`.
        kind: String,
    },
    /// This kind needs `//host:port` after the `:`.
    #[error("the wallet URL names no place")]
    NoPlace,
    /// Plain HTTP to another machine shows the wallet's credential to everyone on the way.
    #[error("plain HTTP to a wallet on another machine is refused")]
    PlainHttp,
    /// The file with the credential cannot be read.
    #[error("the wallet's macaroon cannot be read from {path}: {source}")]
    CredentialFile {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The credential is not hexadecimal.
    #[error("the wallet's macaroon is not hexadecimal")]
    CredentialForm,
    /// TLS settings could not be made.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The wallet, asked a first question, did not answer as one that can pay.
    #[error("the wallet cannot be used: {0}")]
    NotReady(NotSent),
    /// The wallet answered something that is not its interface.
    #[error("the wallet's answer cannot be understood")]
    Garbled,
}

impl Wallet {
    /// A wallet of your own.
    pub fn new(name: impl Into<String>, payer: Arc<dyn Payer>) -> Self {
        Self { name: name.into(), payer }
    }

    /// Opens the wallet and asks it whether it can pay: it is reachable, takes the credential, answers questions by
    /// hash, and tells its network.
    pub async fn open(request: WalletRequest) -> Result<Self, WalletError> {
        let kind = request.address.kind();
        let Some(kind) = KINDS.iter().find(|known| known.name == kind) else {
            return Err(WalletError::UnknownKind { kind: kind.to_owned() });
        };
        let name = request.address.to_string();
        Ok(Self { name, payer: (kind.open)(request).await? })
    }

    /// How the URLs of the wallets that can be opened begin.
    pub fn kinds() -> impl Iterator<Item = &'static str> {
        address::ALIASES.iter().map(|(short, _)| *short).chain(KINDS.iter().map(|kind| kind.name))
    }

    /// Kind and place, without secrets.
    pub fn name(&self) -> &str {
        &self.name
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

impl std::fmt::Debug for WalletCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WalletCredentials(..)")
    }
}
