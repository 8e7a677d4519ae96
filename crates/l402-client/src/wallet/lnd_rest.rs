//! A wallet behind LND's REST interface: a real lnd, or the loopback node's wallet door.
//!
//! Pays with `POST /v2/router/send` and asks with `GET /v2/router/track/{hash}`; both answer one JSON object a line.
//! A payment is only "not sent" where LND refused the call itself; whatever breaks later leaves the outcome unknown.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::BytesMut;
use http::{HeaderValue, StatusCode};
use l402::PaymentHash;
use l402_lightning::{
    BoxFuture, Invoice, Network, NotSent, Paid, PayError, PayLimits, Payer, PayerCapabilities, PaymentState,
    UnknownCause, UntrustedText,
};
use reqwest::{Client, RequestBuilder, Response, Url};
use zeroize::Zeroizing;

use super::lnd_message::{Line, NodeInfo, SendRequest};
use super::{Opening, WalletError, WalletRequest};
use crate::origin::Origin;
use crate::tls::Trust;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the answer to a question; they are answered from the node's own memory.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// How much longer than the payment's own timeout its answer may take, at most.
const ANSWER_MARGIN_MAX: Duration = Duration::from_secs(2);
/// Longest line of an answer: one payment with all its routes.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Largest file with a macaroon.
const MACAROON_BYTES_MAX: usize = 4096;

/// A wallet behind LND's REST interface.
struct LndRest {
    client: Client,
    base: Url,
    macaroon: Option<HeaderValue>,
    network: Option<Network>,
}

/// Opens `lnd+http://` and `lnd+https://` wallets.
pub(super) fn open(request: WalletRequest) -> Opening {
    Box::pin(async move {
        let mut wallet = LndRest::new(&request)?;
        wallet.ask_network(request.address.network).await?;
        wallet.ask_permission().await?;
        Ok(Arc::new(wallet) as Arc<dyn Payer>)
    })
}

impl LndRest {
    fn new(request: &WalletRequest) -> Result<Self, WalletError> {
        let address = &request.address;
        let base = address.place().ok_or(WalletError::NoPlace)?.clone();
        let local = Origin::of(&base).is_ok_and(|origin| origin.is_loopback());
        let plain = base.scheme() == "http";
        if plain && !local && !address.danger_plain_http {
            return Err(WalletError::PlainHttp);
        }
        let certificate = address.certificate.clone().or_else(|| request.credentials.certificate.clone());
        let tls = match certificate {
            _ if plain => Trust::nobody()?,
            Some(file) => Trust::Only(file).client_config()?,
            None => Trust::System.client_config()?,
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|_| WalletError::Garbled)?;
        Ok(Self { client, base, macaroon: macaroon(request)?, network: None })
    }

    /// Learns the network from the node, unless the address names it (a payer's macaroon may lack `info:read`).
    async fn ask_network(&mut self, named: Option<Network>) -> Result<(), WalletError> {
        if named.is_some() {
            self.network = named;
            return Ok(());
        }
        let (status, body) = self.question(self.get("v1/getinfo"), Extent::Whole).await?;
        if status != StatusCode::OK {
            return Err(not_ready(status, &body));
        }
        let info: NodeInfo = serde_json::from_slice(&body).map_err(|_| WalletError::Garbled)?;
        self.network = info.network();
        Ok(())
    }

    /// Asks about a payment that cannot exist: a wallet that may not answer this could never be asked after a crash.
    async fn ask_permission(&self) -> Result<(), WalletError> {
        let (status, body) =
            self.question(self.track(PaymentHash::from_bytes([0; 32])), Extent::FirstLine).await?;
        match Line::read(&body) {
            Some(line) if line.says_not_found() => Ok(()),
            _ => Err(not_ready(status, &body)),
        }
    }

    /// Sends a question and reads its answer.
    async fn question(
        &self,
        request: RequestBuilder,
        extent: Extent,
    ) -> Result<(StatusCode, BytesMut), WalletError> {
        let unreachable = || WalletError::NotReady(NotSent::Unreachable);
        let answer = async {
            let mut response = request.send().await.map_err(|_| unreachable())?;
            let status = response.status();
            let mut lines = Lines::default();
            let mut body = BytesMut::new();
            while let Some(line) = lines.next(&mut response).await.map_err(|_| unreachable())? {
                body.extend_from_slice(&line);
                if extent == Extent::FirstLine || body.len() > LINE_BYTES_MAX {
                    break;
                }
            }
            Ok((status, body))
        };
        tokio::time::timeout(QUESTION_TIMEOUT, answer).await.map_err(|_| unreachable())?
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.authorized(self.client.get(self.at(path)))
    }

    fn track(&self, hash: PaymentHash) -> RequestBuilder {
        self.get(&format!("v2/router/track/{}", URL_SAFE.encode(hash.as_bytes())))
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        url
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.macaroon {
            Some(macaroon) => request.header("Grpc-Metadata-macaroon", macaroon),
            None => request,
        }
    }

    async fn send(&self, invoice: &Invoice, limits: PayLimits) -> Result<Paid, PayError> {
        let body = SendRequest {
            payment_request: invoice.text(),
            // LND reads 0 as its own default.
            timeout_seconds: limits.timeout.as_secs().max(1),
            fee_limit_msat: limits.fee_max.as_msat().to_string(),
            no_inflight_updates: false,
        };
        let request = self.authorized(self.client.post(self.at("v2/router/send")).json(&body));
        let mut response = request.send().await.map_err(|error| {
            if error.is_connect() {
                PayError::NotSent(NotSent::Unreachable)
            } else {
                PayError::OutcomeUnknown(UnknownCause::Cut)
            }
        })?;
        let mut lines = Lines::default();
        if response.status() != StatusCode::OK {
            let line = lines.next(&mut response).await.ok().flatten().unwrap_or_default();
            return Err(refusal(response.status(), &line));
        }
        while let Some(line) = lines.next(&mut response).await? {
            let line = Line::read(&line).ok_or(PayError::OutcomeUnknown(UnknownCause::Garbled))?;
            match line.outcome()? {
                Some(PaymentState::Succeeded(paid)) => return Ok(paid),
                Some(PaymentState::Failed(reason)) => return Err(PayError::Failed(reason)),
                _ => {}
            }
        }
        // The stream ended while the payment was on its way.
        Err(PayError::OutcomeUnknown(UnknownCause::Cut))
    }

    async fn ask(&self, hash: PaymentHash) -> Result<PaymentState, PayError> {
        let cut = |_| PayError::OutcomeUnknown(UnknownCause::Cut);
        let mut response = self.track(hash).send().await.map_err(cut)?;
        let line = Lines::default().next(&mut response).await?.unwrap_or_default();
        let garbled = PayError::OutcomeUnknown(match response.status() {
            StatusCode::OK => UnknownCause::Garbled,
            _ => UnknownCause::WalletFailed,
        });
        let line = Line::read(&line).ok_or(garbled)?;
        if line.says_not_found() {
            return Ok(PaymentState::Unknown);
        }
        Ok(line.outcome()?.unwrap_or(PaymentState::InFlight))
    }
}

impl Payer for LndRest {
    fn capabilities(&self) -> PayerCapabilities {
        PayerCapabilities {
            network: self.network,
            fee_limit: true,
            timeout: true,
            returns_preimage: true,
            lookup_by_hash: true,
        }
    }

    fn pay<'a>(&'a self, invoice: &'a Invoice, limits: PayLimits) -> BoxFuture<'a, Result<Paid, PayError>> {
        let margin = (limits.timeout / 4).min(ANSWER_MARGIN_MAX);
        Box::pin(async move {
            match tokio::time::timeout(limits.timeout + margin, self.send(invoice, limits)).await {
                Ok(answer) => answer,
                Err(_) => Err(PayError::OutcomeUnknown(UnknownCause::Timeout)),
            }
        })
    }

    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<PaymentState, PayError>> {
        Box::pin(async move {
            match tokio::time::timeout(QUESTION_TIMEOUT, self.ask(payment_hash)).await {
                Ok(answer) => answer,
                Err(_) => Err(PayError::OutcomeUnknown(UnknownCause::Timeout)),
            }
        })
    }
}

/// How much of an answer is read: a stream of updates never ends by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    FirstLine,
    Whole,
}

/// The lines of an answer, each at most [`LINE_BYTES_MAX`]; the last one may lack its line feed.
#[derive(Default)]
struct Lines {
    buffer: BytesMut,
}

impl Lines {
    async fn next(&mut self, response: &mut Response) -> Result<Option<BytesMut>, PayError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                if line.iter().any(|byte| !byte.is_ascii_whitespace()) {
                    return Ok(Some(line));
                }
                continue;
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(PayError::OutcomeUnknown(UnknownCause::Garbled));
            }
            match response.chunk().await {
                Ok(Some(bytes)) => self.buffer.extend_from_slice(&bytes),
                Ok(None) if self.buffer.is_empty() => return Ok(None),
                Ok(None) => return Ok(Some(self.buffer.split())),
                Err(_) => return Err(PayError::OutcomeUnknown(UnknownCause::Cut)),
            }
        }
    }
}

/// What an HTTP error means for a payment. Only LND's own refusals, and client errors of whatever stands in front
/// of it, say that nothing was sent.
fn refusal(status: StatusCode, line: &[u8]) -> PayError {
    if let Some(refusal) = Line::read(line).and_then(|line| line.refusal()) {
        return refusal;
    }
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => PayError::NotSent(NotSent::Unauthorized),
        status if status.is_client_error() => {
            let message = UntrustedText::new(format!("HTTP status {}", status.as_u16()));
            PayError::NotSent(NotSent::Refused { message })
        }
        _ => PayError::OutcomeUnknown(UnknownCause::WalletFailed),
    }
}

fn not_ready(status: StatusCode, line: &[u8]) -> WalletError {
    match refusal(status, line) {
        PayError::NotSent(why) => WalletError::NotReady(why),
        _ => WalletError::Garbled,
    }
}

/// The macaroon, as the header carries it: hex from the address's file, else from the environment, else none.
fn macaroon(request: &WalletRequest) -> Result<Option<HeaderValue>, WalletError> {
    let Some(hex) = macaroon_hex(request)? else { return Ok(None) };
    let mut value = HeaderValue::from_str(&hex).map_err(|_| WalletError::CredentialForm)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn macaroon_hex(request: &WalletRequest) -> Result<Option<Zeroizing<String>>, WalletError> {
    let is_hex = |bytes: &[u8]| bytes.len().is_multiple_of(2) && bytes.iter().all(u8::is_ascii_hexdigit);
    if let Some(path) = &request.address.macaroon {
        let unreadable = |source| WalletError::CredentialFile { path: path.clone(), source };
        let bytes = Zeroizing::new(std::fs::read(path).map_err(unreadable)?);
        let text = bytes.trim_ascii();
        if bytes.is_empty() || bytes.len() > MACAROON_BYTES_MAX {
            return Err(WalletError::CredentialForm);
        }
        // LND writes binary files; hex is what people make of them.
        let hex =
            if is_hex(text) { String::from_utf8_lossy(text).into_owned() } else { hex::encode(&*bytes) };
        return Ok(Some(Zeroizing::new(hex)));
    }
    match &request.credentials.macaroon_hex {
        Some(text) if is_hex(text.trim().as_bytes()) && !text.trim().is_empty() => {
            Ok(Some(Zeroizing::new(text.trim().to_owned())))
        }
        Some(_) => Err(WalletError::CredentialForm),
        None => Ok(None),
    }
}
