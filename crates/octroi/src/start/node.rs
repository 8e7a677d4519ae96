//! The node that the config names, running.

use crate::{
    config::{Node, RemoteNode},
    edge::{OsEntropy, unix_secs},
};
use l402_lightning::{Invoicer, OpenError, loopback};
use l402_paywall::Entropy as _;
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// A node in use, with what has to run beside it.
pub struct RunningNode {
    /// Makes the invoices.
    pub invoicer: Arc<dyn Invoicer>,
    /// Where the loopback node's wallet is served.
    pub wallet: Option<SocketAddr>,
    door: Option<Door>,
}

struct Door {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Why the node is not running.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The wallet's address is taken or not ours.
    #[error("cannot listen on {address} (key `lightning.loopback.wallet`): {error}")]
    Wallet {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The settings of a node that runs elsewhere cannot be used.
    #[error("lightning.{backend}: {error}")]
    Open {
        /// Its kind.
        backend: &'static str,
        /// What is wrong with them.
        error: OpenError,
    },
}

/// Opens the way to a node that runs elsewhere; connects to nothing.
pub fn open_remote(remote: &RemoteNode) -> Result<Arc<dyn Invoicer>, NodeError> {
    let backend = remote.backend.name;
    let open = remote.backend.invoicer.ok_or(OpenError::WrongSide(backend));
    open.and_then(|open| open(&remote.settings)).map_err(|error| NodeError::Open { backend, error })
}

impl RunningNode {
    /// Starts the built-in node and its wallet door on the current runtime, or opens the way to one that runs elsewhere,
    /// which need not be up.
    pub async fn start(node: &Node) -> Result<Self, NodeError> {
        match node {
            Node::Loopback { wallet } => Self::start_loopback(*wallet).await,
            Node::Remote(remote) => Ok(Self::of(open_remote(remote)?)),
        }
    }

    /// A node that runs elsewhere, or in this program already.
    pub fn of(invoicer: Arc<dyn Invoicer>) -> Self {
        Self { invoicer, wallet: None, door: None }
    }

    async fn start_loopback(address: SocketAddr) -> Result<Self, NodeError> {
        let wallet_error = |error| NodeError::Wallet { address, error };
        let listener = TcpListener::bind(address).await.map_err(wallet_error)?;
        let wallet = listener.local_addr().map_err(wallet_error)?;
        let mut secret = [0; 32];
        OsEntropy.fill(&mut secret);
        let node = Arc::new(loopback::LoopbackNode::new(secret, Arc::new(unix_secs)));
        let (stop, stopped) = oneshot::channel();
        let served = loopback::serve_wallet(listener, Arc::clone(&node), async {
            let _ = stopped.await; // a dropped sender stops it too
        });
        let task = tokio::spawn(async {
            if let Err(error) = served.await {
                tracing::error!(%error, "the loopback wallet stopped");
            }
        });
        Ok(Self { invoicer: node, wallet: Some(wallet), door: Some(Door { stop, task }) })
    }

    /// Closes the wallet door.
    pub async fn stop(mut self) {
        if let Some(Door { stop, task }) = self.door.take() {
            let _ = stop.send(());
            let _ = task.await; // a panic there has been logged
        }
    }
}
