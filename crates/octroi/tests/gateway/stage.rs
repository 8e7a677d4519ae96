//! A gateway with everything around it: its config, its wallet, and buyers.

use crate::{
    caller::{Caller, Reply, ask_once, get, request},
    payload::Payload,
};
use http::{HeaderValue, Method, header};
use l402::{Macaroon, Offer, OfferScheme, Preimage};
use octroi::{
    config::{Config, Surroundings},
    gateway::Gateway,
    telemetry::{AccessLog, Meters, Telemetry},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, path::Path, sync::Arc};
use tempfile::TempDir;

pub(crate) struct Stage {
    pub(crate) gateway: Gateway,
    pub(crate) folder: TempDir,
}

/// What a buyer holds after paying.
pub(crate) struct Purse {
    pub(crate) token: Macaroon,
    pub(crate) preimage: Preimage,
}

/// A config with these services. Everything is bound to free ports, and nobody is limited.
pub(crate) fn config(services: Value) -> Value {
    let mut config = json!({
        "listen": "127.0.0.1:0",
        "ops": "127.0.0.1:0",
        "data_dir": "data",
        "lightning": { "backend": "loopback", "loopback": { "wallet": "127.0.0.1:0" } },
        "limits": { "mint": { "per_network": "60000/min", "per_service": "1000/s", "total": "1000/s" } },
    });
    config["services"] = services;
    config
}

/// The service that most tests need: everything, for ten sat.
pub(crate) fn everything(upstream: &str) -> Value {
    json!({ "name": "weather", "path": "/", "upstream": upstream, "price": "10 sat", "valid_for": "1h" })
}

/// The same for nothing.
pub(crate) fn everything_free(upstream: &str) -> Value {
    json!({ "name": "weather", "path": "/", "upstream": upstream, "access": "free" })
}

/// Reads a config as it would be read from a file in `folder`. Config text is YAML, and so is JSON.
pub(crate) fn parsed(config: &Value, folder: &Path) -> Config {
    let surroundings = Surroundings { folder, variable: &|_| None, files: true };
    Config::parse(&config.to_string(), &surroundings).unwrap_or_else(|problems| {
        let problems: Vec<String> = problems.iter().map(|p| format!("{}: {p}", p.at)).collect();
        panic!("{problems:#?}")
    })
}

pub(crate) fn telemetry(config: &Config) -> Arc<Telemetry> {
    let names = config.routes.services().iter().map(|service| service.name().as_str());
    Arc::new(Telemetry { access: AccessLog::off(), meters: Meters::new(names) })
}

impl Stage {
    /// A gateway that sells one service.
    pub(crate) async fn of(service: Value) -> Self {
        Self::open(&config(json!([service]))).await
    }

    pub(crate) async fn open(config: &Value) -> Self {
        Self::open_in(tempfile::tempdir().expect("a folder"), config, 1).await
    }

    /// A gateway whose config may name files in `folder`.
    pub(crate) async fn open_in(folder: TempDir, config: &Value, workers: usize) -> Self {
        let config = parsed(config, folder.path());
        let telemetry = telemetry(&config);
        let gateway = Gateway::start(config, telemetry, workers).await.expect("a gateway");
        Self { gateway, folder }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.gateway.addresses()[0]
    }

    pub(crate) fn ops(&self) -> SocketAddr {
        self.gateway.ops().expect("an ops listener")
    }

    pub(crate) fn reload(&mut self, config: &Value) {
        let config = parsed(config, self.folder.path());
        self.gateway.reload(config).expect("a reload");
    }

    /// Asks, pays through the wallet door, and returns what a buyer holds then.
    pub(crate) async fn buy(&self, path: &str) -> Purse {
        let refused = ask_once(self.address(), get(path)).await;
        self.pay(&refused).await
    }

    /// Buys, and returns the `Authorization` value.
    pub(crate) async fn credential(&self, path: &str) -> String {
        self.buy(path).await.credential()
    }

    /// Pays the first invoice of a 402.
    pub(crate) async fn pay(&self, refused: &Reply) -> Purse {
        assert_eq!(refused.status, 402, "{}", refused.text());
        pay(self.gateway.wallet().expect("a wallet"), &offers(&refused.headers)[0]).await
    }
}

/// The challenges of an answer, in order.
pub(crate) fn offers(headers: &http::HeaderMap) -> Vec<Offer> {
    let lines = headers.get_all(header::WWW_AUTHENTICATE).iter().map(HeaderValue::as_bytes);
    l402::read_challenges(lines).into_iter().map(|offer| offer.expect("a readable challenge")).collect()
}

/// Pays an offer as a wallet does that speaks LND's REST interface.
pub(crate) async fn pay(wallet: SocketAddr, offer: &Offer) -> Purse {
    let ask = json!({ "payment_request": offer.invoice, "timeout_seconds": 10, "fee_limit_msat": "0" });
    let ask = request(Method::POST, "/v2/router/send", &[], Payload::from(ask.to_string().as_str()));
    let paid = ask_once(wallet, ask).await;
    let last: Value = serde_json::from_str(paid.text().lines().last().expect("a line")).expect("JSON");
    let preimage = last["result"]["payment_preimage"].as_str().expect("a preimage");
    let preimage = Preimage::from_hex(preimage.as_bytes()).expect("32 bytes");
    assert_eq!(preimage.payment_hash(), offer.identifier.payment_hash);
    Purse { token: offer.token.clone(), preimage }
}

impl Purse {
    /// The `Authorization` value.
    pub(crate) fn credential(&self) -> String {
        l402::authorization_value(OfferScheme::L402, &self.token, &self.preimage)
    }
}

/// Connections of both kinds to the same place.
pub(crate) async fn both(address: SocketAddr) -> [Caller; 2] {
    [Caller::http1(address).await, Caller::http2(address).await]
}
