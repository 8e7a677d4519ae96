//! How a command ends when it does not end well: exit code, stable word, sentence, hint.

use l402::Offer;
use l402_client::{
    FetchError, PrivateFileError, Refusal, Vault, VaultError, WalletAddressError, wallet_schemes,
};
use l402_client::{RedirectError, TransportError};
use l402_lightning::{Invoice, OpenError};
use serde_json::{Map, Value, json};

/// The exit codes, a contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Anything that has no code of its own.
    Other = 1,
    /// The command line cannot be meant.
    Usage = 2,
    /// Refused by policy; nothing was paid.
    Refused = 3,
    /// The payment failed; nothing was paid.
    NotPaid = 4,
    /// Whether it was paid is not known.
    Unknown = 5,
    /// Paid, and still refused.
    StillRefused = 6,
    /// Network or TLS.
    Network = 7,
    /// An HTTP error status, with `-f`.
    Status = 8,
}

/// A bad end.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// A word for programs.
    code: &'static str,
    message: String,
    hint: Option<String>,
    /// More lines for people, more members for programs.
    details: Vec<(&'static str, String)>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self { exit, code, message: message.into(), hint: None, details: Vec::new() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn detail(mut self, name: &'static str, value: &impl ToString) -> Self {
        self.details.push((name, value.to_string()));
        self
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.exit as u8
    }

    /// One object for programs.
    pub(crate) fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("error".into(), json!(self.message));
        object.insert("code".into(), json!(self.code));
        object.insert("exit_code".into(), json!(self.exit_code()));
        if let Some(hint) = &self.hint {
            object.insert("hint".into(), json!(hint));
        }
        for (name, value) in &self.details {
            object.insert((*name).into(), json!(value));
        }
        Value::Object(object)
    }
}

/// For people.
impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error: {}", self.message)?;
        for (name, value) in &self.details {
            write!(f, "\n  {name}: {value}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        let text = error.to_string();
        match error {
            FetchError::Origin(_) => Self::new(Exit::Usage, "url", text),
            FetchError::Redirect(redirect) => of_redirect(&redirect, text),
            FetchError::Transport(transport) => transport.into(),
            FetchError::Vault(vault) => vault.into(),
            FetchError::Wallet(wallet) => wallet.into(),
            FetchError::NoOffer { .. } => Self::new(Exit::Other, "no_offer", text)
                .hint("the server may use another payment scheme, or speak L402 wrongly"),
            FetchError::NotAllowed { offer } => {
                with_offer(Self::new(Exit::Refused, "not_allowed", text), &offer)
                    .hint("leave out --no-pay to pay")
            }
            FetchError::NoWallet { offer } => {
                with_offer(Self::new(Exit::Refused, "no_wallet", text), &offer).hint(wallet_hint())
            }
            FetchError::ForeignDemand { .. } => Self::new(Exit::Refused, "other_origin", text)
                .hint("name the URL that asks for payment, if that is who you want to pay"),
            FetchError::OwnCredential => Self::new(Exit::Refused, "own_credential", text)
                .hint("leave the Authorization header out to use or buy a token"),
            FetchError::Refused(refusal) => of_refusal(&refusal, text),
            FetchError::NotPaid(why) => Self::new(Exit::NotPaid, "payment_failed", text).hint(why.hint()),
            FetchError::OutcomeUnknown { hash, .. } => {
                let hint = "run the same command again: it asks the wallet first, and pays nothing twice";
                Self::new(Exit::Unknown, "payment_unknown", text).hint(hint).detail("payment_hash", &hash)
            }
            FetchError::CannotAsk { hash, .. } | FetchError::NobodyToAsk { hash } => {
                let hint = "run the same command with the wallet that was told to pay: it is asked first";
                Self::new(Exit::Unknown, "payment_unknown", text).hint(hint).detail("payment_hash", &hash)
            }
            FetchError::Busy { .. } => Self::new(Exit::Unknown, "busy", text)
                .hint("run the same command again: the other's token will be used if it paid"),
            FetchError::StillRefused { hash, .. } => Self::new(Exit::StillRefused, "still_refused", text)
                .hint(format!("nothing more is bought for this; to buy anyway: l402 tokens remove {hash}"))
                .detail("payment_hash", &hash),
            // The enum may grow.
            _ => Self::new(Exit::Other, "other", text),
        }
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        let text = error.to_string();
        match error {
            TransportError::Tls { .. } => Self::new(Exit::Network, "tls", text)
                .hint("--cacert FILE trusts a certificate that the system does not"),
            TransportError::Trust(_) => Self::new(Exit::Network, "tls", text),
            TransportError::Timeout { .. } => Self::new(Exit::Network, "timeout", text),
            TransportError::Cut { .. } => Self::new(Exit::Network, "cut", text)
                .hint("what was paid for is kept: run it again, with -C to continue a file"),
            TransportError::Payload(_) => Self::new(Exit::Other, "payload", text),
            _ => Self::new(Exit::Network, "network", text),
        }
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        let failure = Self::new(Exit::Other, "store", error.to_string());
        match error {
            VaultError::File(PrivateFileError::Lax { path, .. }) => failure
                .hint(format!("others may have read it; if not, close it: chmod go= {}", path.display())),
            VaultError::File(PrivateFileError::Kind { .. } | PrivateFileError::Owner { .. }) => {
                failure.hint("tokens are kept in plain files of your own only")
            }
            VaultError::Record { .. } => {
                failure.hint("nothing is bought while it is there: it may be a payment")
            }
            _ => failure.hint("tokens must be writable before anything is paid; XDG_DATA_HOME moves them"),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let failure = Self::new(
            Exit::NotPaid,
            "wallet",
            format!("nothing was paid: the wallet cannot be used: {error}"),
        );
        match error {
            OpenError::PlainHttp(_) => Self { exit: Exit::Refused, code: "plain_http", ..failure }
                .hint("use https, or add danger-plain-http to the wallet URL"),
            OpenError::Missing(setting) => {
                let variable = setting.to_ascii_uppercase();
                failure
                    .hint(format!("{setting}=FILE in the wallet URL, or its value in L402_WALLET_{variable}"))
            }
            _ => failure.hint(error.hint()),
        }
    }
}

/// Why a wallet URL is none. The text may hold what should have been in a file: it is not repeated.
pub(crate) fn of_wallet_address(error: &WalletAddressError) -> Failure {
    let failure = Failure::usage(format!("the wallet URL cannot be used: {error}"));
    match error {
        WalletAddressError::UnknownKind(_) | WalletAddressError::NoPlace => {
            failure.hint(format!("known kinds: {}", kinds()))
        }
        _ => failure.hint("write it like loopback: or lnd://host:10009?macaroon=FILE&cert=FILE"),
    }
}

fn of_redirect(redirect: &RedirectError, text: String) -> Failure {
    match redirect {
        RedirectError::CrossOrigin { .. } => Failure::new(Exit::Refused, "other_origin", text)
            .hint("-L follows it, without token or payment; or name that URL yourself"),
        RedirectError::Downgrade { .. } => Failure::new(Exit::Refused, "downgrade", text),
        _ => Failure::new(Exit::Other, "redirect", text),
    }
}

pub(crate) fn of_refusal(refusal: &Refusal, text: String) -> Failure {
    let code = match refusal {
        Refusal::TooDear { .. } => "too_dear",
        Refusal::Expired | Refusal::TokenExpired => "expired",
        Refusal::Invoice(_) | Refusal::Amountless => "invoice",
        Refusal::OtherPayment { .. } => "mismatch",
        Refusal::OtherNetwork { .. } | Refusal::UnknownNetwork => "network_mismatch",
        _ => "refused",
    };
    let failure = Failure::new(Exit::Refused, code, text);
    match refusal {
        Refusal::TooDear { amount, .. } => {
            failure.hint(format!("--max-cost raises the cap; the routing fee comes on top of {amount}"))
        }
        Refusal::Expired | Refusal::TokenExpired => failure
            .hint("run the same command again: it asks for a new one; if it stays so, set this machine's clock"),
        Refusal::UnknownNetwork => failure.hint("name it in the wallet URL: network=mainnet"),
        Refusal::NoFeeLimit => failure.hint(
            "wallet-fees in the wallet URL accepts whatever the wallet charges for routing, on top of --max-cost",
        ),
        _ => failure,
    }
}

fn with_offer(failure: Failure, offer: &Offer) -> Failure {
    let amount = Invoice::parse(&offer.invoice).ok().and_then(|invoice| invoice.amount());
    let failure = match amount {
        Some(amount) => failure.detail("price", &amount),
        None => failure,
    };
    failure.detail("invoice", &offer.invoice).detail("token", &crate::decode::token_text(&offer.token))
}

fn wallet_hint() -> String {
    "set one with --wallet URL or L402_WALLET: \"loopback:\" pays a demo, \
     \"lnd://127.0.0.1:10009?macaroon=FILE&cert=FILE\" pays from an lnd node"
        .to_owned()
}

fn kinds() -> String {
    wallet_schemes(l402_backends::ALL).collect::<Vec<_>>().join(", ")
}

/// The vault in `root`, or why not.
pub(crate) fn open_vault(root: &std::path::Path) -> Result<Vault, Failure> {
    Ok(Vault::open(root)?)
}
