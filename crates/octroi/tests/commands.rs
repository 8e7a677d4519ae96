//! The commands about configs, keys, tokens and the ledger, through their arguments, exit codes and output.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

#[path = "commands/ledger.rs"]
mod ledger_beside;

use clap::{CommandFactory, Parser};
use octroi::commands::{check, init, keys, ledger, schema, token};
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::ExitCode,
};

#[derive(Parser)]
enum Octroi {
    Check(check::Args),
    Init(init::Args),
    Schema(schema::Args),
    Keys(keys::Args),
    Token(token::Args),
    Ledger(ledger::Args),
}

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

    /// A sound config with an upstream at this port.
    fn config(&self, port: u16) -> PathBuf {
        let path = self.path("octroi.yaml");
        let text = format!(
            "keys: {{ file: keys }}\nlightning: {{ backend: loopback }}\n\
             services: [{{ name: a, path: /, upstream: \"http://127.0.0.1:{port}\", price: 1 sat }}]\n"
        );
        fs::write(&path, text).expect("written");
        path
    }

    /// Runs a command with `--config` naming the world's file.
    fn run(&self, words: &[&str]) -> ExitCode {
        let config = self.path("octroi.yaml");
        let config = config.to_str().expect("text");
        let words = [&["octroi"], words, &["--config", config]].concat();
        match Octroi::try_parse_from(words).expect("valid arguments") {
            Octroi::Check(args) => check::run(&args),
            Octroi::Init(args) => init::run(&args),
            Octroi::Schema(args) => schema::run(&args),
            Octroi::Keys(args) => keys::run(&args),
            Octroi::Token(args) => token::run(&args),
            Octroi::Ledger(args) => ledger::run(&args),
        }
    }
}

/// A port that is taken and where nobody listens, as long as the socket lives.
fn deaf() -> (socket2::Socket, u16) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    let address = socket.local_addr().expect("bound").as_socket().expect("an IP address");
    (socket, address.port())
}

const DONE: u8 = 0;
const FAILED: u8 = 1;
const CONFIG: u8 = 2;

#[test]
fn the_arguments_are_well_formed() {
    Octroi::command().debug_assert();
    for words in [
        &["octroi", "token", "inspect"][..],
        &["octroi", "token", "revoke"],
        &["octroi", "ledger", "balance"],
        &["octroi", "ledger", "export", "--from", "-1"],
        &["octroi", "keys", "retire", "nonsense"],
        &["octroi", "check", "--online"],
        &["octroi", "schema", "--config", "octroi.yaml"],
    ] {
        assert!(Octroi::try_parse_from(words).is_err(), "{words:?}");
    }
}

#[test]
fn check_tells_a_problem_from_an_unusable_config() {
    let world = World::new();
    assert_eq!(world.run(&["check"]), ExitCode::from(CONFIG), "there is no file");
    fs::write(world.path("octroi.yaml"), "listne: 127.0.0.1:1\n").expect("written");
    assert_eq!(world.run(&["check", "--offline"]), ExitCode::from(CONFIG), "an unknown key");
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a port");
    world.config(upstream.local_addr().expect("bound").port());
    assert_eq!(world.run(&["check"]), ExitCode::from(DONE));
    let (_socket, port) = deaf();
    world.config(port);
    assert_eq!(world.run(&["check"]), ExitCode::from(FAILED), "nobody listens");
    assert_eq!(world.run(&["check", "--offline"]), ExitCode::from(DONE));
    assert!(!world.path("keys").exists() && !world.path("octroi-data").exists(), "check makes nothing");
}

#[test]
fn init_writes_what_check_accepts_and_never_overwrites() {
    let world = World::new();
    assert_eq!(world.run(&["init"]), ExitCode::from(DONE));
    assert_eq!(world.run(&["check", "--offline"]), ExitCode::from(DONE));
    assert_eq!(world.run(&["init"]), ExitCode::from(FAILED));
}

#[test]
fn keys_need_a_config_and_a_private_file() {
    let world = World::new();
    assert_eq!(world.run(&["keys", "show"]), ExitCode::from(CONFIG));
    world.config(9);
    assert_eq!(world.run(&["keys", "show"]), ExitCode::from(FAILED), "no keys yet");
    let keys = l402_paywall::KeyFile::generate(1_763_700_000, &mut |bytes: &mut [u8]| bytes.fill(7));
    keys.create(&world.path("keys")).expect("created");
    assert_eq!(world.run(&["keys", "show"]), ExitCode::from(DONE));
    assert_eq!(world.run(&["keys", "retire", "07070707"]), ExitCode::from(FAILED), "it mints");
    assert_eq!(world.run(&["keys", "rotate"]), ExitCode::from(DONE));
    assert_eq!(world.run(&["keys", "retire", "07070707"]), ExitCode::from(DONE));
    fs::set_permissions(world.path("keys"), fs::Permissions::from_mode(0o640)).expect("chmod");
    for words in [&["keys", "show"][..], &["keys", "rotate"]] {
        assert_eq!(world.run(words), ExitCode::from(FAILED), "others may read it");
    }
}

#[test]
fn a_token_is_only_judged_with_a_sound_config() {
    let world = World::new();
    fs::write(world.path("octroi.yaml"), "listne: 127.0.0.1:1\n").expect("written");
    assert_eq!(world.run(&["token", "inspect", "AgEEbHNhdA=="]), ExitCode::from(CONFIG));
    world.config(9);
    assert_eq!(world.run(&["token", "inspect", "AgEEbHNhdA=="]), ExitCode::from(FAILED), "it is cut off");
}
