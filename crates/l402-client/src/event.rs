//! What happens on the way, for whoever wants to show it. The library itself never prints.

use std::time::Duration;

use l402::PaymentHash;
use l402_lightning::MilliSat;
use reqwest::Url;

use crate::approval::Approved;
use crate::origin::Origin;
use crate::vault::{LockOwner, VaultError};

/// Something worth telling a person.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The server pointed elsewhere, and the request follows.
    Redirected {
        /// Where to.
        to: &'a Url,
    },
    /// A token from the store is presented, without having been asked for.
    TokenPresented {
        /// Its payment hash.
        hash: PaymentHash,
    },
    /// The server asks for money, and everything about its offer is in order.
    PriceAsked {
        /// The offer, checked.
        approved: &'a Approved,
    },
    /// A purchase over plain HTTP from another machine: whoever is on the way can change the offer and take the token.
    Unprotected {
        /// The seller.
        origin: &'a Origin,
    },
    /// The wallet says that it spent more on routing than it was allowed to.
    LimitBroken {
        /// What it cost.
        receipt: &'a Receipt,
        /// What routing was allowed to cost.
        fee_max: MilliSat,
    },
    /// Another process is buying the same thing; its token will be used.
    Waiting {
        /// Who.
        owner: Option<&'a LockOwner>,
    },
    /// An earlier payment has no known outcome; the wallet is asked.
    Resolving {
        /// The payment.
        hash: PaymentHash,
    },
    /// The wallet is told to pay.
    Paying {
        /// What the seller gets.
        amount: Option<MilliSat>,
        /// What routing may cost on top.
        fee_max: MilliSat,
        /// The wallet's name.
        wallet: &'a str,
    },
    /// Paid, and the preimage is right.
    Paid {
        /// What it cost, and how it was found out.
        receipt: &'a Receipt,
    },
    /// The paid token could not be written. The purchase goes on: the intent is on disk, and the wallet knows the rest.
    NotSaved {
        /// Why.
        error: &'a VaultError,
    },
}

/// What a purchase cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The payment.
    pub hash: PaymentHash,
    /// What the invoice asked for.
    pub amount: Option<MilliSat>,
    /// What routing cost, as the wallet says.
    pub fee: Option<MilliSat>,
    /// From the decision to pay to the preimage.
    pub took: Duration,
    /// The payment was made by an earlier run, which did not live to see its outcome.
    pub earlier: bool,
}

/// Takes events as they happen. Called from the task that fetches: it must not block.
pub type Witness = std::sync::Arc<dyn Fn(&Event<'_>) + Send + Sync>;
