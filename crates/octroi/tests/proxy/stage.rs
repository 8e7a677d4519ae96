//! A gateway in this process, in front of one free service.

use octroi::{
    config::{Config, Surroundings},
    gateway::Gateway,
    telemetry::{AccessLog, Meters, Telemetry},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tempfile::TempDir;

/// Nothing here takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(8);

pub(crate) struct Stage {
    pub(crate) gateway: Gateway,
    _folder: TempDir,
}

/// Waits for what is certain to happen.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}

/// A config that serves everything of this upstream for nothing.
pub(crate) fn config(upstream: &str) -> Value {
    json!({
        "listen": "127.0.0.1:0",
        "data_dir": "data",
        "lightning": { "backend": "loopback", "loopback": { "wallet": "127.0.0.1:0" } },
        "services": [{ "name": "weather", "path": "/", "upstream": upstream, "access": "free" }],
    })
}

impl Stage {
    /// `prepare` puts the files into the gateway's folder that the config names.
    pub(crate) async fn open(config: &Value, prepare: impl FnOnce(&TempDir)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        prepare(&folder);
        let surroundings = Surroundings { folder: folder.path(), variable: &|_| None, files: true };
        let config = Config::parse(&config.to_string(), &surroundings).expect("a sound config");
        let names = config.routes.services().iter().map(|service| service.name().as_str());
        let telemetry = Arc::new(Telemetry { access: AccessLog::off(), meters: Meters::new(names) });
        let gateway = Gateway::start(config, telemetry, 1).await.expect("a gateway");
        Self { gateway, _folder: folder }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.gateway.addresses()[0]
    }
}
