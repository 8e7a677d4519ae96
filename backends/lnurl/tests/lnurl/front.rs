//! An HTTP server in front of a service that is imitated or real, whose line can fail.
//!
//! It runs on a thread of its own and can be told to fail from anywhere. HTTP/1.1 is written by hand, so that answers
//! can break off where they should.

use l402_lightning::BoxFuture;
use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex, mpsc},
    thread::JoinHandle,
    time::{Duration, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// Reads a service's clock: Unix seconds.
pub(crate) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What answers behind the line.
pub(crate) trait Behind: Send + Sync + 'static {
    fn answer(&self, asked: Asked) -> BoxFuture<'_, Reply>;
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// As it was sent, with its query.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let url = reqwest::Url::parse(&format!("http://h{}", self.target)).ok()?;
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string().into_bytes() }
    }
}

/// How the line fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LineFault {
    /// Requests are taken and never answered.
    Hang,
    /// Answers are something else.
    Garble,
    /// Answers break off.
    Truncate,
    /// Answers are 2 MiB.
    Oversize,
    /// The first of these requests is carried out and not answered.
    Lose(fn(&Asked) -> bool),
}

/// The server; dropped, it is gone.
pub(crate) struct Front {
    address: SocketAddr,
    line: Arc<Line>,
    commands: Option<UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

struct Line {
    fault: Mutex<Option<LineFault>>,
    clock: Clock,
}

enum Command {
    Down(mpsc::Sender<()>),
    Up(mpsc::Sender<()>),
}

impl Front {
    /// Serves on a port that the system chooses, with TLS if that is wanted.
    pub(crate) fn start(behind: Arc<dyn Behind>, clock: Clock, tls: Option<TlsAcceptor>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("a bound socket");
        let line = Arc::new(Line { fault: Mutex::new(None), clock });
        let (commands, received) = unbounded_channel();
        let shared = Arc::clone(&line);
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(serve(listener, received, Served { line: shared, behind, tls }));
        });
        Self { address, line, commands: Some(commands), thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn arm(&self, fault: LineFault) {
        *self.line.fault.lock().expect("a sound lock") = Some(fault);
    }

    pub(crate) fn heal(&self) {
        *self.line.fault.lock().expect("a sound lock") = None;
        self.command(Command::Up);
    }

    /// Nobody listens, and open connections break.
    pub(crate) fn down(&self) {
        self.command(Command::Down);
    }

    /// Gone and back.
    pub(crate) fn restart(&self) {
        self.command(Command::Down);
        self.command(Command::Up);
    }

    fn command(&self, command: fn(mpsc::Sender<()>) -> Command) {
        let (done, is_done) = mpsc::channel();
        let sent = self.commands.as_ref().expect("a server").send(command(done));
        sent.expect("a server that runs");
        is_done.recv().expect("a server that obeys");
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take() {
            // A panic on that thread has been printed there.
            let _ = thread.join();
        }
    }
}

/// What each connection needs.
#[derive(Clone)]
struct Served {
    line: Arc<Line>,
    behind: Arc<dyn Behind>,
    tls: Option<TlsAcceptor>,
}

async fn serve(listener: std::net::TcpListener, mut commands: UnboundedReceiver<Command>, served: Served) {
    let address = listener.local_addr().expect("a bound socket");
    let mut listener = Some(TcpListener::from_std(listener).expect("a listener"));
    let mut talks = JoinSet::new();
    loop {
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = accepted => {
                if let Ok((stream, _)) = accepted {
                    let served = served.clone();
                    talks.spawn(async move {
                        match &served.tls {
                            None => talk(stream, &served).await,
                            Some(tls) => {
                                if let Ok(stream) = tls.accept(stream).await {
                                    talk(stream, &served).await;
                                }
                            }
                        }
                    });
                }
            }
            Some(_) = talks.join_next() => {}
            command = commands.recv() => match command {
                None => return,
                Some(Command::Down(done)) => {
                    listener = None;
                    talks.shutdown().await;
                    let _ = done.send(());
                }
                Some(Command::Up(done)) => {
                    if listener.is_none() {
                        listener = Some(TcpListener::bind(address).await.expect("the port of before"));
                    }
                    let _ = done.send(());
                }
            }
        }
    }
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, served: &Served) {
    let Served { line, behind, .. } = served;
    let mut buffer = Vec::new();
    while let Some(asked) = read(&mut stream, &mut buffer).await {
        let fault = *line.fault.lock().expect("a sound lock");
        if let Some(LineFault::Hang) = fault {
            return std::future::pending().await;
        }
        let lost = matches!(fault, Some(LineFault::Lose(which)) if which(&asked));
        if lost {
            *line.fault.lock().expect("a sound lock") = None;
        }
        let mut reply = behind.answer(asked).await;
        if lost {
            return;
        }
        match fault {
            Some(LineFault::Garble) => reply.body = b"<html>it works!</html>".to_vec(),
            Some(LineFault::Oversize) => {
                reply.body = format!("{{\"padding\": \"{}\"}}", "x".repeat(2 * 1024 * 1024)).into_bytes();
            }
            _ => {}
        }
        let mut bytes = head(&reply, (line.clock)());
        let truncated = matches!(fault, Some(LineFault::Truncate));
        let end = if truncated { reply.body.len() / 2 } else { reply.body.len() };
        bytes.extend_from_slice(&reply.body[..end]);
        // How a connection ends is the business of the test.
        if stream.write_all(&bytes).await.is_err() || truncated {
            return;
        }
    }
}

fn head(reply: &Reply, now: u64) -> Vec<u8> {
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now));
    let length = reply.body.len();
    let mut head = format!(
        "HTTP/1.1 {} Said\r\ndate: {date}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n",
        reply.status
    );
    for (name, value) in &reply.headers {
        write!(head, "{name}: {value}\r\n").expect("memory");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// The next request; `None` when the connection is at its end.
async fn read(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Asked> {
    loop {
        if let Some((asked, length)) = parse(buffer) {
            buffer.drain(..length);
            return Some(asked);
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn parse(bytes: &[u8]) -> Option<(Asked, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(start) = head.parse(bytes).expect("requests are well-formed") else {
        return None;
    };
    let headers: Vec<(String, String)> = head
        .headers
        .iter()
        .map(|header| (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().expect("a length"));
    let body = bytes.get(start..start + length)?.to_vec();
    let asked = Asked {
        method: head.method.unwrap_or_default().to_owned(),
        target: head.path.unwrap_or_default().to_owned(),
        headers,
        body,
    };
    Some((asked, start + length))
}
