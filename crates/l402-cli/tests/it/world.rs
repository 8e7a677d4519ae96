//! One test's surroundings: a loopback node with its wallet door, a folder for the buyer, and the program.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use l402_lightning::loopback::{LoopbackNode, serve_wallet};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Longest that anything in these tests is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A node, a wallet door and a buyer's home.
pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) node: Arc<LoopbackNode>,
    pub(crate) wallet: String,
    pub(crate) door: String,
    home: TempDir,
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let node = Arc::new(LoopbackNode::new([7; 32], Arc::new(now)));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve_wallet(listener, node.clone(), std::future::pending()));
        let home = tempfile::tempdir().unwrap();
        let (wallet, door) = (format!("lnd+http://{address}"), format!("http://{address}"));
        Self { runtime, node, wallet, door, home }
    }

    /// The program with this world's wallet and store, and nothing else of the environment.
    pub(crate) fn l402(&self, arguments: &[&str]) -> Command {
        let mut command = self.l402_without_wallet(arguments);
        command.env("L402_WALLET", &self.wallet);
        command
    }

    pub(crate) fn l402_without_wallet(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_l402"));
        command.args(arguments).env_clear().env("HOME", self.home.path()).current_dir(self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the program with this world's wallet.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ending {
        end(self.l402(arguments).spawn().unwrap())
    }

    /// `l402 get` with a payment timeout that suits a test.
    pub(crate) fn get(&self, arguments: &[&str]) -> Ending {
        self.run(&[&["get", "--payment-timeout", "1s"], arguments].concat())
    }

    /// Payments that the node made, and for how many different invoices.
    pub(crate) fn payments(&self) -> usize {
        self.node.payments().len()
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home.path().join(".local/share/l402")
    }
}

impl Ending {
    pub(crate) fn body(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// The last line of standard error as JSON.
    pub(crate) fn report(&self) -> Value {
        serde_json::from_str(self.stderr.lines().last().unwrap_or_default()).expect(&self.stderr)
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.stderr, String::from_utf8_lossy(&self.stdout));
        self
    }

    #[track_caller]
    pub(crate) fn served(self, body: &str) -> Self {
        let ending = self.expect(0);
        assert_eq!(ending.body(), body);
        ending
    }
}

/// Waits until `holds`, looking again and again.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let pause = Duration::from_millis(5);
    for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
        if holds() {
            return;
        }
        std::thread::sleep(pause);
    }
    panic!("never happened: {what}");
}

/// Waits for a child, which is expected to end by itself.
pub(crate) fn end(child: Child) -> Ending {
    let output = child.wait_with_output().unwrap();
    Ending {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the program under test reads the same clock")]
pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
