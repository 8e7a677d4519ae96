//! Descriptors: all that the system allows are taken, and where they run out all the same, the accept loop waits, says so,
//! and goes on once there are some again.

use crate::stage::config;
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};
use testkit::{Reply, Upstream};

/// The gateway's own program, with few descriptors, and what it has said so far.
struct Poor {
    process: Child,
    said: Arc<Mutex<String>>,
}

impl Poor {
    /// `limits` are set by the shell that starts it.
    fn start(config: &str, limits: &str) -> Self {
        let script = format!("{limits} && exec \"$0\" run --config \"$1\" --log json");
        let mut process = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_octroi"), config])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process");
        let lines = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                heard.lock().unwrap_or_else(PoisonError::into_inner).push_str(&(line + "\n"));
            }
        });
        Self { process, said }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has said something that contains `text`.
    fn hear(&self, text: &str) -> String {
        for _ in 0..2_000 {
            let said = self.said();
            if said.contains(text) {
                return said;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("never heard {text:?}, but {}", self.said())
    }

    /// Where it listens.
    fn address(&self) -> String {
        let ready = self.hear("listening on http://");
        let address = ready.split("listening on http://").nth(1).expect("the rest of the line");
        address.split([';', '"', ',']).next().expect("an address").to_owned()
    }
}

impl Drop for Poor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn asked(address: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a TCP socket");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer until the line ends");
    answer
}

/// Clients in the middle of a head.
fn crowd(address: &str, count: usize) -> Vec<TcpStream> {
    let client = |_| {
        let mut client = TcpStream::connect(address).expect("a connection");
        client.write_all(b"GET / HT").expect("written");
        client
    };
    (0..count).map(client).collect()
}

#[test]
fn a_lack_of_descriptors_is_waited_out() {
    let upstream = Upstream::start(Reply::text("sunny"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("octroi.yaml");
    fs::write(&file, config(&upstream.url()).to_string()).expect("written");
    let poor = Poor::start(file.to_str().expect("text"), "ulimit -n 48");
    let address = poor.address();
    assert!(poor.said().contains("fewer open files than `limits.connections` may need"), "{}", poor.said());
    assert!(asked(&address).ends_with("sunny"));

    // The kernel accepts for those that come too late.
    let crowd = crowd(&address, 80);
    poor.hear("cannot accept connections");
    // Every core that accepts has tried again many times by then, and has said it once.
    thread::sleep(Duration::from_millis(500));
    let complaints = poor.said().matches("cannot accept connections").count();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    assert!(complaints <= cores, "{}", poor.said());

    drop(crowd);
    // Those who came too late are still let in, find their clients gone, and take descriptors for that moment.
    let (mut attempts, mut served_in_a_row) = (0, 0);
    while served_in_a_row < 10 {
        served_in_a_row = if asked(&address).ends_with("sunny") { served_in_a_row + 1 } else { 0 };
        attempts += 1;
        assert!(attempts < 1_000, "{}", poor.said());
    }
}

#[test]
fn a_low_limit_that_may_be_raised_is_raised() {
    let upstream = Upstream::start(Reply::text("sunny"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("octroi.yaml");
    let mut config = config(&upstream.url());
    config["limits"] = serde_json::json!({ "connections": 100 });
    fs::write(&file, config.to_string()).expect("written");
    let rich = Poor::start(file.to_str().expect("text"), "ulimit -Sn 48 && ulimit -Hn 512");
    let address = rich.address();
    for mut client in crowd(&address, 80) {
        client.write_all(b"TP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("written");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer until the line ends");
        assert!(answer.ends_with("sunny"), "{answer}");
    }
    let said = rich.said();
    assert!(!said.contains("cannot accept") && !said.contains("open files"), "{said}");
}
