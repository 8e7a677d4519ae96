//! The config file as people write it: one struct per section, one line per key.
//!
//! These declarations are the only list of keys there is. The decoder, `docs/config.schema.json` and
//! `docs/configuration.md` follow them.

use super::{
    meter::{Cost, MeterSection, PackSection},
    node::LightningSection,
    place::{At, Place},
    problem::{Combination, Fault},
    section::{
        FromNode, List, OneOrMany,
        Presence::{Absent, Default, Defaults, Required},
        Reader, Shape, section,
    },
    tree::{Node, ScalarKind, Value},
    value::{
        Address, Backend, BitcoinNetwork, Connections, FilePath, HeadSize, HostHeader, LedgerKind, Location,
        Network, Origin, PackUnits, Pairs, PassedHeader, PathOddity, Period, RewritePrefix, SchemaName,
        Seconds, SecretSource, Tier, UpstreamProtocol, UpstreamUrl,
    },
};
use http::Method;
use l402::{Name, UnknownCaveats};
use l402_lightning::{MilliSat, Proof};
use l402_paywall::{AccessMode, HostPattern, PathPattern, Rate};

section! {
    /// The top level of the file.
    ConfigFile {
        /// Where buyers connect: one address, a list of addresses, or a list of sections with `address`, `tls` and
        /// `trusted_proxies`. Port 0 takes a free port.
        listen: OneOrMany<Listener> = Default("127.0.0.1:8402"), "0.0.0.0:443";
        /// Where health (`/healthz`), readiness (`/readyz`) and metrics (`/metrics`) are answered. Keep it private: it
        /// is never served on the public listeners.
        ops: Address = Absent("not served"), "127.0.0.1:8404";
        /// Where the gateway writes down what it must not forget: the balances of metered tokens, which tokens are
        /// revoked, how far it has followed the node's settlements, and with `lightning.settlement: settled` which
        /// invoices are settled. `sqlite` is the file `ledger.sqlite` in `data_dir`, for one gateway; a section names a
        /// database that several gateways share.
        ledger: Ledger = Default("sqlite"), "sqlite";
        /// Folder of what the gateway keeps; only its owner may read it (mode 0700). Made on first start.
        data_dir: FilePath = Default("./octroi-data"), "/var/lib/octroi";
        /// Where the master keys of all tokens are.
        keys: KeysSection = Absent("the file `keys` in `data_dir`"), "{ file: ./octroi-data/keys }";
        /// The Lightning node that is paid.
        lightning: LightningSection = Required, "{ backend: loopback }";
        /// What one client, or all together, may take.
        limits: LimitsSection = Defaults, "{ connections: 2000 }";
        /// How long things may last.
        timeouts: TimeoutsSection = Defaults, "{ response: 5m }";
        /// The location text in every macaroon. Some deployed verifiers expect exactly `lsat`.
        location: Location = Default("lsat"), "lsat";
        /// What is sold: one section per service. For a request the most specific host wins, then the exact path, the
        /// longest prefix, and expressions in file order. What no service covers is answered with 404.
        services: List<ServiceSection> = Required, "[{ name: weather, path: /weather/, upstream: \"http://127.0.0.1:9000\", price: 10 sat }]";
    }
}

section! {
    /// One listener, where more than its address is said.
    ListenerSection {
        /// IP address and port.
        address: Address = Required, "0.0.0.0:443";
        /// Makes it an HTTPS listener.
        tls: TlsSection = Absent("plain HTTP"), "{ certificate: /etc/octroi/tls.pem, key: /etc/octroi/tls.key }";
        /// Networks of proxies in front of the gateway, whose `Forwarded` and `X-Forwarded-For` headers are believed.
        trusted_proxies: List<Network> = Absent("nobody is believed"), "[10.0.0.0/8]";
    }
}

section! {
    /// Certificate of a listener.
    TlsSection {
        /// PEM file with the certificate chain, the gateway's own first.
        certificate: FilePath = Required, "/etc/octroi/tls.pem";
        /// PEM file with the private key; others must not be able to read it.
        key: FilePath = Required, "/etc/octroi/tls.key";
    }
}

section! {
    /// A ledger on a database server.
    LedgerSection {
        /// A Postgres database.
        postgres: PostgresSection = Required, "{ url: \"${DATABASE_URL}\" }";
    }
}

section! {
    /// A Postgres database.
    PostgresSection {
        /// Its URL, with user and password.
        url: SecretSource = Required, "\"${DATABASE_URL}\"";
        /// The schema in it that is the gateway's own. Made on first start.
        schema: SchemaName = Default("octroi"), "octroi";
    }
}

section! {
    /// Where the master keys are: either of the two.
    KeysSection {
        /// Key file, mode 0600. It is made on the very first start, when there is no data folder yet, and
        /// never beside an existing one.
        file: FilePath = Absent("`keys` in `data_dir`"), "./octroi-data/keys";
        /// The text of a key file, kept in an environment variable or a mounted secret.
        secret: SecretSource = Absent("`file` counts"), "\"${OCTROI_KEYS}\"";
    }
}

section! {
    /// The Lightning node that is paid. `backend` names its kind; the section of that name has its settings.
    LightningKeys {
        /// Its kind. `loopback` is built in and settles without money: for trying things out and for tests.
        backend: Backend = Required, "lnd";
        /// The network its invoices are for; one for another network never leaves the gateway.
        network: BitcoinNetwork = Absent("`mainnet`; `regtest` with `loopback`"), "regtest";
        /// Longest wait for an answer of the node.
        timeout: Period = Default("5s"), "5s";
        /// How long an invoice can be paid.
        invoice_expiry: Seconds = Default("10m"), "10m";
        /// What proves a payment: the `preimage` by itself, or the preimage of an invoice that the node knows as `settled`.
        settlement: Proof = Absent("`preimage` with `loopback`, `lnd` and `cln`; `settled` with the others"), "settled";
        /// Settings of the loopback node.
        loopback: LoopbackSection = Defaults, "{ wallet: 127.0.0.1:8403 }";
    }
}

section! {
    /// The loopback node.
    LoopbackSection {
        /// Where wallets pay: a part of LND's REST interface, on a loopback address only.
        wallet: Address = Default("127.0.0.1:8403"), "127.0.0.1:8403";
    }
}

section! {
    /// What one client, or all together, may take.
    LimitsSection {
        /// How many challenges are minted.
        mint: MintSection = Defaults, "{ per_network: 60/min }";
        /// Largest request head.
        header: HeadSize = Default("64KiB"), "64KiB";
        /// Connections held at once, over all listeners.
        connections: Connections = Default("10000"), "10000";
    }
}

section! {
    /// How many challenges are minted. Beyond a limit the answer is 429 or 503; paid requests go on.
    MintSection {
        /// For one client network (IPv4 /24, IPv6 /48). A burst of 5 is always allowed.
        per_network: Rate = Default("30/min"), "30/min";
        /// For one service.
        per_service: Rate = Default("200/s"), "200/s";
        /// For the gateway.
        total: Rate = Default("1000/s"), "1000/s";
    }
}

section! {
    /// How long things may last.
    TimeoutsSection {
        /// From the first byte of a request to the end of its head.
        header: Period = Default("10s"), "10s";
        /// How long an idle connection is kept open.
        idle: Period = Default("75s"), "75s";
        /// Connecting to an upstream, TLS included.
        connect: Period = Default("5s"), "5s";
        /// From the request to the head of the upstream's response.
        response: Period = Default("60s"), "60s";
        /// One request with its response, both bodies included.
        whole: Period = Default("1d"), "1d";
    }
}

section! {
    /// One service: a part of the URL space, what it costs, and the upstream behind it.
    ServiceSection {
        /// Its name in tokens, logs and metrics. Tokens are bound to it: after a change old tokens open nothing.
        name: Name = Required, "weather";
        /// The host it answers to, or a list of hosts. `*.` covers every name below.
        host: OneOrMany<HostPattern> = Absent("any host"), "api.example.com";
        /// The paths it answers to. Nothing else reaches the upstream.
        path: PathPattern = Required, "/weather/";
        /// Where its requests go. The certificate of an `https` upstream is verified.
        upstream: UpstreamUrl = Required, "http://127.0.0.1:9000";
        /// `paid`; `free` to forward without payment; `shadow` to forward everything and only count what would have
        /// been refused.
        access: AccessMode = Default("paid"), "free";
        /// What one token costs; with a `meter`, what one pack of units costs.
        price: MilliSat = Absent("none: `access` is `free` or `shadow`, or every paid route has its own"), "10 sat";
        /// Sells by the unit.
        meter: MeterSection = Absent("flat rate: a token opens the service until `valid_for`"), "{ unit: request, pack: 100, cost: 1 }";
        /// How many requests each client network (IPv4 /24, IPv6 /48) may make before the first 402.
        free_requests: Rate = Absent("none"), "2/day";
        /// How long a token can be used, counted from its challenge.
        valid_for: Seconds = Absent("tokens do not expire"), "1h";
        /// Tier written into tokens. A change makes old tokens useless here.
        tier: Tier = Default("0"), "1";
        /// Capabilities that the service's own price buys.
        capabilities: List<Name> = Absent("none"), "[read]";
        /// Further restrictions in its tokens, as `<service>_<name>=<value>` caveats.
        constraints: Pairs = Absent("none"), "{ region: eu }";
        /// Whether a 402 also carries the older `LSAT` challenge line, which old clients read.
        legacy_lsat: bool = Default("true"), "false";
        /// What becomes of caveats that nobody here knows: `skip`, as the protocol says, or `refuse`.
        unknown_caveats: UnknownCaveats = Default("skip"), "refuse";
        /// Lets web pages call the service: `true` for pages of any origin, or a section with `origins`.
        cors: Cors = Absent("no CORS headers"), "{ origins: [\"https://app.example\"] }";
        /// Ambiguous forms accepted in its paths; every reading of such a path must still lead to the same rule.
        allow_in_path: List<PathOddity> = Absent("they are answered with 400"), "[double_slash]";
        /// Answer a request without a credential with 401 instead of an invoice.
        skip_invoice: bool = Default("false"), "true";
        /// The `Host` that the upstream sees: the client's (`keep`) or the upstream's own.
        host_header: HostHeader = Default("keep"), "upstream";
        /// Whether the upstream sees the L402 credential too.
        forward_credential: bool = Default("false"), "true";
        /// What the upstream sees in place of the service's path; only with a path that ends in `/`.
        rewrite: RewritePrefix = Absent("paths go upstream as they were matched"), "/v2/";
        /// How the upstream is spoken to. `h2` without TLS means prior knowledge.
        upstream_protocol: UpstreamProtocol = Absent("`http1` for `http`, negotiated for `https`"), "h2";
        /// PEM file with the authorities that an `https` upstream is verified by.
        upstream_ca: FilePath = Absent("the system's authorities"), "/etc/octroi/upstream-ca.pem";
        /// Do not verify the upstream's certificate at all. Anybody in between can then read and change everything.
        insecure_tls: bool = Default("false"), "true";
        /// Headers of the client that are otherwise removed because proxies speak through them.
        pass_headers: List<PassedHeader> = Absent("none"), "[x-real-ip]";
        /// Finer rules inside the service; the most specific wins.
        routes: List<RouteSection> = Absent("none"), "[{ path: /weather/health, access: free }]";
    }
}

section! {
    /// A finer rule inside a service. What it does not say is the service's.
    RouteSection {
        /// The paths it covers, inside the service's.
        path: PathPattern = Required, "/weather/export";
        /// The methods it covers.
        methods: List<Method> = Absent("all"), "[POST]";
        /// Whether its requests are paid for.
        access: AccessMode = Absent("the service's"), "free";
        /// Its own price; needs a capability, so that the token says what was bought.
        price: MilliSat = Absent("the service's"), "500 sat";
        /// The capability a token needs here.
        capability: Name = Absent("none"), "export";
        /// What a request costs here, where the service has a `meter`.
        cost: Cost = Absent("the meter's"), "5";
        /// How many units one invoice of the route's own `price` buys; needed where the service has a `meter`.
        pack: PackUnits = Absent("the meter's"), "10";
        /// Further packs that are sold here. The one of the route's `price` and `pack` is named `default`.
        packs: List<PackSection> = Absent("the meter's; with a `pack`, only that"), "[{ name: large, pack: 100, price: 4000 sat }]";
        /// Answer a request without a credential with 401 instead of an invoice.
        skip_invoice: bool = Absent("the service's"), "true";
    }
}

section! {
    /// Which web pages may call a service.
    CorsSection {
        /// Origins as browsers spell them.
        origins: List<Origin> = Required, "[\"https://app.example\"]";
    }
}

/// A listener: its address alone, or a section.
#[derive(Clone, Debug)]
pub(super) enum Listener {
    Address(At<Address>),
    Section(ListenerSection),
}

impl FromNode for Listener {
    fn shape() -> Shape {
        Shape::Either(vec![Address::shape(), ListenerSection::shape()])
    }

    fn from_node(node: &Node, reader: &mut Reader) -> Option<Self> {
        if matches!(node.value, Value::Mapping(_)) {
            return ListenerSection::from_node(node, reader).map(Self::Section);
        }
        let value = Address::from_node(node, reader)?;
        Some(Self::Address(At { value, at: node.at }))
    }
}

/// CORS: on for every origin, off, or on for some.
#[derive(Clone, Debug)]
pub(super) enum Cors {
    Any(bool),
    Section(CorsSection),
}

impl FromNode for Cors {
    fn shape() -> Shape {
        Shape::Either(vec![bool::shape(), CorsSection::shape()])
    }

    fn from_node(node: &Node, reader: &mut Reader) -> Option<Self> {
        if matches!(node.value, Value::Mapping(_)) {
            return CorsSection::from_node(node, reader).map(Self::Section);
        }
        if let Value::Scalar(scalar) = &node.value
            && matches!(scalar.kind(), ScalarKind::Flag(_))
        {
            return bool::from_node(node, reader).map(Self::Any);
        }
        reader.mismatch(node, Self::shape().expected());
        None
    }
}

/// The ledger: a word, or a section.
#[derive(Clone, Debug)]
pub(super) enum Ledger {
    Kind(LedgerKind),
    Section(LedgerSection),
}

impl FromNode for Ledger {
    fn shape() -> Shape {
        Shape::Either(vec![LedgerKind::shape(), LedgerSection::shape()])
    }

    fn from_node(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            Value::Mapping(_) => LedgerSection::from_node(node, reader).map(Self::Section),
            Value::Scalar(scalar) if scalar.text == "postgres" => {
                reader.report(node.at, Fault::Combination(Combination::PostgresWithoutUrl));
                None
            }
            Value::Scalar(scalar) if scalar.kind() == ScalarKind::Text => {
                LedgerKind::from_node(node, reader).map(Self::Kind)
            }
            _ => {
                reader.mismatch(node, Self::shape().expected());
                None
            }
        }
    }
}

/// Decodes the whole file.
pub(super) fn decode(root: &Node, reader: &mut Reader) -> Option<ConfigFile> {
    let empty = match &root.value {
        Value::Scalar(scalar) => scalar.plain && scalar.text.is_empty(),
        Value::Mapping(entries) => entries.is_empty(),
        Value::Sequence(_) | Value::Refused => false,
    };
    if empty {
        reader.report(Place::START, Fault::Empty);
        return None;
    }
    ConfigFile::from_node(root, reader)
}
