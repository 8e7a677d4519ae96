//! The gateway's own program: started, heard, signalled.

use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tempfile::TempDir;

/// A running `octroi run`, with a folder for its config and data, and everything it has said so far.
pub(crate) struct Program {
    process: Child,
    pub(crate) folder: TempDir,
    said: Arc<Mutex<String>>,
}

fn command(folder: &TempDir, config: &Value) -> Command {
    write_config(folder, &config.to_string());
    let mut command = Command::new(env!("CARGO_BIN_EXE_octroi"));
    command.args(["run", "--log", "json", "--config"]).arg(config_file(folder));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("OCTROI_LOG").env_remove("RUST_BACKTRACE");
    command
}

pub(crate) fn config_file(folder: &TempDir) -> PathBuf {
    folder.path().join("octroi.yaml")
}

pub(crate) fn write_config(folder: &TempDir, text: &str) {
    fs::write(config_file(folder), text).expect("written");
}

/// Runs the program where it is not expected to stay; returns its exit code and what it said.
pub(crate) fn fails_to_start(folder: &TempDir, config: &Value) -> (i32, String) {
    let Output { status, stderr, .. } = command(folder, config).output().expect("a process");
    (status.code().expect("an exit code"), String::from_utf8(stderr).expect("text"))
}

impl Program {
    /// Starts it and waits until it is ready.
    pub(crate) async fn start(folder: TempDir, config: &Value, levels: Option<&str>) -> Self {
        let mut command = command(&folder, config);
        if let Some(levels) = levels {
            command.env("OCTROI_LOG", levels);
        }
        let mut process = command.spawn().expect("a process");
        let said = Arc::new(Mutex::new(String::new()));
        listen(process.stdout.take().expect("a pipe"), &said);
        listen(process.stderr.take().expect("a pipe"), &said);
        let program = Self { process, folder, said };
        program.hears("octroi ready").await;
        program
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has said a line with this in it, and returns the line.
    pub(crate) async fn hears(&self, text: &str) -> String {
        for _ in 0..4_000 {
            if let Some(line) = self.said().lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it never said {text:?}, but\n{}", self.said())
    }

    /// An address of the ready line, after these words.
    async fn bound(&self, words: &str) -> SocketAddr {
        let ready = self.hears("octroi ready").await;
        let after = ready.split(words).nth(1).unwrap_or_else(|| panic!("no {words} in {ready}"));
        let end = after.find([',', ';', '"']).expect("an end");
        after[..end].parse().expect("an address")
    }

    pub(crate) async fn address(&self) -> SocketAddr {
        let is_tls = self.hears("octroi ready").await.contains("listening on https://");
        self.bound(if is_tls { "listening on https://" } else { "listening on http://" }).await
    }

    /// The listener after the first, which has TLS.
    pub(crate) async fn second_address(&self) -> SocketAddr {
        self.bound(", https://").await
    }

    pub(crate) async fn ops(&self) -> SocketAddr {
        self.bound("ops on http://").await
    }

    pub(crate) async fn wallet(&self) -> SocketAddr {
        self.bound("loopback wallet on http://").await
    }

    /// Sends a signal to this process and no other.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.process.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
    }

    /// Waits for its end.
    pub(crate) async fn ends(&mut self) -> ExitStatus {
        for _ in 0..4_000 {
            if let Some(status) = self.process.try_wait().expect("a child of this process") {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it never ended; it said\n{}", self.said())
    }

    /// The most memory it ever had, in bytes.
    pub(crate) fn memory_peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }
}

/// Collects what comes out of a pipe.
fn listen(pipe: impl Read + Send + 'static, said: &Arc<Mutex<String>>) {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned() + "\n";
            said.lock().unwrap_or_else(PoisonError::into_inner).push_str(&line);
        }
    });
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill(); // it may have ended
        let _ = self.process.wait();
    }
}
