//! A loopback node with its wallet door open.

use crate::{SeededEntropy, Seller, SellerOptions, VirtualClock, background::Background};
use l402_lightning::loopback::{LoopbackNode, serve_wallet};
use std::{net::SocketAddr, sync::Arc};

/// A node that is paid and pays, and the time and chance that it lives by.
#[derive(Debug)]
pub struct World {
    /// The time, to be moved.
    pub clock: VirtualClock,
    /// The chance, by the world's seed.
    pub entropy: SeededEntropy,
    /// The node, with its knobs and its ledger.
    pub node: Arc<LoopbackNode>,
    door: Background,
}

impl World {
    /// A world at `clock`'s time. Worlds of different seeds know nothing of each other's invoices.
    pub fn new(seed: u64, clock: VirtualClock) -> Self {
        let entropy = SeededEntropy::new(seed);
        let node = Arc::new(LoopbackNode::new(entropy.bytes32(), clock.as_fn()));
        let served = Arc::clone(&node);
        let door = Background::start(async move |listener, stopped| {
            let shutdown = async move {
                let _ = stopped.await;
            };
            serve_wallet(listener, served, shutdown).await.expect("a loopback address");
        });
        Self { clock, entropy, node, door }
    }

    /// A world that other processes can live in: its clock goes with the system's.
    pub fn live(seed: u64) -> Self {
        Self::new(seed, VirtualClock::following_the_system())
    }

    /// Where the wallet door is.
    pub fn wallet_address(&self) -> SocketAddr {
        self.door.address()
    }

    /// The wallet as the buyer's `--wallet` takes it.
    pub fn wallet_url(&self) -> String {
        format!("lnd+http://{}", self.wallet_address())
    }

    /// A seller whose invoices this world's wallet can pay.
    pub fn seller(&self, options: SellerOptions) -> Seller {
        Seller::start(Arc::clone(&self.node), self.clock.clone(), self.entropy.bytes32(), options)
    }
}
