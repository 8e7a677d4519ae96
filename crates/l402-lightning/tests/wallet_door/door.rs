//! A node with its door open, and a client in front of it.

use base64::Engine as _;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode, body::Bytes};
use hyper_util::rt::TokioIo;
use l402::Preimage;
use l402_lightning::{
    Invoice, InvoiceRequest, Invoicer, MilliSat,
    loopback::{LoopbackNode, WalletDoorError, serve_wallet},
};
use serde_json::Value;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

pub(crate) const NOW: u64 = 1_700_000_000;
/// Long enough for any answer on a loopback line, short enough to wait for one that never comes.
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);

pub(crate) const HASH_B64: &str = "ZIrxulxpT1QByguxrlGZQEkg2Llx8KOEvOQb0G2fNBQ=";

/// A node with its door open.
pub(crate) struct Door {
    pub(crate) node: Arc<LoopbackNode>,
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), WalletDoorError>>,
}

/// What a client got: a status and a body, or a line that was cut before or within it.
#[derive(Debug)]
pub(crate) struct Cut;
pub(crate) type Got = Result<(StatusCode, String), Cut>;

impl Door {
    pub(crate) async fn open() -> Self {
        let node = Arc::new(LoopbackNode::new([7; 32], Arc::new(|| NOW)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let door = serve_wallet(listener, Arc::clone(&node), async move {
            let _ = stopped.await;
        });
        Self { node, address, stop: Some(stop), served: tokio::spawn(door) }
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: &str) -> Got {
        let stream = TcpStream::connect(self.address).await.map_err(|_| Cut)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|_| Cut)?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "wallet")
            .header("grpc-metadata-macaroon", "00")
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        let response = sender.send_request(request).await.map_err(|_| Cut)?;
        let status = response.status();
        assert_eq!(response.headers()["content-type"], "application/json");
        let body = response.into_body().collect().await.map_err(|_| Cut)?.to_bytes();
        connection.abort();
        Ok((status, String::from_utf8(body.to_vec()).unwrap()))
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        let (status, body) = self.send("GET", path, "").await.unwrap();
        (status, serde_json::from_str(&body).unwrap())
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let (status, body) = self.send("POST", path, &body.to_string()).await.unwrap();
        (status, serde_json::from_str(&body).unwrap())
    }

    /// `/v2/router/send`: the status and each line.
    pub(crate) async fn pay(&self, body: &Value) -> (StatusCode, Vec<Value>) {
        let (status, lines) = self.send("POST", "/v2/router/send", &body.to_string()).await.unwrap();
        (status, lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    pub(crate) async fn track(&self, hash: &str) -> (StatusCode, Vec<Value>) {
        let (status, lines) = self.send("GET", &format!("/v2/router/track/{hash}"), "").await.unwrap();
        (status, lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    pub(crate) async fn invoice(&self, preimage: u8) -> Invoice {
        self.node.create(request(preimage)).await.unwrap()
    }

    pub(crate) async fn close(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.served.await.unwrap().unwrap();
    }
}

pub(crate) fn request(preimage: u8) -> InvoiceRequest {
    InvoiceRequest {
        amount: MilliSat::from_msat(10_500),
        expiry_secs: 600,
        description: "weather".to_owned(),
        preimage: Some(Preimage::from_bytes([preimage; 32])),
    }
}

/// The preimage `[3; 32]` and its hash in hex.
pub(crate) fn three() -> (String, String) {
    let preimage = Preimage::from_bytes([3; 32]);
    (preimage.reveal_hex(), preimage.payment_hash().to_string())
}

/// Hex as url-safe base64.
pub(crate) fn base64_of(hex_text: &str) -> String {
    base64::engine::general_purpose::URL_SAFE.encode(hex::decode(hex_text).unwrap())
}

/// The hash of `[3; 32]` as LND's JSON shows it.
pub(crate) fn hash_of_three() -> String {
    base64_of(&three().1).replace('-', "+").replace('_', "/")
}
