use super::*;
use rcgen::{CertifiedKey, KeyPair};
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
};

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.path(name), text).expect("written");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).expect("chmod");
    }

    /// Checks a config with these top-level lines and one service with these keys.
    fn check(&self, top: &str, service: &str, offline: bool) -> (bool, String) {
        let text = format!(
            "lightning: {{ backend: loopback }}\n{top}\nservices:\n  - {{ name: weather, path: /, price: 10 sat, {service} }}\n"
        );
        self.write("octroi.yaml", &text, 0o600);
        let config = Config::load(&self.path("octroi.yaml")).unwrap_or_else(|error| panic!("{error}"));
        let mut out = Vec::new();
        let mut report = Report { out: &mut out, failed: false };
        report.whole(Path::new("octroi.yaml"), &config, offline);
        let failed = report.failed;
        let text =
            String::from_utf8(out).expect("text").replace(&self.folder.path().display().to_string(), "");
        (failed, text)
    }
}

/// A self-signed certificate for `localhost`: its PEM text and its key.
fn certificate() -> (String, KeyPair) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    (cert.pem(), signing_key)
}

/// An HTTPS server that does one handshake; returns its port.
fn https_once(chain: &str, key: &KeyPair) -> (u16, JoinHandle<()>) {
    use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut connection = rustls::ServerConnection::new(Arc::new(config)).expect("a connection");
        while connection.is_handshaking() {
            if connection.complete_io(&mut stream).is_err() {
                return; // a client that does not believe the certificate
            }
        }
    });
    (port, server)
}

#[test]
fn a_sound_config_gets_a_tick_for_everything_and_makes_nothing() {
    let world = World::new();
    let top = "data_dir: data";
    let service = "upstream: \"http://127.0.0.1:9\", valid_for: 1h, host: api.example.com, \
                   routes: [{ path: /health, access: free }, { path: /export, methods: [POST], price: 500 sat, capability: export }]";
    let (failed, text) = world.check(top, service, true);
    assert!(!failed, "{text}");
    insta::assert_snapshot!("sound", text);
    assert!(!world.path("data").exists());
}

#[test]
fn what_a_metered_service_costs_is_told_rule_by_rule() {
    let world = World::new();
    let service = "upstream: \"http://127.0.0.1:9\", free_requests: 2/day, \
                   meter: { unit: token, pack: 20000, packs: [{ name: large, pack: 200000, price: 80 sat }], \
                   cost: { sse: usage.total_tokens, max: 8000 } }, \
                   routes: [{ path: /models, cost: 5 }, { path: /files, cost: { bytes: both, per: 1KiB } }, \
                   { path: /live, cost: { time: 1s } }, { path: /free, access: free }, \
                   { path: /odd, cost: { header: L402-Cost, max: 9 } }, \
                   { path: /batch, price: 5 sat, pack: 3, capability: batch, cost: { json: cost, max: 2 } }]";
    let (failed, text) = world.check("data_dir: data", service, true);
    assert!(!failed, "{text}");
    insta::assert_snapshot!("metered", text);
}

#[test]
fn a_ledger_that_others_can_read_gets_a_cross() {
    let world = World::new();
    fs::create_dir(world.path("data")).expect("a folder");
    fs::set_permissions(world.path("data"), fs::Permissions::from_mode(0o700)).expect("chmod");
    let check = || {
        let (_, text) = world.check("data_dir: data", "upstream: \"http://127.0.0.1:9\"", true);
        text.lines().filter(|line| line.contains("ledger")).map(str::to_owned).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(check(), "✓ ledger: /data/ledger.sqlite is made on first start");
    world.write("data/ledger.sqlite", "not looked into", 0o600);
    assert!(check().starts_with("✓ ledger: /data/ledger.sqlite; whether it holds"), "{}", check());
    world.write("data/ledger.sqlite", "not looked into", 0o640);
    assert!(check().starts_with("✗ ledger: /data/ledger.sqlite has mode 0640"), "{}", check());
    assert_eq!(fs::read(world.path("data/ledger.sqlite")).expect("there"), b"not looked into");
}

#[test]
fn an_upstream_that_is_not_there_gets_a_cross_with_its_key() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let service = format!("upstream: \"http://127.0.0.1:{port}\"");
    let (failed, text) = world.check("", &service, false);
    assert!(!failed && text.contains("(answers)"), "{text}");
    let deaf = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    deaf.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    let port = deaf.local_addr().expect("bound").as_socket().expect("an IP address").port();
    let service = format!("upstream: \"http://127.0.0.1:{port}\"");
    let (failed, text) = world.check("", &service, false);
    assert!(
        failed && text.contains("✗ service weather") && text.contains("(`services[0].upstream`)"),
        "{text}"
    );
    let (failed, text) = world.check("", &service, true);
    assert!(!failed && text.contains("(not asked)"), "{text}");
}

#[test]
fn an_upstream_certificate_is_verified() {
    let world = World::new();
    let (chain, key) = certificate();
    world.write("ca.pem", &chain, 0o644);
    for (trust, good) in [("upstream_ca: ca.pem", true), ("insecure_tls: true", true), ("tier: 0", false)] {
        let (port, server) = https_once(&chain, &key);
        let (failed, text) =
            world.check("", &format!("upstream: \"https://localhost:{port}\", {trust}"), false);
        server.join().expect("the server is done");
        assert_eq!(failed, !good, "{trust}: {text}");
        assert_eq!(
            text.contains("! service weather: `insecure_tls`"),
            trust.starts_with("insecure"),
            "{text}"
        );
    }
    let (port, server) = https_once(&chain, &key);
    let service =
        format!("upstream: \"https://localhost:{port}\", upstream_ca: ca.pem, upstream_protocol: h2");
    let (failed, text) = world.check("", &service, false);
    server.join().expect("the server is done");
    assert!(failed && text.contains("(`services[0].upstream_protocol`)"), "{text}");
}

#[test]
fn a_listener_needs_a_certificate_with_its_own_key() {
    let world = World::new();
    let (chain, key) = certificate();
    let (_, other) = certificate();
    world.write("tls.pem", &chain, 0o644);
    world.write("tls.key", &key.serialize_pem(), 0o600);
    world.write("other.key", &other.serialize_pem(), 0o600);
    world.write("chain.key", &chain, 0o600);
    world.write("empty.pem", "", 0o600);
    let listen = |certificate: &str, key: &str| {
        let top =
            format!("listen: {{ address: 127.0.0.1:0, tls: {{ certificate: {certificate}, key: {key} }} }}");
        world.check(&top, "upstream: \"http://127.0.0.1:9\"", true)
    };
    let (failed, text) = listen("tls.pem", "tls.key");
    assert!(!failed && text.contains("HTTPS, certificate /tls.pem"), "{text}");
    for (certificate, key) in [("tls.pem", "other.key"), ("empty.pem", "tls.key"), ("tls.pem", "chain.key")] {
        let (failed, text) = listen(certificate, key);
        assert!(failed && text.contains("✗ listen.address"), "{certificate} {key}: {text}");
    }
}

#[test]
fn keys_are_looked_at_and_never_made() {
    let world = World::new();
    let check = || world.check("data_dir: data", "upstream: \"http://127.0.0.1:9\"", true);
    assert!(check().1.contains("/data/keys is made on first start"));
    fs::create_dir(world.path("data")).expect("a folder");
    fs::set_permissions(world.path("data"), fs::Permissions::from_mode(0o700)).expect("chmod");
    // Keys may have been all that an empty folder held.
    let (failed, text) = check();
    assert!(failed && text.contains("exists already") && text.contains("backup"), "{text}");
    let keys = l402_paywall::KeyFile::generate(1_763_700_000, &mut |bytes: &mut [u8]| bytes.fill(7));
    keys.create(&world.path("data/keys")).expect("created");
    let (failed, text) = check();
    assert!(!failed && text.contains("epochs: 1, 07070707 mints"), "{text}");
    fs::set_permissions(world.path("data/keys"), fs::Permissions::from_mode(0o644)).expect("chmod");
    let (failed, text) = check();
    assert!(failed && text.contains("chmod 600"), "{text}");
    assert!(!text.contains(&"07".repeat(8)), "a secret was shown: {text}");
}
