//! A gate with the loopback node behind it, and a buyer.

use http::{HeaderValue, Method, Request, header, request::Parts};
use l402::{Macaroon, Name, Preimage, UnknownCaveats};
use l402_lightning::{Invoice, MilliSat, Network, PayLimits, Payer, loopback::LoopbackNode};
use l402_paywall::{
    AccessMode, Admission, Answer, Client, Entropy, Gate, GateParts, HostPattern, KeyFile, KeyRing, Mint,
    Now, PathOddities, PathPattern, RouteSpec, RouteTable, ServiceSpec, SettlementCheck, SettlementStore,
    Verdict, ledger::Ledger, metering::Metering,
};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The present of all tests, in Unix seconds.
pub const NOW: u64 = 1_800_000_000;

/// Bytes that never repeat and are the same in every run.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, bytes: &mut [u8]) {
        let count = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        bytes.fill(0x5a);
        let length = bytes.len().min(8);
        bytes[..length].copy_from_slice(&count[..length]);
    }
}

pub struct House {
    pub gate: Gate,
    pub node: Arc<LoopbackNode>,
}

pub fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

pub fn service(service: &str, path: &str) -> ServiceSpec {
    ServiceSpec {
        name: name(service),
        hosts: Vec::new(),
        path: PathPattern::parse(path).expect("a path"),
        access: AccessMode::Paid,
        price: MilliSat::from_sat(10),
        valid_for_secs: Some(3600),
        tier: 0,
        capabilities: Vec::new(),
        constraints: Vec::new(),
        legacy_lsat: true,
        unknown_caveats: UnknownCaveats::Skip,
        cors: None,
        allow_in_path: PathOddities::NONE,
        skip_invoice: false,
        meter: None,
        free_requests: None,
        routes: Vec::new(),
    }
}

pub fn route(path: &str) -> RouteSpec {
    RouteSpec {
        path: PathPattern::parse(path).expect("a path"),
        methods: Vec::new(),
        access: None,
        price: None,
        capability: None,
        skip_invoice: None,
        cost: None,
        packs: Vec::new(),
    }
}

pub fn host(text: &str) -> HostPattern {
    HostPattern::parse(text).expect("a host")
}

impl House {
    pub fn new(services: Vec<ServiceSpec>) -> Self {
        Self::with_keys(services, 1)
    }

    /// Houses with different seeds know nothing of each other's tokens.
    pub fn with_keys(services: Vec<ServiceSpec>, seed: u8) -> Self {
        let node = Arc::new(LoopbackNode::new([seed; 32], Arc::new(|| NOW)));
        Self::assemble(services, seed, node, None)
    }

    /// A house that asks whether payments are settled.
    pub fn settled(
        services: Vec<ServiceSpec>,
        node: Arc<LoopbackNode>,
        store: Arc<dyn SettlementStore>,
    ) -> Self {
        let check = SettlementCheck::new(store, node.clone());
        Self::assemble(services, 1, node, Some(Arc::new(check)))
    }

    /// A house whose balances are in this ledger.
    pub fn metered(services: Vec<ServiceSpec>, ledger: Arc<dyn Ledger>) -> Self {
        let metering = Arc::new(Metering::new(Some(ledger), &Counter::default()));
        let node = Arc::new(LoopbackNode::new([1; 32], Arc::new(|| NOW)));
        Self::with_metering(services, 1, node, None, metering)
    }

    fn assemble(
        services: Vec<ServiceSpec>,
        seed: u8,
        node: Arc<LoopbackNode>,
        settlement: Option<Arc<SettlementCheck>>,
    ) -> Self {
        let metering = Arc::new(Metering::new(None, &Counter::default()));
        Self::with_metering(services, seed, node, settlement, metering)
    }

    /// A house beside others: same node, same ledger.
    pub fn with_metering(
        services: Vec<ServiceSpec>,
        seed: u8,
        node: Arc<LoopbackNode>,
        settlement: Option<Arc<SettlementCheck>>,
        metering: Arc<Metering>,
    ) -> Self {
        let keys = KeyFile::generate(NOW, &mut |bytes: &mut [u8]| bytes.fill(seed));
        // Behind what other houses have drawn for their invoices.
        let entropy = Counter(AtomicU64::new(1_000 * node.calls().create));
        let mint = Mint::new(node.clone(), Network::Regtest, Arc::new(entropy));
        let table = RouteTable::build(services, &mint.location).expect("a table");
        let keys = Arc::new(KeyRing::new(&keys));
        let gate = Gate::new(GateParts { table, keys, mint, settlement, metering, hold_secs: 60 });
        Self { gate, node }
    }

    /// The status that a request gets: 200 where it is forwarded.
    pub fn status(&self, head: &Parts) -> u16 {
        self.verdict(head).0
    }

    /// The status and reason that a request gets; a forwarded one is `200 admitted`.
    pub fn verdict(&self, head: &Parts) -> (u16, &'static str) {
        if self.gate.admit(head, &client(), now()).is_ok() {
            return (200, "admitted");
        }
        let answer = self.answer(head);
        (answer.response.status().as_u16(), answer.refusal.reason())
    }

    /// The admission of a request about which nothing is left to ask.
    pub fn admit(&self, head: &Parts) -> Admission {
        match self.gate.admit(head, &client(), now()) {
            Ok(Verdict::Admitted(admission)) => admission,
            other => panic!("not admitted: {other:?}"),
        }
    }

    /// What the gateway answers to a request that it refuses.
    pub fn answer(&self, head: &Parts) -> Answer {
        self.answer_to(head, &client(), now())
    }

    pub fn answer_to(&self, head: &Parts, client: &Client<'_>, now: Now) -> Answer {
        let refused = self.gate.admit(head, client, now).expect_err("refused");
        wait(self.gate.answer(refused, head, client, now))
    }

    /// Asks, pays, and returns what a buyer holds afterwards.
    pub fn buy(&self, path: &str) -> (Macaroon, Preimage) {
        let answer = self.answer(&get(path));
        assert_eq!(answer.response.status(), 402, "{:?}", answer.refusal);
        self.pay(&answer)
    }

    /// Pays the invoice of an answer.
    pub fn pay(&self, answer: &Answer) -> (Macaroon, Preimage) {
        let lines = answer.response.headers().get_all(header::WWW_AUTHENTICATE);
        let offers = l402::read_challenges(lines.iter().map(HeaderValue::as_bytes));
        let offer = offers.into_iter().next().expect("an offer").expect("readable");
        let invoice = Invoice::parse(&offer.invoice).expect("an invoice");
        let limits = PayLimits { fee_max: MilliSat::ZERO, timeout: Duration::from_secs(5) };
        let paid = wait(self.node.pay(&invoice, limits)).expect("paid");
        (offer.token, paid.preimage)
    }
}

pub fn client() -> Client<'static> {
    Client { ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), server_name: None }
}

pub fn now() -> Now {
    at(NOW)
}

pub fn at(unix: u64) -> Now {
    Now { unix, monotonic_ns: unix.saturating_sub(NOW - 1000) * 1_000_000_000 }
}

pub fn get(path: &str) -> Parts {
    request(Method::GET, path, &[])
}

pub fn request(method: Method, path: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(path).header("host", "api.example.com");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

/// A request with a credential.
pub fn paid(path: &str, (token, preimage): &(Macaroon, Preimage)) -> Parts {
    let value = l402::authorization_value(l402::OfferScheme::L402, token, preimage);
    request(Method::GET, path, &[("authorization", &value)])
}

pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(future)
}
