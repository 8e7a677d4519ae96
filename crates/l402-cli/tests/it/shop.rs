//! A shop on a socket: sells by L402 and checks what it is shown, answers byte for byte what a test wants.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use l402::{Challenge, Credential, Identifier, Macaroon, PaymentHash, Preimage, RootKey, TokenId};
use l402_lightning::BoxFuture;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::World;

/// The price of everything, in millisatoshis.
pub(crate) const PRICE_MSAT: u64 = 10_000;
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What a request said.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What is written back, piece by piece.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply(Vec<Piece>);

#[derive(Debug, Clone)]
enum Piece {
    Bytes(Vec<u8>),
    /// The same bytes until the other side goes away.
    Endless(Vec<u8>),
    /// Nothing more, with the line held open.
    Silence,
}

/// The shop's till: mints, checks, counts.
pub(crate) struct Till {
    key: RootKey,
    door: String,
    client: reqwest::Client,
    tokens: AtomicU64,
    requests: Mutex<Vec<Head>>,
}

/// A shop that is open.
pub(crate) struct Shop {
    pub(crate) url: String,
    pub(crate) till: Arc<Till>,
}

pub(crate) type Counter = dyn Fn(Arc<Till>, Head) -> BoxFuture<'static, Reply> + Send + Sync;

impl Shop {
    /// Opens a shop whose every answer comes from `counter`.
    pub(crate) fn open(
        world: &World,
        counter: impl Fn(Arc<Till>, Head) -> BoxFuture<'static, Reply> + Send + Sync + 'static,
    ) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let till = Arc::new(Till {
            key: RootKey::from_bytes([9; 32]),
            door: world.door.clone(),
            client,
            tokens: AtomicU64::new(0),
            requests: Mutex::default(),
        });
        let listener = world.runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (counter, keeper): (Arc<Counter>, _) = (Arc::new(counter), till.clone());
        world.runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, keeper.clone(), counter.clone()));
            }
        });
        Self { url, till }
    }

    /// A shop that sells everything below `/paid` as one service, and gives the rest away.
    pub(crate) fn plain(world: &World) -> Self {
        Self::open(world, |till, head| {
            Box::pin(async move {
                if !head.path.starts_with("/paid") {
                    return Reply::ok("free");
                }
                if till.admits(&head, "services=shop:0") {
                    return Reply::ok(&format!("goods for {}", head.path));
                }
                till.demand(&["services=shop:0"]).await
            })
        })
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Requests whose path begins with `path`.
    pub(crate) fn requests(&self, path: &str) -> Vec<Head> {
        let requests = self.till.requests.lock().unwrap();
        requests.iter().filter(|head| head.path.starts_with(path)).cloned().collect()
    }
}

impl Till {
    /// How many challenges were given out, or are about to be.
    pub(crate) fn challenges(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// A new challenge with these caveats.
    pub(crate) async fn challenge(&self, caveats: &[&str]) -> Challenge {
        let (invoice, hash) = self.invoice().await;
        Challenge { token: self.token(hash, caveats), invoice }
    }

    /// A 402 with a new challenge, spelled as gateways spell it.
    pub(crate) async fn demand(&self, caveats: &[&str]) -> Reply {
        let challenge = self.challenge(caveats).await;
        Reply::demand(&[challenge.lsat_value(), challenge.l402_value()])
    }

    /// A token for a payment.
    pub(crate) fn token(&self, hash: PaymentHash, caveats: &[&str]) -> Macaroon {
        let mut id = [0; 32];
        id[24..].copy_from_slice(&self.tokens.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let identifier = Identifier { payment_hash: hash, token_id: TokenId::from_bytes(id) };
        Macaroon::mint(&self.key, "lsat", &identifier.to_bytes(), caveats).unwrap()
    }

    /// An invoice of the node's, as its faults make it: text and payment hash.
    pub(crate) async fn invoice(&self) -> (String, PaymentHash) {
        let ask = json!({ "value_msat": PRICE_MSAT.to_string(), "memo": "goods", "expiry": "600" });
        let answer = self.client.post(format!("{}/v1/invoices", self.door)).body(ask.to_string());
        let answer = answer.send().await.unwrap().bytes().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let hash = STANDARD.decode(answer["r_hash"].as_str().unwrap()).unwrap();
        let text = answer["payment_request"].as_str().unwrap().to_owned();
        (text, PaymentHash::from_bytes(hash.try_into().unwrap()))
    }

    /// Whether a request shows a paid token of this shop with `caveat` in it.
    pub(crate) fn admits(&self, head: &Head, caveat: &str) -> bool {
        let lines = head.headers.iter().filter(|(name, _)| name == "authorization");
        let lines: Vec<&[u8]> = lines.map(|(_, value)| value.as_bytes()).collect();
        let Ok(Some(credential)) = Credential::read(lines.into_iter(), std::iter::empty()) else {
            return false;
        };
        let token = credential.macaroon();
        token.verify(&self.key).is_ok()
            && credential.preimage().payment_hash() == credential.identifier().payment_hash
            && token.caveats().any(|found| found.identifier == caveat.as_bytes())
    }
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Reply {
    pub(crate) fn ok(body: &str) -> Self {
        Self::with(200, &[], body)
    }

    pub(crate) fn with(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let mut head = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            head.extend([*name, ": ", *value, "\r\n"]);
        }
        Self::raw(&format!("{head}Connection: close\r\n\r\n{body}"))
    }

    pub(crate) fn demand(challenges: &[String]) -> Self {
        let headers: Vec<_> = challenges.iter().map(|line| ("WWW-Authenticate", line.as_str())).collect();
        Self::with(402, &headers, "payment required\n")
    }

    pub(crate) fn redirect(status: u16, to: &str) -> Self {
        Self::with(status, &[("Location", to)], "")
    }

    pub(crate) fn raw(text: &str) -> Self {
        Self(vec![Piece::Bytes(text.as_bytes().to_vec())])
    }

    /// Cuts the end of the answer off.
    pub(crate) fn without_last(mut self, bytes: usize) -> Self {
        if let Some(Piece::Bytes(last)) = self.0.last_mut() {
            last.truncate(last.len() - bytes);
        }
        self
    }

    pub(crate) fn then_endless(mut self, bytes: &str) -> Self {
        self.0.push(Piece::Endless(bytes.as_bytes().to_vec()));
        self
    }

    pub(crate) fn then_silence(mut self) -> Self {
        self.0.push(Piece::Silence);
        self
    }
}

/// A paid credential of `service`, for a challenge nobody has asked for.
pub(crate) fn credential_text(till: &Till, caveats: &[&str]) -> String {
    let preimage = Preimage::from_bytes([3; 32]);
    let token = till.token(preimage.payment_hash(), caveats);
    format!("L402 {}:{}", STANDARD.encode(token.as_bytes()), preimage.reveal_hex())
}

/// A token in the url-safe alphabet, without padding.
pub(crate) fn url_safe(token: &Macaroon) -> String {
    URL_SAFE_NO_PAD.encode(token.as_bytes())
}

async fn serve(mut stream: TcpStream, till: Arc<Till>, counter: Arc<Counter>) {
    let Some(mut head) = read(&mut stream).await else { return };
    // A careful server does not read what it is not going to take.
    if head.header("expect").is_some() && head.header("authorization").is_some() {
        let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        let length = head.header("content-length").map_or(0, |length| length.parse().unwrap());
        head.body.resize(length, 0);
        if stream.read_exact(&mut head.body).await.is_err() {
            return;
        }
    }
    till.requests.lock().unwrap().push(head.clone());
    for piece in counter(till, head).await.0 {
        let written = match piece {
            Piece::Bytes(bytes) => stream.write_all(&bytes).await,
            Piece::Endless(bytes) => loop {
                if let Err(error) = stream.write_all(&bytes).await {
                    break Err(error);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            },
            Piece::Silence => {
                let _ = stream.read(&mut [0; 1]).await;
                Ok(())
            }
        };
        if written.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut TcpStream) -> Option<Head> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if bytes.len() > HEAD_BYTES_MAX || stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    if headers.iter().any(|(name, _)| name == "expect") {
        length = 0;
    }
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Head { method, path, headers, body })
}
