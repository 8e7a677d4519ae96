//! `octroi demo`: the whole story in one process. A sample API, the gateway in front of it, the loopback node; one
//! purchase, shown step by step; then it serves for trying by hand.

/// Prints a line; a reader that went away is no error.
macro_rules! tell {
    ($($words:tt)*) => {
        crate::commands::say(&format!("{}\n", format_args!($($words)*)))
    };
}

mod purchase;
mod sample;

use super::{EXIT_FAILED, run::failed};
use crate::{
    config::{Config, Surroundings},
    gateway::Gateway,
    telemetry::{self, AccessLog, LogFormat, Meters, Telemetry},
};
use std::{net::SocketAddr, path::Path, process::ExitCode, sync::Arc};

/// Shows one paid request, then serves until Ctrl-C. Writes nothing outside a temporary folder.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the gateway listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8402")]
    listen: SocketAddr,
    /// Where the loopback node's wallet listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8403")]
    wallet: SocketAddr,
    /// End after the purchase; exit code 0 only if the paid answer arrived
    #[arg(long)]
    once: bool,
}

/// What stops a demo.
type DemoError = Box<dyn std::error::Error>;

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    telemetry::init(LogFormat::Text, "error");
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error, None),
    };
    match runtime.block_on(show(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let hint = "if an address is taken, choose others: octroi demo --listen 127.0.0.1:0 --wallet 127.0.0.1:0";
            failed(error.as_ref(), Some(hint));
            ExitCode::from(EXIT_FAILED)
        }
    }
}

async fn show(args: &Args) -> Result<(), DemoError> {
    let folder = tempfile::tempdir()?;
    let upstream = sample::start().await?;
    let config = demo_config(args, upstream, folder.path())?;
    let services = config.routes.services().iter().map(|service| service.name().as_str());
    let telemetry = Arc::new(Telemetry { access: AccessLog::off(), meters: Meters::new(services) });
    let gateway = Gateway::start(config, telemetry, super::run::default_workers()).await?;
    let (Some(listening), Some(wallet)) = (gateway.addresses().first().copied(), gateway.wallet()) else {
        return Err("the gateway has no address".into());
    };
    tell!("A sample API listens on http://{upstream}, the gateway in front of it on http://{listening},");
    tell!(
        "and the loopback node's wallet on http://{wallet}. It settles real invoices of regtest; no money moves.\n"
    );
    let bought = purchase::make(listening, wallet).await;
    if let Err(error) = bought {
        gateway.drain().await;
        return Err(error);
    }
    if !args.once {
        try_by_hand(listening, wallet);
        tokio::signal::ctrl_c().await?;
        tell!("\nStopping.");
    }
    gateway.drain().await;
    Ok(())
}

/// The config a seller would write, with free ports where the arguments name port 0.
fn demo_config(args: &Args, upstream: SocketAddr, folder: &Path) -> Result<Config, DemoError> {
    let text = format!(
        "listen: {listen}
data_dir: {data_dir}
lightning: {{ backend: loopback, loopback: {{ wallet: \"{wallet}\" }} }}
limits: {{ mint: {{ per_network: 600/min }} }}
services:
  - name: weather
    path: /weather/
    upstream: http://{upstream}
    price: 10 sat
    valid_for: 1h
    routes:
      - {{ path: /weather/health, access: free }}
",
        listen = args.listen,
        wallet = args.wallet,
        data_dir = folder.join("data").display(),
    );
    let surroundings = Surroundings { folder, variable: &|_| None, files: true };
    Config::parse(&text, &surroundings).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n").into()
    })
}

fn try_by_hand(gateway: SocketAddr, wallet: SocketAddr) {
    tell!(
        "Try it by hand (Ctrl-C ends the demo):

  curl -i http://{gateway}/weather/today        # 402, with the challenge in WWW-Authenticate
  curl -i http://{gateway}/weather/health       # a free route
  curl http://{wallet}/v1/channels/transactions -d '{{\"payment_request\":\"<invoice>\"}}'
                                                      # pays; payment_preimage is base64, turn it into hex:
  echo <payment_preimage> | base64 -d | xxd -p -c 32
  curl http://{gateway}/weather/today -H 'Authorization: L402 <macaroon>:<hex preimage>'

Or in one step:

  cargo run --release -p l402-cli -- get --wallet lnd+http://{wallet} http://{gateway}/weather/today
"
    );
}
