//! Everything that is checked in an offer before a millisatoshi moves.
//!
//! An [`Approved`] offer can only be made here, and only an approved offer is paid.

use l402::{Offer, PaymentHash};
use l402_lightning::{Invoice, InvoiceError, MilliSat, Network, PayerCapabilities};
use thiserror::Error;

use crate::cap::{FeeLimit, SpendingCap};
use crate::scope;

/// An invoice with less time left is not paid: the payment would end after it.
pub const TIME_LEFT_SECS_MIN: u64 = 10;

/// Most blocks the payee's last hop may hold the money, about a week. Common values are 18 to 144; a larger one
/// locks the buyer's money for nothing (BOLT 11, field `c`).
pub const FINAL_CLTV_BLOCKS_MAX: u64 = 1008;

/// An offer whose token belongs to its invoice, and whose invoice can be paid here, now, within the cap.
#[derive(Debug, Clone)]
pub struct Approved {
    offer: Offer,
    invoice: Invoice,
    amount: MilliSat,
    fee: FeeLimit,
}

/// Why an offer, or the wallet it would be paid from, is refused. Nothing was paid.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The server's invoice cannot be used.
    #[error("the server's invoice is not usable: {0}")]
    Invoice(#[from] InvoiceError),
    /// The token commits to another payment than the invoice asks for: paying would buy nothing.
    #[error("the token belongs to another payment ({token}) than the invoice ({invoice})")]
    OtherPayment {
        /// The hash in the token's identifier.
        token: PaymentHash,
        /// The hash in the invoice.
        invoice: PaymentHash,
    },
    /// The invoice leaves the amount open.
    #[error("the invoice names no amount")]
    Amountless,
    /// The invoice has expired, or will before a payment could end.
    #[error("the invoice has expired, or has less than {TIME_LEFT_SECS_MIN} s left")]
    Expired,
    /// The amount is over the cap.
    #[error("the price is {amount}, more than the cap of {cap}")]
    TooDear {
        /// What the invoice asks for.
        amount: MilliSat,
        /// The most that may be spent, fee included.
        cap: MilliSat,
    },
    /// The payee would hold the money for too long.
    #[error("the invoice wants the payment locked for {blocks} blocks")]
    LockTime {
        /// `min_final_cltv_expiry` of the invoice.
        blocks: u64,
    },
    /// The token on offer has already ended by its own word.
    #[error("the token on offer has already expired")]
    TokenExpired,
    /// The invoice is for another network than the wallet's.
    #[error("the invoice is for {invoice}, the wallet is on {wallet}")]
    OtherNetwork {
        /// The invoice's network.
        invoice: Network,
        /// The wallet's.
        wallet: Network,
    },
    /// The wallet does not say on which network it pays.
    #[error("the wallet does not say which network it is on")]
    UnknownNetwork,
    /// The wallet keeps preimages to itself: nothing can be bought with it.
    #[error("the wallet returns no preimages")]
    NoPreimages,
    /// The wallet cannot be asked about a payment by hash, so a lost answer could mean paying twice.
    #[error("the wallet cannot be asked about a payment by its hash")]
    NoLookup,
    /// The wallet has no fee limit, so the cap could not be kept.
    #[error("the wallet cannot limit the routing fee")]
    NoFeeLimit,
}

impl Approved {
    /// Checks an offer at `now` (unix seconds) against everything but the wallet.
    pub fn check(offer: Offer, cap: SpendingCap, now: u64) -> Result<Self, Refusal> {
        let invoice = Invoice::parse(&offer.invoice)?;
        let token = offer.identifier.payment_hash;
        if token != invoice.payment_hash() {
            return Err(Refusal::OtherPayment { token, invoice: invoice.payment_hash() });
        }
        if scope::valid_until(&offer.token.view()).is_some_and(|end| now >= end) {
            return Err(Refusal::TokenExpired);
        }
        let (amount, fee) = payable(&invoice, cap, now)?;
        Ok(Self { offer, invoice, amount, fee })
    }

    /// The offer that was checked.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Its invoice.
    pub fn invoice(&self) -> &Invoice {
        &self.invoice
    }

    /// What the invoice asks for.
    pub fn amount(&self) -> MilliSat {
        self.amount
    }

    /// What the wallet may add for routing.
    pub fn fee(&self) -> FeeLimit {
        self.fee
    }
}

/// Whether an invoice can be paid at `now` within the cap: its amount, and what is left for the fee.
pub(crate) fn payable(
    invoice: &Invoice,
    cap: SpendingCap,
    now: u64,
) -> Result<(MilliSat, FeeLimit), Refusal> {
    let amount = invoice.amount().ok_or(Refusal::Amountless)?;
    if now.saturating_add(TIME_LEFT_SECS_MIN) > invoice.expires_at() {
        return Err(Refusal::Expired);
    }
    if invoice.min_final_cltv_expiry() > FINAL_CLTV_BLOCKS_MAX {
        return Err(Refusal::LockTime { blocks: invoice.min_final_cltv_expiry() });
    }
    let fee = cap.fee_limit(amount).ok_or(Refusal::TooDear { amount, cap: cap.most() })?;
    Ok((amount, fee))
}

/// Whether a wallet can buy what `invoice` sells: the right network, preimages, a fee limit (unless its owner accepts
/// whatever the wallet charges), lookup by hash.
pub(crate) fn wallet_fits(
    wallet: PayerCapabilities,
    accepts_wallet_fees: bool,
    invoice: &Invoice,
) -> Result<(), Refusal> {
    let network = wallet.network.ok_or(Refusal::UnknownNetwork)?;
    if network != invoice.network() {
        return Err(Refusal::OtherNetwork { invoice: invoice.network(), wallet: network });
    }
    for (able, refusal) in [
        (wallet.returns_preimage, Refusal::NoPreimages),
        (wallet.lookup_by_hash, Refusal::NoLookup),
        (wallet.fee_limit || accepts_wallet_fees, Refusal::NoFeeLimit),
    ] {
        if !able {
            return Err(refusal);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of BOLT 11 that names an amount and a node: mainnet, 2,500 micro-bitcoin.
    const INVOICE: &str = "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh";

    fn wallet() -> PayerCapabilities {
        PayerCapabilities {
            network: Some(Network::Mainnet),
            fee_limit: true,
            timeout: true,
            returns_preimage: true,
            lookup_by_hash: true,
        }
    }

    #[test]
    fn a_wallet_that_could_lose_money_or_proof_is_refused() {
        let invoice = Invoice::parse(INVOICE).unwrap();
        let fits = |wallet| wallet_fits(wallet, false, &invoice);
        assert_eq!(fits(wallet()), Ok(()));
        for (wallet, refusal) in [
            (PayerCapabilities { returns_preimage: false, ..wallet() }, Refusal::NoPreimages),
            (PayerCapabilities { lookup_by_hash: false, ..wallet() }, Refusal::NoLookup),
            (PayerCapabilities { fee_limit: false, ..wallet() }, Refusal::NoFeeLimit),
            (PayerCapabilities { network: None, ..wallet() }, Refusal::UnknownNetwork),
        ] {
            assert_eq!(fits(wallet), Err(refusal));
        }
        let no_limit = PayerCapabilities { fee_limit: false, ..wallet() };
        assert_eq!(wallet_fits(no_limit, true, &invoice), Ok(()));
        let wallet = PayerCapabilities { network: Some(Network::Regtest), ..wallet() };
        assert!(matches!(fits(wallet), Err(Refusal::OtherNetwork { .. })));
    }

    #[test]
    fn time_left_and_cap_decide_to_the_second_and_the_millisatoshi() {
        let invoice = Invoice::parse(INVOICE).unwrap();
        let cap = |msat| SpendingCap::new(MilliSat::from_msat(msat));
        let last = invoice.expires_at() - TIME_LEFT_SECS_MIN;
        let (amount, fee) = payable(&invoice, cap(250_000_001), last).unwrap();
        assert_eq!((amount.as_msat(), fee.most().as_msat()), (250_000_000, 1));
        assert_eq!(payable(&invoice, cap(250_000_001), last + 1).unwrap_err(), Refusal::Expired);
        assert!(matches!(payable(&invoice, cap(249_999_999), last), Err(Refusal::TooDear { .. })));
    }
}
