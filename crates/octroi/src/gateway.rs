//! A running gateway: the engine, the node beside it, the operator's listener, and the snapshot that a reload swaps.

use crate::{
    config::{Config, ConfigError, Listener, Node},
    edge::Clock,
    listener::{Engine, EngineError, EngineSettings, TlsError},
    ops::{self, Readyz},
    proxy::{Shared, Snapshot, SnapshotError},
    start::{
        KeysError, NeedsRestart, NodeError, RunningNode, Till, TillError, TillReport, build_gate, open_keys,
        read_keys,
    },
    telemetry::Telemetry,
};
use arc_swap::ArcSwap;
use l402_paywall::{KeyFile, RouteTable};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinHandle};

/// How long requests in progress may take to end after the gateway was told to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// Samples of durations are folded this often, scraped or not; they would pile up otherwise.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// Why a gateway did not start, or did not take a new configuration.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The config has problems.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There are no keys to start with.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The node does not run.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The store of settlements cannot be used.
    #[error(transparent)]
    Till(#[from] TillError),
    /// What changed cannot change while the gateway runs.
    #[error(transparent)]
    NeedsRestart(#[from] NeedsRestart),
    /// An upstream's TLS cannot be set up.
    #[error(transparent)]
    Upstream(#[from] SnapshotError),
    /// A listener cannot be opened.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] TlsError),
    /// The operator's listener cannot be opened.
    #[error("cannot listen on {address} (key `ops`): {error}")]
    Ops {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
}

impl StartError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let in_use = |error: &io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => "another program listens there: stop it, or choose another address",
            io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE)",
            _ => "is it an address of this machine?",
        };
        match self {
            Self::Keys(error) => Some(error.hint()),
            Self::Engine(EngineError::Bind { error, .. })
            | Self::Ops { error, .. }
            | Self::Node(NodeError::Wallet { error, .. }) => Some(in_use(error).to_owned()),
            Self::Node(NodeError::Open { error, .. }) => Some(error.hint()),
            Self::Upstream(_) => {
                Some("check `upstream`, `upstream_ca` and the system's certificates".to_owned())
            }
            Self::Certificate(_) | Self::Engine(EngineError::Tls { .. }) => {
                Some("both files are PEM: the certificate with its chain, and its private key".to_owned())
            }
            Self::Till(error) => Some(error.hint()),
            Self::Engine(EngineError::Worker(_)) | Self::Config(_) | Self::NeedsRestart(_) => None,
        }
    }
}

/// A gateway that serves.
pub struct Gateway {
    engine: Engine,
    till: Till,
    ops: Option<(SocketAddr, JoinHandle<()>)>,
    upkeep: JoinHandle<()>,
    listeners: Vec<Listener>,
    telemetry: Arc<Telemetry>,
}

impl Gateway {
    /// Starts everything that the config names, on the current runtime and threads of its own.
    pub async fn start(
        config: Config,
        telemetry: Arc<Telemetry>,
        workers: usize,
    ) -> Result<Self, StartError> {
        let keys = first_keys(&config)?;
        let node = RunningNode::start(&config.lightning.node).await?;
        let is_loopback = matches!(config.lightning.node, Node::Loopback { .. });
        telemetry.meters.set_loopback(is_loopback);
        if let Some(wallet) = node.wallet.filter(|_| is_loopback) {
            tracing::warn!(
                %wallet,
                "LOOPBACK NODE: invoices are for regtest and no money moves; whoever reaches the wallet address can pay them"
            );
        }
        Self::serve(config, &keys, node, telemetry, workers).await
    }

    /// Starts everything but the node, which is handed in; what the config says about its kind does not count.
    pub async fn start_with_node(
        config: Config,
        node: RunningNode,
        telemetry: Arc<Telemetry>,
        workers: usize,
    ) -> Result<Self, StartError> {
        let keys = first_keys(&config)?;
        Self::serve(config, &keys, node, telemetry, workers).await
    }

    async fn serve(
        mut config: Config,
        keys: &KeyFile,
        node: RunningNode,
        telemetry: Arc<Telemetry>,
        workers: usize,
    ) -> Result<Self, StartError> {
        let mut till = Till::open(&config, node, &telemetry).await?;
        till.begin(&config, &telemetry).await?;
        let payee = till.payee(&config.lightning)?;
        let gate = build_gate(take_routes(&mut config), &config, keys, payee, None);
        let snapshot = Snapshot::new(gate, &config, None)?;
        let shared = Arc::new(Shared {
            snapshot: ArcSwap::from_pointee(snapshot),
            telemetry: Arc::clone(&telemetry),
            clock: Clock::start(),
            workers: workers as u64,
        });
        let settings = EngineSettings {
            listeners: &config.listeners,
            workers,
            header_bytes: config.limits.header_bytes,
            connections: config.limits.connections,
        };
        let ops = match config.ops {
            Some(address) => Some(start_ops(address, &telemetry, &till).await?),
            None => None,
        };
        let engine = Engine::start(shared, &settings)?;
        let upkeep = tokio::spawn(keep_up(Arc::clone(&telemetry), till.upkeep()));
        Ok(Self { engine, till, ops, upkeep, listeners: config.listeners, telemetry })
    }

    /// Where buyers connect, in the order of the config.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.engine.addresses()
    }

    /// The listeners as configured.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Where health and metrics are answered.
    pub fn ops(&self) -> Option<SocketAddr> {
        self.ops.as_ref().map(|(address, _)| *address)
    }

    /// Where the loopback node's wallet is served.
    pub fn wallet(&self) -> Option<SocketAddr> {
        self.till.node().wallet
    }

    /// Counters and access log.
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    /// Takes a new configuration: services, prices, upstreams, limits, keys and certificates. Requests in progress keep
    /// the old one. Addresses, the node and the number of connections stay as they are until a restart.
    pub fn reload(&mut self, mut config: Config) -> Result<(), StartError> {
        let keys = read_keys(&config)?;
        let shared = self.engine.shared();
        let previous = shared.snapshot.load_full();
        let routes = take_routes(&mut config);
        let payee = self.till.payee(&config.lightning)?;
        let gate = build_gate(routes, &config, &keys, payee, Some(&previous.gate));
        let addresses = |listeners: &[Listener]| listeners.iter().map(|l| l.address).collect::<Vec<_>>();
        let keeps_addresses = addresses(&config.listeners) == addresses(&self.listeners);
        if !keeps_addresses {
            tracing::warn!("`listen` has changed; listeners change only at a restart");
            config.listeners.clone_from(&self.listeners);
        }
        let snapshot = Snapshot::new(gate, &config, Some(&previous))?;
        self.engine.reload_certificates(&config.listeners)?;
        shared.snapshot.store(Arc::new(snapshot));
        self.listeners = config.listeners;
        Ok(())
    }

    /// Stops accepting, lets requests in progress end, then stops everything.
    pub async fn drain(self) {
        let engine = self.engine;
        // A panic in a worker has printed itself.
        let _ = tokio::task::spawn_blocking(move || engine.drain(DRAIN_LIMIT)).await;
        let ops = self.ops.map(|(_, ops)| ops);
        for task in ops.into_iter().chain([self.upkeep]) {
            task.abort();
            let _ = task.await; // ended by the line above
        }
        self.till.close().await;
    }
}

/// The keys to begin with; new ones where nothing exists yet.
fn first_keys(config: &Config) -> Result<KeyFile, KeysError> {
    let (keys, are_new) = open_keys(config)?;
    if are_new {
        tracing::info!(epoch = %keys.current(), "new master keys made; keep a backup of the key file");
    }
    Ok(keys)
}

/// The table moves into the gate; the rest of the config is still needed.
fn take_routes(config: &mut Config) -> RouteTable {
    std::mem::take(&mut config.routes)
}

async fn keep_up(telemetry: Arc<Telemetry>, tell: impl Fn()) {
    let mut tick = tokio::time::interval(UPKEEP_EVERY);
    loop {
        tick.tick().await;
        tell();
        telemetry.meters.upkeep();
    }
}

async fn start_ops(
    address: SocketAddr,
    telemetry: &Arc<Telemetry>,
    till: &Till,
) -> Result<(SocketAddr, JoinHandle<()>), StartError> {
    let ops_error = |error| StartError::Ops { address, error };
    let listener = TcpListener::bind(address).await.map_err(ops_error)?;
    let bound = listener.local_addr().map_err(ops_error)?;
    let report = till.reporter();
    let readiness = Arc::new(move || {
        let TillReport { mut parts, works } = report();
        parts["config"] = "loaded".into();
        // A node that is down stops sales, not service.
        Readyz { ready: works, parts }
    });
    Ok((bound, tokio::spawn(ops::serve(listener, Arc::clone(telemetry), readiness))))
}
