//! Price + invoice + token = challenge. Limits come first, the node is called at most once, and what it returns is
//! compared with what was asked before anything leaves.

use crate::{
    gate::Now,
    keys::KeyRing,
    ledger::Units,
    limit::{LimitReached, MintLimiter, MintLimits},
    meter::Pack,
    route::Found,
};
use l402::{Challenge, Identifier, MintError, TokenId, TokenSpec};
use l402_lightning::{
    Expected, Invoice, InvoiceRequest, Invoicer, InvoicerCapabilities, InvoicerError, KeyControl, MilliSat,
    Network,
};
use std::{net::IpAddr, sync::Arc};

/// How long a client waits before it asks again while the node cannot make invoices, in seconds.
const NODE_RETRY_SECS: u64 = 5;

/// Where random bytes come from. A predictable source lets anybody forge tokens of the current epoch's ids, but not
/// their keys; a repeating one makes two purchases share one invoice.
pub trait Entropy: Send + Sync {
    /// Fills `bytes` with unpredictable ones.
    fn fill(&self, bytes: &mut [u8]);
}

/// Makes challenges.
pub struct Mint {
    /// The node that is paid.
    pub invoicer: Arc<dyn Invoicer>,
    /// The network its invoices must be on.
    pub network: Network,
    /// The macaroon's location text; deployed verifiers expect `lsat`.
    pub location: String,
    /// Seconds until an invoice expires. Short, because an unpaid one stays in the node until then.
    pub invoice_expiry_secs: u32,
    /// How many challenges are made.
    pub limits: MintLimits,
    /// Source of token ids.
    pub entropy: Arc<dyn Entropy>,
    limiter: Arc<MintLimiter>,
}

/// A challenge with the facts that its 402 tells.
#[derive(Debug)]
pub struct Minted {
    /// Token and invoice.
    pub challenge: Challenge,
    /// What it costs.
    pub price: MilliSat,
    /// How many units it buys, where the service is metered and the challenge is new.
    pub units: Option<Units>,
    /// When the invoice expires, in Unix seconds.
    pub expires_at: u64,
}

/// Why no challenge was made.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum MintRefusal {
    /// The client's network asked too often.
    #[error("too many challenges for one client network")]
    Limited {
        /// Seconds until the next one.
        retry_secs: u64,
    },
    /// The service's or the gateway's budget is spent.
    #[error("the budget for challenges is spent")]
    Budget {
        /// Seconds until the next one.
        retry_secs: u64,
    },
    /// The rule has no price: nothing can be sold here.
    #[error("no price is set")]
    NoPrice,
    /// The node made no invoice, or not the one that was asked for.
    #[error("the node made no usable invoice: {error}")]
    Node {
        /// What went wrong.
        error: InvoicerError,
        /// Seconds until it is worth asking again.
        retry_secs: u64,
    },
    /// The token could not be made.
    #[error("the token could not be minted: {0}")]
    Token(MintError),
}

impl Mint {
    /// A mint with fresh limits.
    pub fn new(invoicer: Arc<dyn Invoicer>, network: Network, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            invoicer,
            network,
            location: "lsat".to_owned(),
            invoice_expiry_secs: 600,
            limits: MintLimits::default(),
            entropy,
            limiter: Arc::new(MintLimiter::new()),
        }
    }

    /// Takes over the buckets of the mint that this one replaces.
    #[must_use]
    pub fn continuing(mut self, previous: &Self) -> Self {
        self.limiter = Arc::clone(&previous.limiter);
        self
    }

    /// Makes a challenge for what was found: for `pack` where the service is metered, else for the rule's own price.
    pub async fn offer(
        &self,
        keys: &KeyRing,
        found: Found<'_>,
        pack: Option<&Pack>,
        client: IpAddr,
        now: Now,
    ) -> Result<Minted, MintRefusal> {
        self.limit(found, client, now.monotonic_ns)?;
        self.issue(keys, found, pack, now.unix).await
    }

    /// Takes one challenge from the client's, the service's and the gateway's budget.
    fn limit(&self, found: Found<'_>, client: IpAddr, now_ns: u64) -> Result<(), MintRefusal> {
        let taken = self.limiter.take(&self.limits, client, found.service.name().as_str(), now_ns);
        taken.map_err(|reached| match reached {
            LimitReached::Network { retry_secs } => MintRefusal::Limited { retry_secs },
            LimitReached::Budget { retry_secs } => MintRefusal::Budget { retry_secs },
        })
    }

    /// Makes a challenge that a budget was spent on.
    async fn issue(
        &self,
        keys: &KeyRing,
        found: Found<'_>,
        pack: Option<&Pack>,
        now: u64,
    ) -> Result<Minted, MintRefusal> {
        let price = pack.map(|pack| pack.price).or(found.rule.price());
        let price = price.filter(|price| price.as_msat() > 0).ok_or(MintRefusal::NoPrice)?;
        let token_id = self.draw_token_id(keys);
        let invoice = self.invoice(keys, &token_id, price, found, now).await?;
        let identifier = Identifier { payment_hash: invoice.payment_hash(), token_id };
        let mut says = found.rule.sells.clone();
        says.units = pack.map(|pack| pack.units.get());
        says.valid_until = found.service.spec().valid_for_secs.map(|secs| now.saturating_add(secs));
        let challenge =
            seal(keys, &self.location, &identifier, &says, &invoice).map_err(MintRefusal::Token)?;
        let units = pack.map(|pack| pack.units);
        Ok(Minted { challenge, price, units, expires_at: invoice.expires_at() })
    }

    /// Four bytes of epoch, 28 random ones.
    fn draw_token_id(&self, keys: &KeyRing) -> TokenId {
        let mut id = [0; 32];
        let (epoch, random) = id.split_at_mut(4);
        epoch.copy_from_slice(&keys.current().0);
        self.entropy.fill(random);
        TokenId::from_bytes(id)
    }

    async fn invoice(
        &self,
        keys: &KeyRing,
        token_id: &TokenId,
        price: MilliSat,
        found: Found<'_>,
        now: u64,
    ) -> Result<Invoice, MintRefusal> {
        let InvoicerCapabilities { key_control, terms, .. } = self.invoicer.capabilities();
        let chooses = key_control == KeyControl::Preimage;
        let request = InvoiceRequest {
            amount: price,
            expiry_secs: self.invoice_expiry_secs,
            description: format!("L402 {}", found.service.name()),
            preimage: chooses.then(|| keys.preimage_key().preimage(token_id)),
        };
        let node = |error| match error {
            InvoicerError::Resting { retry_secs } => MintRefusal::Node { error, retry_secs },
            error => MintRefusal::Node { error, retry_secs: NODE_RETRY_SECS },
        };
        let invoice = self.invoicer.create(request.clone()).await.map_err(node)?;
        let expected = Expected { request: &request, network: self.network, now, terms };
        l402_lightning::check(&invoice, &expected).map_err(|lie| node(InvoicerError::Lied(lie)))?;
        Ok(invoice)
    }
}

/// Mints the token and reads it back: a restriction that is not in the bytes fails the mint (`l402::mint` does that).
fn seal(
    keys: &KeyRing,
    location: &str,
    identifier: &Identifier,
    says: &TokenSpec,
    invoice: &Invoice,
) -> Result<Challenge, MintError> {
    let token = l402::mint(&keys.mint_key(identifier), location, identifier, says)?;
    Ok(Challenge { token, invoice: invoice.text().to_owned() })
}

impl std::fmt::Debug for Mint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mint")
            .field("network", &self.network)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
