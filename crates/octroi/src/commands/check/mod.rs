//! `octroi check`: is the config sound, is what it names there, and what will be sold for what? Changes nothing.

mod keys;
mod ledger;
mod node;
mod rules;
mod upstream;

use super::{ConfigFile, EXIT_CONFIG, EXIT_FAILED};
use crate::{
    config::{Config, Listener, Node, Upstream, UpstreamTrust},
    listener::server_config,
};
use l402_paywall::Service;
use rules::Rule;
use std::{
    fmt,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

/// Checks a config and everything it names: files, keys, certificates, the node, each upstream.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// Connects to nothing
    #[arg(long)]
    offline: bool,
}

/// Prints one line for each thing looked at. Exit 1 if one of them is not as it should be, 2 if the config itself
/// cannot be used.
pub fn run(args: &Args) -> ExitCode {
    let loaded = args.config.find().and_then(|path| Config::load(&path).map(|config| (path, config)));
    let (path, config) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let mut report = Report { out: &mut io::stdout().lock(), failed: false };
    report.whole(&path, &config, args.offline);
    if report.failed { ExitCode::from(EXIT_FAILED) } else { ExitCode::SUCCESS }
}

/// The lines, and whether one of them was a cross.
struct Report<'w> {
    out: &'w mut dyn Write,
    failed: bool,
}

impl Report<'_> {
    fn whole(&mut self, path: &Path, config: &Config, offline: bool) {
        let services = config.routes.services();
        let rules: usize = services.iter().map(|service| service.rules().len()).sum();
        self.good(
            "config",
            format_args!("{} is sound; services: {}, rules: {rules}", path.display(), services.len()),
        );
        let data_dir = config.data_dir.display();
        if config.data_dir.exists() {
            self.good("data", format_args!("{data_dir}, private to its owner"));
        } else {
            self.good("data", format_args!("{data_dir} is made on first start"));
        }
        match keys::look(config) {
            Ok(found) => self.good("keys", found),
            Err(fault) => self.bad("keys", &fault, fault.hint()),
        }
        match ledger::look(config, offline) {
            Ok(found) => self.good("ledger", found),
            Err(fault) => self.bad("ledger", &fault, fault.hint()),
        }
        for listener in &config.listeners {
            self.listener(listener);
        }
        self.lightning(config, offline);
        for (index, (service, upstream)) in services.iter().zip(&config.upstreams).enumerate() {
            self.service(index, service, upstream, config, offline);
        }
    }

    fn lightning(&mut self, config: &Config, offline: bool) {
        match &config.lightning.node {
            Node::Loopback { wallet } => self.note(
                "lightning",
                format_args!("loopback: settles without money, for trying things out; wallet {wallet}"),
            ),
            Node::Remote(remote) => match node::look(remote, config, offline) {
                Ok(found) => self.good("lightning", found),
                Err(fault) => {
                    let name = remote.backend.name;
                    self.bad("lightning", format_args!("{name}: {fault}"), fault.hint());
                }
            },
        }
    }

    fn listener(&mut self, listener: &Listener) {
        let Listener { address, key, .. } = listener;
        match &listener.tls {
            None => self.good(key, format_args!("{address}, plain HTTP")),
            Some(files) => match server_config(files) {
                Ok(_) => self
                    .good(key, format_args!("{address}, HTTPS, certificate {}", files.certificate.display())),
                Err(error) => {
                    self.bad(key, error, "give a PEM file with the whole chain, and the key it was made for");
                }
            },
        }
    }

    fn service(
        &mut self,
        index: usize,
        service: &Service,
        upstream: &Upstream,
        config: &Config,
        offline: bool,
    ) {
        let spec = service.spec();
        let subject = format!("service {}", spec.name);
        let reached =
            if offline { Ok("not asked") } else { upstream::reach(upstream, config.timeouts.connect) };
        match reached {
            Ok(how) => self.good(&subject, format_args!("{} ({how})", upstream.url)),
            Err(fault) => {
                let key = format!("services[{index}].{}", fault.key());
                self.bad(
                    &subject,
                    format_args!("{}: {fault}", upstream.url),
                    format_args!("{} (`{key}`)", fault.hint()),
                );
            }
        }
        self.line(format_args!("    {}", Rule::of_service(spec)));
        for route in &spec.routes {
            self.line(format_args!("    {}", Rule::of_route(spec, route)));
        }
        if upstream.trust == UpstreamTrust::InsecureNone {
            self.note(
                &subject,
                "`insecure_tls`: anybody between here and the upstream can read and change everything",
            );
        }
        let expiry_secs = u64::from(config.lightning.invoice_expiry_secs);
        if spec.valid_for_secs.is_some_and(|secs| secs <= expiry_secs) {
            let text = "an invoice can be paid longer than its token is valid; \
                        lengthen `valid_for` or shorten `lightning.invoice_expiry`";
            self.note(&subject, text);
        }
    }

    fn good(&mut self, subject: &str, text: impl fmt::Display) {
        self.line(format_args!("✓ {subject}: {text}"));
    }

    /// Something that works and that the operator should know.
    fn note(&mut self, subject: &str, text: impl fmt::Display) {
        self.line(format_args!("! {subject}: {text}"));
    }

    fn bad(&mut self, subject: &str, text: impl fmt::Display, hint: impl fmt::Display) {
        self.failed = true;
        self.line(format_args!("✗ {subject}: {text}\n  hint: {hint}"));
    }

    fn line(&mut self, text: impl fmt::Display) {
        // A reader that went away gets no lines; the exit code still tells.
        let _ = writeln!(self.out, "{text}");
    }
}

#[cfg(test)]
mod tests;
