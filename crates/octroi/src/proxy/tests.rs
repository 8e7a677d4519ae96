//! The whole engine in front of a ledger that fails where a real one rarely does.

use super::{Shared, Snapshot};
use crate::{
    config::{Config, Surroundings},
    edge::{Clock, OsEntropy},
    ledger::{Keeper, troubled::TroubledLedger},
    listener::{Engine, EngineSettings},
    start::{Payee, build_gate, open_keys},
    telemetry::{AccessLog, Meters, Telemetry},
};
use arc_swap::ArcSwap;
use l402_lightning::{Invoice, Invoicer, MilliSat, PayLimits, Payer as _, loopback::LoopbackNode};
use l402_paywall::{
    ledger::{Abandoned, Ledger},
    metering::Metering,
};
use serde_json::json;
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use testkit::{Reply, Upstream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A gateway that sells `weather` by the unit, two a request, and keeps its books in `ledger`.
struct Shop {
    engine: Engine,
    node: Arc<LoopbackNode>,
    telemetry: Arc<Telemetry>,
}

impl Shop {
    fn open(upstream: &Upstream, folder: &Path, ledger: &Arc<TroubledLedger>) -> Self {
        let config = json!({
            "listen": "127.0.0.1:0",
            "data_dir": "data",
            "lightning": { "backend": "loopback", "loopback": { "wallet": "127.0.0.1:0" } },
            "services": [{
                "name": "weather", "path": "/", "upstream": upstream.url(), "price": "10 sat",
                "meter": { "unit": "unit", "pack": 10, "cost": 2 },
            }],
        });
        let surroundings = Surroundings { folder, variable: &|_| None, files: true };
        let mut config = Config::parse(&config.to_string(), &surroundings).expect("a config");
        let (keys, _) = open_keys(&config).expect("keys");
        let node = Arc::new(LoopbackNode::new([7; 32], Arc::new(crate::edge::unix_secs)));
        let payee = Payee {
            invoicer: Arc::clone(&node) as Arc<dyn Invoicer>,
            settlement: None,
            metering: Arc::new(Metering::new(Some(Arc::clone(ledger) as Arc<dyn Ledger>), &OsEntropy)),
        };
        let routes = std::mem::take(&mut config.routes);
        let gate = build_gate(routes, &config, &keys, payee, None);
        let telemetry =
            Arc::new(Telemetry { access: AccessLog::off(), meters: Meters::new(["weather"].into_iter()) });
        let shared = Arc::new(Shared {
            snapshot: ArcSwap::from_pointee(Snapshot::new(gate, &config, None).expect("a snapshot")),
            telemetry: Arc::clone(&telemetry),
            clock: Clock::start(),
            workers: 1,
        });
        let settings = EngineSettings {
            listeners: &config.listeners,
            workers: 1,
            header_bytes: config.limits.header_bytes,
            connections: config.limits.connections,
        };
        let engine = Engine::start(shared, &settings).expect("an engine");
        Self { engine, node, telemetry }
    }

    fn address(&self) -> SocketAddr {
        self.engine.addresses()[0]
    }

    /// Everything that comes back until the connection ends.
    async fn ask(&self, fields: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).await.expect("a connection");
        let head = format!("GET /x HTTP/1.1\r\nhost: a\r\n{fields}connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("written");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await; // it may be cut off
        String::from_utf8(answer).expect("text")
    }

    /// Buys a pack; returns the field that spends it.
    async fn buy(&self) -> String {
        let refused = self.ask("").await;
        let line = refused.lines().find_map(|line| line.strip_prefix("www-authenticate: L402 "));
        let line = format!("L402 {}", line.expect("a challenge"));
        let offer = l402::read_challenges([line.as_bytes()].into_iter()).remove(0).expect("readable");
        let invoice = Invoice::parse(&offer.invoice).expect("an invoice");
        let limits = PayLimits { fee_max: MilliSat::ZERO, timeout: Duration::from_secs(5) };
        let paid = self.node.pay(&invoice, limits).await.expect("paid");
        let credential = l402::authorization_value(l402::OfferScheme::L402, &offer.token, &paid.preimage);
        format!("authorization: {credential}\r\n")
    }
}

/// What was not charged must not be had whole; and as with any other request that a gateway did not end, the seller's
/// rule decides at the next start whether it is charged.
#[tokio::test]
async fn an_answer_whose_charge_is_not_taken_is_cut_off_and_charged_by_the_rule_of_crashes() {
    let upstream = Upstream::start(Reply::text("sunny"));
    for (served, rule, charged) in [(1, Abandoned::Release, 0), (2, Abandoned::Charge, 2)] {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = Arc::new(TroubledLedger { loses_endings: true, ..TroubledLedger::default() });
        let shop = Shop::open(&upstream, folder.path(), &ledger);
        let credential = shop.buy().await;
        let answer = shop.ask(&credential).await;
        assert!(!answer.contains("sunny"), "{answer}");
        assert_eq!(upstream.count(), served, "it was served, and not told");
        let audit = ledger.books.audit();
        assert_eq!((audit.open, audit.totals.reserved, audit.totals.debited), (1, 2, 0));

        let metering = Arc::new(Metering::new(Some(Arc::clone(&ledger) as Arc<dyn Ledger>), &OsEntropy));
        let restarted = Keeper::new(&metering, rule, &shop.telemetry).expect("a ledger");
        assert_eq!(restarted.begin(true).await.expect("a ledger"), 1);
        let audit = ledger.books.audit();
        assert_eq!((audit.open, audit.totals.debited, audit.totals.balance), (0, charged, 10 - charged));
        assert_eq!(audit.breaches, []);
    }
}
