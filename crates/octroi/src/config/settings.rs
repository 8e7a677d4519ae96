//! What the gateway runs with: a config without problems, every value in its own type.

use super::{HostHeader, UpstreamProtocol, UpstreamUrl};
use http::HeaderName;
use ipnet::IpNet;
use l402_lightning::{Backend, Network, Proof, Secret, Settings};
use l402_paywall::{KeyFile, MintLimits, RouteTable};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// A checked config. Paths in it start from the folder of the config file.
#[derive(Debug)]
pub struct Config {
    /// Where buyers connect; at least one.
    pub listeners: Vec<Listener>,
    /// Where health, readiness and metrics are answered.
    pub ops: Option<SocketAddr>,
    /// Folder of what the gateway keeps.
    pub data_dir: PathBuf,
    /// Where the master keys are.
    pub keys: KeySource,
    /// Where balances and settlements are kept.
    pub ledger: LedgerChoice,
    /// The node that is paid.
    pub lightning: Lightning,
    /// What one client, or all together, may take.
    pub limits: Limits,
    /// How long things may last.
    pub timeouts: Timeouts,
    /// The location text of macaroons.
    pub location: String,
    /// The services and their rules.
    pub routes: RouteTable,
    /// Where the requests of each service go; the index is the service's in `routes`.
    pub upstreams: Vec<Upstream>,
}

/// One public listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Address to bind.
    pub address: SocketAddr,
    /// Certificate; absent: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Networks of proxies whose word about client addresses is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// The key that sets the address, for messages: `listen`, or `listen[1].address`.
    pub key: String,
}

/// PEM files of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Where the master keys are.
#[derive(Debug)]
pub enum KeySource {
    /// A key file.
    File(PathBuf),
    /// Keys handed in from outside; they can be neither made nor changed here.
    Secret(KeyFile),
}

/// Where balances and settlements are kept.
#[derive(Clone, Debug)]
pub enum LedgerChoice {
    /// A file in the data folder, for one gateway.
    Sqlite,
    /// A database that several gateways share.
    Postgres(PostgresLedger),
}

/// A ledger in a Postgres database.
#[derive(Clone, Debug)]
pub struct PostgresLedger {
    /// The URL, which holds a password as a rule.
    pub url: Secret,
    /// The schema that is the gateway's own.
    pub schema: String,
}

/// The node that is paid, and what is expected of it.
#[derive(Clone, Debug)]
pub struct Lightning {
    /// Which node.
    pub node: Node,
    /// The network of its invoices.
    pub network: Network,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Seconds in which an invoice can be paid.
    pub invoice_expiry_secs: u32,
    /// What proves a payment.
    pub proof: Proof,
}

/// A kind of node, with what it needs.
#[derive(Clone, Debug)]
pub enum Node {
    /// The built-in node that settles without money.
    Loopback {
        /// Where wallets pay; always a loopback address.
        wallet: SocketAddr,
    },
    /// A node that runs elsewhere.
    Remote(RemoteNode),
}

/// A node that runs elsewhere.
#[derive(Clone, Debug)]
pub struct RemoteNode {
    /// Its kind.
    pub backend: &'static Backend,
    /// What it has to be told.
    pub settings: Settings,
}

impl Node {
    /// The word for its kind in the config.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Loopback { .. } => "loopback",
            Self::Remote(remote) => remote.backend.name,
        }
    }
}

/// What one client, or all together, may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many challenges are minted.
    pub mint: MintLimits,
    /// Bytes of a request head.
    pub header_bytes: usize,
    /// Connections held at once.
    pub connections: usize,
}

/// How long things may last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Reading a request head.
    pub header: Duration,
    /// An idle connection.
    pub idle: Duration,
    /// Connecting to an upstream.
    pub connect: Duration,
    /// Waiting for the head of an upstream's response.
    pub response: Duration,
    /// One whole exchange.
    pub whole: Duration,
}

/// The upstream of a service and what is changed on the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Scheme, host and port.
    pub url: UpstreamUrl,
    /// How it is spoken to; absent: HTTP/1.1 without TLS, negotiated with it.
    pub protocol: Option<UpstreamProtocol>,
    /// How its certificate is verified.
    pub trust: UpstreamTrust,
    /// Which host name it sees.
    pub host_header: HostHeader,
    /// Whether it sees the credential.
    pub forward_credential: bool,
    /// What stands in place of the service's prefix.
    pub rewrite: Option<String>,
    /// Headers of the client that are otherwise removed.
    pub pass_headers: Vec<HeaderName>,
}

/// By what an `https` upstream's certificate is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamTrust {
    /// The authorities of the system.
    System,
    /// The authorities in a PEM file.
    Authorities(PathBuf),
    /// Nothing: anybody in between can read and change everything.
    InsecureNone,
}
