//! Config files as people write them, and every message they get back.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

#[path = "config/meter.rs"]
mod meter;

use octroi::config::{Config, ConfigError, KeySource, Surroundings, UpstreamTrust};
use proptest::prelude::*;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

/// Head of a config in which only the services matter; they begin in line 3.
const HEAD: &str = "lightning:\n  backend: loopback\n";
/// One service without problems, in line 2.
const TAIL: &str = "services: [{ name: a, path: /a/, upstream: \"http://a\", price: 1 sat }]\n";

fn parse(text: &str) -> Result<Config, Vec<String>> {
    let variable = |name: &str| (name == "SET").then(|| "not a key file".to_owned());
    let surroundings = Surroundings { folder: Path::new(""), variable: &variable, files: false };
    Config::parse(text, &surroundings)
        .map_err(|problems| problems.iter().map(|problem| format!("{}: {problem}", problem.at)).collect())
}

/// The messages about a config.
fn messages(text: &str) -> Vec<String> {
    parse(text).err().unwrap_or_default()
}

/// The messages about top-level lines in front of a sound service; a sound `lightning` section stands in line 1.
fn top(lines: &str) -> Vec<String> {
    messages(&format!("lightning: {{ backend: loopback }}\n{TAIL}{lines}"))
}

/// The messages about one service, whose first line is line 4 and whose keys begin in column 5.
fn service(lines: &str) -> Vec<String> {
    let lines = lines.replace('\n', "\n    ");
    let lines = format!("  - {lines}\n");
    messages(&format!("{HEAD}services:\n{lines}"))
}

#[test]
fn a_short_config_is_enough() {
    let config = parse(&format!("lightning: {{ backend: loopback }}\n{TAIL}")).expect("a sound config");
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:8402");
    assert_eq!(config.listeners[0].key, "listen");
    assert_eq!(config.ops, None);
    assert_eq!(config.data_dir, Path::new("./octroi-data"));
    assert!(matches!(&config.keys, KeySource::File(path) if path == Path::new("./octroi-data/keys")));
    assert_eq!(config.limits.header_bytes, 65_536);
    assert_eq!(config.limits.mint, l402_paywall::MintLimits::default());
    assert_eq!(config.timeouts.whole.as_secs(), 86_400);
    assert_eq!(config.location, "lsat");
    assert_eq!(config.upstreams.len(), 1);
    let service = &config.routes.services()[0];
    assert_eq!(service.spec().price.map(l402_lightning::MilliSat::as_msat), Some(1000));
    assert_eq!(config.upstreams[0].trust, UpstreamTrust::System);
}

#[test]
fn every_key_reaches_the_gateway() {
    let text = r#"
listen:
  - 127.0.0.1:0
  - address: "[::1]:8444"
    trusted_proxies: [10.0.0.0/8, 192.0.2.7]
ops: 127.0.0.1:8404
data_dir: state
keys: { file: state/master }
lightning: { backend: loopback, loopback: { wallet: 127.0.0.1:9735 }, timeout: 2500ms, invoice_expiry: 5m }
limits: { mint: { per_network: 60/min, per_service: 1/s, total: 7/h }, header: 16KiB, connections: 50 }
timeouts: { header: 1s, idle: 2s, connect: 3s, response: 4s, whole: 5s }
location: shop
services:
  - name: weather
    host: [api.example.com, "*.weather.example"]
    path: /weather/
    upstream: https://127.0.0.1
    access: paid
    price: 1500 msat
    valid_for: 1h
    tier: 3
    capabilities: [read]
    constraints: { region: eu, plan: "2" }
    legacy_lsat: false
    unknown_caveats: refuse
    cors: { origins: ["https://app.example"] }
    allow_in_path: [double_slash, semicolon]
    skip_invoice: true
    host_header: upstream
    forward_credential: true
    rewrite: /v2/
    upstream_protocol: h2
    upstream_ca: ca.pem
    pass_headers: [X-Real-IP]
    routes:
      - { path: /weather/health, access: free }
      - { path: /weather/export, methods: [POST, PUT], price: 500 sat, capability: export, skip_invoice: false }
  - name: llm
    path: /v1/
    upstream: http://127.0.0.1:9001
    price: 10 sat
    free_requests: 2/day
    meter:
      unit: token
      pack: 20000
      packs:
        - { name: large, pack: 200000, price: 80 sat }
      cost: { sse: usage.total_tokens, max: 8000, floor: 2 }
      on_error: keep
      on_client_error: release
      on_cut: release
      on_abort: release
      on_not_modified: release
      on_head: release
      on_crash: charge
      idempotency: { keep: 1h, answer: 16KiB, request: 1MiB }
    routes:
      - { path: /v1/models, cost: 5 }
      - { path: /v1/files, cost: { bytes: both, per: 1KiB, step: 64 } }
      - { path: /v1/live, cost: { time: 2s } }
      - { path: /v1/embed, cost: { json: usage.total_tokens, max: 9000 } }
      - { path: /v1/batch, price: 5 sat, capability: batch, pack: 3, packs: [{ name: ten, pack: 10, price: 15 sat }], cost: { header: l402-cost, max: 2 } }
"#;
    let config = parse(text).unwrap_or_else(|messages| panic!("{messages:#?}"));
    insta::assert_debug_snapshot!("every_key", SoundConfig(&config));
}

/// What a config says, without the parts of a route table that are built from it.
struct SoundConfig<'a>(&'a Config);

impl std::fmt::Debug for SoundConfig<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let config = self.0;
        let specs: Vec<_> = config.routes.services().iter().map(l402_paywall::Service::spec).collect();
        f.debug_struct("Config")
            .field("listeners", &config.listeners)
            .field("ops", &config.ops)
            .field("data_dir", &config.data_dir)
            .field("keys", &config.keys)
            .field("ledger", &config.ledger)
            .field("lightning", &config.lightning)
            .field("limits", &config.limits)
            .field("timeouts", &config.timeouts)
            .field("location", &config.location)
            .field("specs", &specs)
            .field("upstreams", &config.upstreams)
            .finish()
    }
}

#[test]
fn problems_of_the_file_itself_are_named() {
    let told = [
        "",
        "# only a comment\n",
        "{}",
        "just text",
        "- a\n- list\n",
        "a: [1, 2\nb: 3\n",
        "a: b: c\n",
        "\tlisten: 1\n",
        "%YAML 1.2\n---\na: 1\n",
        "? [a]\n: 1\n",
        "listen: &here 127.0.0.1:1\nops: *here\n",
        "listen: !!str 127.0.0.1:1\n",
        "listen: 127.0.0.1:1\n---\nops: 127.0.0.1:2\n",
        "<<: { a: 1 }\n",
        "\u{0}",
    ]
    .map(|text| (text, messages(text)));
    insta::assert_debug_snapshot!("file", told);
}

#[test]
fn problems_of_top_level_keys_are_named() {
    let told = [
        "listne: 127.0.0.1:1",
        "meter: {}",
        "listen: 8402",
        "listen: localhost:8402",
        "listen: []",
        "listen: [127.0.0.1:1, oops]",
        "listen: 0.0.0.0:8402",
        "listen: [127.0.0.1:1, { address: \"[::]:443\" }]",
        "listen: { adress: 127.0.0.1:1 }",
        "listen: { address: 127.0.0.1:1, tls: { certificate: a.pem } }",
        "listen: { address: 127.0.0.1:1, trusted_proxies: [10.1.2.3/8] }",
        "listen: [127.0.0.1:1, 127.0.0.1:1]",
        "ops: 127.0.0.1:8402",
        "ops: 0.0.0.0:8403",
        "ops:",
        "data_dir: 5",
        "keys: {}",
        "keys: { file: a, secret: \"${SET}\" }",
        "keys: { secret: hunter2 }",
        "keys: { secret: \"${UNSET}\" }",
        "keys: { secret: \"${SET}\" }",
        "keys: { file: \"${HOME}/keys\" }",
        "keys: { secret: ${SET} }",
        "limits: { header: 64 }",
        "limits: { header: 1KiB }",
        "limits: { connections: 0 }",
        "limits: { connections: 5.5 }",
        "limits: { connections: \"5\" }",
        "limits: { mint: { per_network: 30 } }",
        "limits: { mint: { total: 30/minute } }",
        "limits: 5",
        "timeouts: { idle: 75 }",
        "timeouts: { idle: 75 seconds }",
        "timeouts: { idle: 0s }",
        "location: \"\"",
        "location: naïve",
        "location: true",
        "ops: 127.0.0.1:8404\nops: 127.0.0.1:8405",
    ]
    .map(|text| (text, top(text)));
    insta::assert_debug_snapshot!("top_level", told);
}

#[test]
fn problems_of_the_node_are_named() {
    let told = [
        "",
        "lightning: {}\n",
        "lightning: loopback\n",
        "lightning: { backend: loopbak }\n",
        "lightning: { backend: lnd }\n",
        "lightning: { backend: loopback, loopback: { wallet: 0.0.0.0:8403 } }\n",
        "lightning: { backend: loopback, loopback: { wallet: 127.0.0.1:8402 } }\n",
        "lightning: { backend: loopback, timeout: 5 }\n",
        "lightning: { backend: loopback, invoice_expiry: 500ms }\n",
    ]
    .map(|text| (text, messages(&format!("{text}{TAIL}"))));
    insta::assert_debug_snapshot!("node", told);
}

#[test]
fn problems_of_a_service_are_named() {
    let sound = "name: a\npath: /a/\nupstream: http://a\n";
    let told = [
        "prcie: 10 sat",
        "price: 10",
        "price: 10.5",
        "price: 10 sats",
        "price: 0 sat",
        "price: 22000000000000001 sat",
        "price: 2100000000000001 sat",
        "price: -1 sat",
        "access: payed\nprice: 1 sat",
        "access: true\nprice: 1 sat",
        "access: free",
        "host: http://a.example\nprice: 1 sat",
        "host: [a.example, \"*\"]\nprice: 1 sat",
        "price: 1 sat\ntier: -1",
        "price: 1 sat\ntier: \"1\"",
        "price: 1 sat\nvalid_for: 3600",
        "price: 1 sat\nvalid_for: 0s",
        "price: 1 sat\nlegacy_lsat: yes",
        "price: 1 sat\nunknown_caveats: skipp",
        "price: 1 sat\ncors: https://app.example",
        "price: 1 sat\ncors: { origins: [https://app.example/] }",
        "price: 1 sat\nallow_in_path: [double_slashes]",
        "price: 1 sat\nhost_header: upsteam",
        "price: 1 sat\nrewrite: v2",
        "price: 1 sat\nupstream_protocol: http2",
        "price: 1 sat\nupstream_ca: ca.pem",
        "price: 1 sat\ninsecure_tls: true",
        "price: 1 sat\npass_headers: [accept, x-reel-ip]",
        "price: 1 sat\ncapabilities: [Read]",
        "price: 1 sat\nconstraints: { region: 5, Region: eu, valid_until: never }",
        "price: 1 sat\nconstraints: { region: \"a\\nb\" }",
        "price: 1 sat\nroutes: [{ path: /a/x, price: 5 sat }]",
        "price: 1 sat\nroutes: [{ path: /a/x, capability: export }]",
        "price: 1 sat\nroutes: [{ path: /b, access: free }]",
        "price: 1 sat\nroutes: [{ path: /a/x, methods: [POTS] }]",
        "price: 1 sat\nroutes: [{ path: /a/x, methods: [post, TRACE] }]",
        "price: 1 sat\nroutes: [{ path: /a/x, access: free }, { path: /a/x, access: paid }]",
        "price: 1 sat\nroutes: [{ path: /a/x, upstream: http://b }]",
        "price: ${PRICE} sat",
    ]
    .map(|text| (text, service(&format!("{sound}{text}"))));
    insta::assert_debug_snapshot!("service", told);
}

#[test]
fn problems_of_what_a_service_must_say_are_named() {
    let told = [
        "name: a",
        "name: A\npath: /\nupstream: http://a\nprice: 1 sat",
        "name: 5\npath: /\nupstream: http://a\nprice: 1 sat",
        "name: a\npath: a\nupstream: http://a\nprice: 1 sat",
        "name: a\npath: /a/../b\nupstream: http://a\nprice: 1 sat",
        "name: a\npath: ~^/(a\nupstream: http://a\nprice: 1 sat",
        "name: a\npath: /a\nupstream: http://a\nprice: 1 sat\nrewrite: /b/",
        "name: a\npath: /\nupstream: a:9000\nprice: 1 sat",
        "name: a\npath: /\nupstream: http://u:p@a\nprice: 1 sat",
        "name: a\npath: /\nupstream: http://a/base\nprice: 1 sat",
        "name: a\npath: /\nupstream: https://a\nprice: 1 sat\ninsecure_tls: true\nupstream_ca: ca.pem",
    ]
    .map(|text| (text, service(text)));
    insta::assert_debug_snapshot!("service_keys", told);
}

#[test]
fn problems_between_services_are_named() {
    let pair = |first: &str, second: &str| {
        let one = |keys: &str| format!("  - {{ upstream: \"http://a\", price: 1 sat, {keys} }}\n");
        messages(&format!("{HEAD}services:\n{}{}", one(first), one(second)))
    };
    let told = [
        ("name: a, path: /a/", "name: a, path: /b/"),
        ("name: a, path: /a/", "name: a_b, path: /b/"),
        ("name: a, path: /a/", "name: ab, path: /a/"),
        ("name: a, path: /a/, host: x.example", "name: b, path: /a/, host: [y.example, X.example]"),
        ("name: a, path: /a/, routes: [{ path: /a/b/, access: free }]", "name: b, path: /a/b/"),
    ]
    .map(|(first, second)| (first, second, pair(first, second)));
    insta::assert_debug_snapshot!("between_services", told);
}

#[test]
fn a_token_too_large_for_header_limits_is_refused() {
    let capabilities: Vec<String> = (0..20).map(|index| format!("capability-number-{index}")).collect();
    let text = format!(
        "name: a\npath: /\nupstream: http://a\nprice: 1 sat\ncapabilities: [{}]",
        capabilities.join(", ")
    );
    let messages = service(&text);
    assert!(matches!(messages.as_slice(), [message] if message.contains("more than 450")), "{messages:?}");
}

#[test]
fn all_problems_are_reported_at_once_in_file_order() {
    let text = r"listen: 0.0.0.0:8402
opps: 127.0.0.1:8404
lightning:
  backend: loopback
  timeout: 5
limits:
  mint: { per_network: many }
services:
  - name: Weather
    path: ~^/(
    upstream: ftp://files
    prcie: 10 sat
    price: 10
    routes:
      - { path: /x, price: 5 sat }
      - { path: /x, methods: [GTE] }
  - name: maps
    host: a b
    path: /maps/
    upstream: http://127.0.0.1:9000
    access: pade
  - name: maps
    path: /maps2/
    upstream: http://127.0.0.1:9000
    valid_for: forever
";
    insta::assert_debug_snapshot!("all_at_once", messages(text));
}

#[test]
fn files_are_looked_at_and_named_with_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
    };
    write("open.key", "", 0o644);
    write("shared.key", "", 0o640);
    fs::create_dir(folder.path().join("data")).expect("a folder");
    fs::set_permissions(folder.path().join("data"), fs::Permissions::from_mode(0o755)).expect("chmod");
    let load = |lines: &str| {
        let config = folder.path().join("octroi.yaml");
        fs::write(&config, format!("lightning: {{ backend: loopback }}\n{TAIL}{lines}\n")).expect("written");
        let error = Config::load(&config).map_or_else(|error| error.to_string(), |_| String::new());
        error.replace(&folder.path().display().to_string(), "")
    };
    let tls = |key: &str| {
        format!("listen: {{ address: 127.0.0.1:0, tls: {{ certificate: open.key, key: {key} }} }}")
    };
    for (lines, message) in [
        (
            tls("absent.key"),
            "/octroi.yaml:3:68: listen.tls.key: /absent.key: there is no such file; correct the path, or make the file",
        ),
        (
            tls("open.key"),
            "/octroi.yaml:3:68: listen.tls.key: /open.key has mode 0644; others must not read it: chmod 600 /open.key",
        ),
        (tls("shared.key"), ""),
        (tls("data"), "/octroi.yaml:3:68: listen.tls.key: /data is not a file"),
        (
            "data_dir: data".to_owned(),
            "/octroi.yaml:3:11: data_dir: /data has mode 0755; others must not read it: chmod 700 /data",
        ),
        ("data_dir: open.key".to_owned(), "/octroi.yaml:3:11: data_dir: /open.key is not a folder"),
        (
            "keys: { secret: file:absent }".to_owned(),
            "/octroi.yaml:3:17: keys.secret: /absent: there is no such file; correct the path, or make the file",
        ),
        (
            "keys: { secret: file:open.key }".to_owned(),
            "/octroi.yaml:3:17: keys.secret: the keys are incomplete or were changed: the checksum at their end does not match",
        ),
    ] {
        assert_eq!(load(&lines), message);
    }
}

#[test]
fn a_missing_config_is_named() {
    let error = Config::load(Path::new("/nonexistent/octroi.yaml")).expect_err("no such file");
    assert_eq!(
        error.to_string(),
        "/nonexistent/octroi.yaml: there is no such file; correct the path, or make the file"
    );
    let found = Config::find(Some(Path::new("named.yaml"))).expect("a named file is taken as it is");
    assert_eq!(found, Path::new("named.yaml"));
    let error =
        ConfigError::NotFound(vec!["octroi.yaml".into(), "/etc/octroi/octroi.yaml".into()]).to_string();
    assert!(error.contains("octroi init"), "{error}");
}

#[test]
fn ten_thousand_routes_are_read() {
    let routes: String = (0..10_000)
        .fold(String::new(), |all, n| all + &format!("      - {{ path: /a/{n}, access: free }}\n"));
    let text = format!(
        "{HEAD}services:\n  - name: a\n    path: /a/\n    upstream: http://a\n    price: 1 sat\n    routes:\n{routes}"
    );
    let config = parse(&text).unwrap_or_else(|messages| panic!("{messages:?}"));
    assert_eq!(config.routes.services()[0].rules().len(), 10_001);
}

/// The config that the reference shows.
fn documented() -> String {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md"))
        .expect("the page");
    let (_, rest) = page.split_once("```yaml\n# octroi.yaml\n").expect("an example");
    rest.split_once("```").expect("its end").0.to_owned()
}

#[test]
fn the_example_in_the_reference_is_sound() {
    let config = parse(&documented()).unwrap_or_else(|messages| panic!("{messages:#?}"));
    assert!(config.routes.services().len() > 1);
}

proptest! {
    #[test]
    fn any_text_is_a_config_or_a_list_of_problems(text in any::<String>()) {
        prop_assert!(parse(&text).is_ok() || !messages(&text).is_empty());
    }

    #[test]
    fn any_yaml_is_a_config_or_a_list_of_problems(text in "([a-z]{1,8}|[-:?,\\[\\]{}&*!|>'\"%@`#~ \n0-9]|services: |path: /|  - ){0,40}") {
        prop_assert!(parse(&text).is_ok() || !messages(&text).is_empty());
    }

    /// One changed place in a sound config: still no panic, and a problem always has a place inside the file.
    #[test]
    fn a_changed_config_is_a_config_or_problems_with_places(at in 0usize..4000, insert in "[ -~\n]{0,3}", delete in 0usize..4) {
        let text: Vec<char> = documented().chars().collect();
        let at = at % text.len();
        let rest = &text[(at + delete).min(text.len())..];
        let changed: String = text[..at].iter().copied().chain(insert.chars()).chain(rest.iter().copied()).collect();
        let lines = changed.lines().count() + 1;
        let surroundings = Surroundings { folder: Path::new(""), variable: &|_| None, files: false };
        if let Err(problems) = Config::parse(&changed, &surroundings) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(problem.at.line >= 1 && problem.at.line <= lines, "{problem:?}");
                prop_assert!(!problem.to_string().contains('\n'), "{problem}");
            }
        }
    }
}
