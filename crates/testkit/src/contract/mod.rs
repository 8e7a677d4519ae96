//! What every Lightning backend has to keep, as scenarios that run over all of them.
//!
//! A backend's tests give a rig: the adapter under test together with the node behind it, which can be told to fail.
//! [`seller_contract!`](crate::seller_contract) and [`buyer_contract!`](crate::buyer_contract) make one test of each
//! scenario, each with a fresh rig:
//!
//! ```text
//! async fn rig() -> MySellerRig { .. }
//! testkit::seller_contract!(rig);
//! ```
//!
//! What a backend has no room for (a service without certificates, a node that chooses its preimages) is listed by the
//! rig in `lacks`, each with the reason. The suite holds the list against what the rig and the adapter really do: a
//! lack that is not listed fails the scenario, and so does one that is listed and not there.

#![expect(clippy::panic, reason = "a promise that is not kept ends the scenario")]

pub mod buyer;
mod lack;
pub mod seller;
mod shown;
mod wait;

pub use lack::{Lack, LackOf};
pub use wait::run;

use l402::{PaymentHash, Preimage};
use l402_lightning::{
    BoxFuture, Invoice, Invoicer, MilliSat, Network, OpenError, Payer, loopback::WrongInvoice,
};
use std::sync::Arc;

/// A node under test, seen by whoever is paid by it; one fresh world per scenario.
pub trait SellerRig: Send + Sync {
    /// A fresh adapter with a good credential: also what a restarted gateway would have. Never connects.
    fn invoicer(&self) -> Arc<dyn Invoicer>;

    /// An adapter with this one thing wrong, and well-formed; `None` where the backend has no such thing, which
    /// [`lacks`](Self::lacks) has to say.
    fn invoicer_with(&self, wrong: WrongAuth) -> Option<Result<Arc<dyn Invoicer>, OpenError>>;

    /// Somebody pays this invoice. Returns once the node has it in its records; gives the preimage.
    fn settle<'a>(&'a self, invoice: &'a Invoice) -> BoxFuture<'a, Preimage>;

    /// As [`settle`](Self::settle), with so much beyond what the invoice asks for, in whole satoshis and less than what it
    /// asks for. `None` where the service does not tell what an invoice asked for, which [`lacks`](Self::lacks) has to say.
    fn overpay<'a>(&'a self, _: &'a Invoice, _: MilliSat) -> Option<BoxFuture<'a, Preimage>> {
        None
    }

    /// Moves the node's clock forward, so that invoices expire.
    fn advance(&self, secs: u64);

    /// The node's present time, in unix seconds.
    fn now(&self) -> u64;

    /// Makes the node fail in this way; [`NodeFault`] says for how long. `false` where it cannot occur here, which
    /// [`lacks`](Self::lacks) has to say.
    fn arm(&self, fault: NodeFault) -> bool;

    /// Takes every fault back.
    fn heal(&self);

    /// The node goes away and comes back with its records. Open connections break.
    fn restart(&self) -> BoxFuture<'_, ()>;

    /// How many invoices were made in the node in all, whatever became of them.
    fn invoice_count(&self) -> usize;

    /// What does not exist for this backend.
    fn lacks(&self) -> &'static [Lack];

    /// Texts that no error may show: the credentials as they are written and as they are sent.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// The network that the node is on.
    fn network(&self) -> Network {
        Network::Regtest
    }
}

/// A wallet under test, seen by whoever pays from it; one fresh world per scenario.
pub trait BuyerRig: Send + Sync {
    /// Opens a fresh adapter with a good credential, as a buyer does at every start.
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn Payer>, OpenError>>;

    /// Opens an adapter with this one thing wrong, and well-formed; `None` where the backend has no such thing, which
    /// [`lacks`](Self::lacks) has to say.
    fn open_with(&self, wrong: WrongAuth) -> Option<BoxFuture<'_, Result<Arc<dyn Payer>, OpenError>>>;

    /// A stranger's invoice that this wallet can pay, for 600 seconds. Every one has another hash.
    fn invoice(&self, amount: MilliSat) -> Invoice;

    /// Makes the wallet fail in this way; [`PayFault`] says for how long. `false` where it cannot occur here, which
    /// [`lacks`](Self::lacks) has to say.
    fn arm(&self, fault: PayFault) -> bool;

    /// Takes every fault back; payments held by [`PayFault::Hold`] stay held.
    fn heal(&self);

    /// Lets the payments held by [`PayFault::Hold`] succeed.
    fn release(&self);

    /// Moves the wallet's clock forward, so that invoices expire.
    fn advance(&self, secs: u64);

    /// The wallet's present time, in unix seconds.
    fn now(&self) -> u64;

    /// How many times money moved for this hash, or is on its way: never more than once.
    fn payment_count(&self, payment_hash: PaymentHash) -> usize;

    /// What does not exist for this backend.
    fn lacks(&self) -> &'static [Lack];

    /// Texts that no error may show: the credentials as they are written and as they are sent.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// The network that the wallet is on.
    fn network(&self) -> Network {
        Network::Regtest
    }
}

/// The one thing that is wrong with how an adapter shows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongAuth {
    /// The credential is another node's: a macaroon, rune, key or password of the right form.
    Credential,
    /// The credential is good and lacks the right to issue invoices (seller) or to pay (buyer).
    Permission,
    /// The node shows another certificate than the trusted one.
    Certificate,
}

impl WrongAuth {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Credential, Self::Permission, Self::Certificate];
}

/// What a node, or the line to it, can do to a seller.
///
/// "Until healed": every call, until [`SellerRig::heal`]. The others are over once they have struck, or when healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeFault {
    /// The next invoice is made, and the line breaks before the answer.
    LoseCreateAnswer,
    /// Nobody listens; open connections break. Until healed.
    Down,
    /// The node takes requests and never answers. Until healed.
    Hang,
    /// Answers, of whatever status the node gives when all is well, that are not in the interface's format. Until
    /// healed.
    Garble,
    /// Answers that break off in the middle. Until healed.
    Truncate,
    /// Answers larger than any right one (2 MiB). Until healed.
    Oversize,
    /// The next invoice is for another network.
    WrongNetwork,
    /// The next invoice asks for another amount.
    WrongAmount,
    /// The next invoice is bound to another preimage.
    WrongHash,
    /// The next invoice has another expiry.
    WrongExpiry,
    /// The next invoice has another description.
    WrongDescription,
    /// The line that tells of settlements breaks: the open one at once, or else the next one, as it is asked.
    FeedCut,
    /// Notifications of settlements come twice. Until healed.
    FeedDuplicate,
    /// The notifications of the next two settlements come in opposite order.
    FeedReorder,
    /// Notifications of settlements are lost; the node's records are right. Until healed.
    FeedGap,
    /// The node's wallet is locked. Until healed.
    Locked,
    /// The node is starting, or behind the chain. Until healed.
    Starting,
}

impl NodeFault {
    /// Each of them.
    pub const ALL: [Self; 17] = [
        Self::LoseCreateAnswer,
        Self::Down,
        Self::Hang,
        Self::Garble,
        Self::Truncate,
        Self::Oversize,
        Self::WrongNetwork,
        Self::WrongAmount,
        Self::WrongHash,
        Self::WrongExpiry,
        Self::WrongDescription,
        Self::FeedCut,
        Self::FeedDuplicate,
        Self::FeedReorder,
        Self::FeedGap,
        Self::Locked,
        Self::Starting,
    ];

    /// How the invoice is wrong that a node makes with this fault, where it makes a wrong one.
    pub fn wrong_invoice(self) -> Option<WrongInvoice> {
        match self {
            Self::WrongNetwork => Some(WrongInvoice::Network(Network::Mainnet)),
            Self::WrongAmount => Some(WrongInvoice::Amount(MilliSat::from_msat(1))),
            Self::WrongHash => Some(WrongInvoice::PaymentHash),
            Self::WrongExpiry => Some(WrongInvoice::ExpirySecs(86_400)),
            Self::WrongDescription => Some(WrongInvoice::Description),
            _ => None,
        }
    }
}

/// What a wallet, or the line to it, can do to a buyer.
///
/// "Until healed": every call, until [`BuyerRig::heal`]. The others strike the next payment and are over then, or when
/// healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayFault {
    /// There is no route to the payee. Until healed.
    NoRoute,
    /// Every route costs more than this. Until healed.
    FeeAbove(MilliSat),
    /// The payment stays in flight until [`BuyerRig::release`].
    Hold,
    /// The payment is made, and the line breaks before the answer.
    LoseAnswer,
    /// The wallet does not hold enough. Until healed.
    InsufficientBalance,
    /// Nobody listens; open connections break. Until healed.
    Down,
    /// The wallet takes requests and never answers. Until healed.
    Hang,
    /// Answers that are not in the interface's format; payments are made. Until healed.
    Garble,
    /// Answers that break off in the middle; payments are made. Until healed.
    Truncate,
    /// Answers larger than any right one (2 MiB); payments are made. Until healed.
    Oversize,
    /// The payment is made, and the answer, which says so, has no preimage.
    NoPreimage,
    /// The payment is made, and the answer has the preimage of something else.
    WrongPreimage,
    /// The wallet is locked. Until healed.
    Locked,
}

impl PayFault {
    /// Each of them.
    pub const ALL: [Self; 13] = [
        Self::NoRoute,
        Self::FeeAbove(MilliSat::ZERO),
        Self::Hold,
        Self::LoseAnswer,
        Self::InsufficientBalance,
        Self::Down,
        Self::Hang,
        Self::Garble,
        Self::Truncate,
        Self::Oversize,
        Self::NoPreimage,
        Self::WrongPreimage,
        Self::Locked,
    ];

    /// Whether both are the same fault, whatever its figure.
    pub fn is_same_kind(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// Makes one test of each scenario of [`contract::seller`](crate::contract::seller), in a module `seller_contract`.
/// Takes the name of an `async fn() -> impl SellerRig`.
#[macro_export]
macro_rules! seller_contract {
    ($rig:ident) => {
        $crate::seller_scenarios! { contract_tests seller_contract seller $rig }
    };
}

/// Makes one test of each scenario of [`contract::buyer`](crate::contract::buyer), in a module `buyer_contract`.
/// Takes the name of an `async fn() -> impl BuyerRig`.
#[macro_export]
macro_rules! buyer_contract {
    ($rig:ident) => {
        $crate::buyer_scenarios! { contract_tests buyer_contract buyer $rig }
    };
}

/// One test of each scenario in a list.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_tests {
    ($module:ident $side:ident $rig:ident [$($scenario:ident)*]) => {
        mod $module {
            use super::$rig;
            $(
                #[test]
                fn $scenario() {
                    $crate::contract::run(async {
                        let rig = $rig().await;
                        $crate::contract::$side::$scenario(&rig).await;
                    });
                }
            )*
        }
    };
}

/// The scenarios of one side as they are called: one list, for the tests and for the declarations alike.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_names {
    ([$($scenario:ident)*]) => {
        /// The names of all scenarios.
        pub const SCENARIOS: &[&str] = &[$(stringify!($scenario)),*];
    };
}

#[cfg(test)]
mod tests {
    use super::{buyer, seller};
    use std::{collections::BTreeSet, fs, path::Path};

    #[test]
    fn every_scenario_is_in_its_list() {
        for (side, listed) in [("seller", seller::SCENARIOS), ("buyer", buyer::SCENARIOS)] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/contract").join(side);
            let mut written = BTreeSet::new();
            for file in fs::read_dir(folder).unwrap() {
                let source = fs::read_to_string(file.unwrap().path()).unwrap();
                let functions = source.lines().filter_map(|line| line.strip_prefix("pub async fn "));
                written.extend(functions.filter_map(|rest| Some(rest.split_once('(')?.0.to_owned())));
            }
            let in_list: BTreeSet<_> = listed.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(written, in_list, "{side}");
            assert_eq!(in_list.len(), listed.len(), "{side}: no scenario twice");
        }
    }
}
