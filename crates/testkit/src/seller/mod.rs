//! A server that sells by L402, for tests of buyers: in any spelling, and with any of the tricks seen in the field.

mod spelling;

pub use spelling::Spelling;

use crate::{SeededEntropy, Seen, VirtualClock, background::Background, body::ReplyBody};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{AUTHORIZATION, LOCATION, WWW_AUTHENTICATE},
};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use l402::{
    Access, Credential, Identifier, Name, PaymentHash, RootKey, RootKeys, Satisfiers, TokenId, TokenSpec,
};
use l402_lightning::{
    InvoiceRequest, MilliSat,
    loopback::{Fault, LoopbackNode, WrongInvoice},
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What a [`Seller`] sells and how.
#[derive(Clone, Debug)]
pub struct SellerOptions {
    /// What one token costs.
    pub price: MilliSat,
    /// The service that its tokens name.
    pub service: Name,
    /// Seconds that a token is valid for; `None`: it does not expire.
    pub valid_for_secs: Option<u64>,
    /// How challenges are written.
    pub spelling: Spelling,
    /// How it cheats.
    pub trick: Trick,
    /// The body that a buyer gets in the end.
    pub goods: String,
}

/// How a seller cheats, or fails.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trick {
    /// It does not.
    None,
    /// The token commits to another payment hash than the invoice's.
    WrongHash,
    /// The invoice is wrong.
    Invoice(WrongInvoice),
    /// Every request is answered with a demand, paid or not.
    AlwaysDemand,
    /// Every request is sent to this URL.
    Redirect(String),
    /// Paid requests are sent to this URL.
    RedirectPaid(String),
    /// Paid requests get this status and no body.
    AnswerPaid(StatusCode),
    /// Paid requests get half of the goods, then the line is cut.
    CutPaid,
    /// The body of the demand never ends.
    EndlessDemand,
    /// The body of the demand breaks off.
    CutDemand,
}

impl Default for SellerOptions {
    /// An honest seller of `goods` for 10 sat.
    fn default() -> Self {
        Self {
            price: MilliSat::from_msat(10_000),
            service: "shop".parse().expect("a name"),
            valid_for_secs: None,
            spelling: Spelling::Standard,
            trick: Trick::None,
            goods: "goods\n".to_owned(),
        }
    }
}

/// A running seller. Dropped, it is closed.
#[derive(Debug)]
pub struct Seller {
    server: Background,
    shop: Arc<Shop>,
}

/// What the seller's thread and the test share.
#[derive(Debug)]
struct Shop {
    node: Arc<LoopbackNode>,
    clock: VirtualClock,
    entropy: SeededEntropy,
    root_key: [u8; 32],
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    options: SellerOptions,
    seen: Vec<Seen>,
    demands: usize,
    sales: usize,
}

/// The one key of all its tokens.
struct Key([u8; 32]);

impl RootKeys for Key {
    fn root_key(&self, _: &Identifier) -> Option<RootKey> {
        Some(RootKey::from_bytes(self.0))
    }
}

impl Seller {
    pub(crate) fn start(
        node: Arc<LoopbackNode>,
        clock: VirtualClock,
        root_key: [u8; 32],
        options: SellerOptions,
    ) -> Self {
        let [first, ..] = root_key;
        let shop = Arc::new(Shop {
            node,
            clock,
            entropy: SeededEntropy::new(u64::from(first)),
            root_key,
            state: Mutex::new(State { options, seen: Vec::new(), demands: 0, sales: 0 }),
        });
        let serving = Arc::clone(&shop);
        let server = Background::start_http(
            async |stream| Some(stream),
            move |request| {
                let shop = Arc::clone(&serving);
                async move { shop.answer(request).await }
            },
        );
        Self { server, shop }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Its origin with this path, which starts with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Sells otherwise from now on.
    pub fn change(&self, change: impl FnOnce(&mut SellerOptions)) {
        change(&mut self.shop.lock().options);
    }

    /// Every request that reached it, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.shop.lock().seen.clone()
    }

    /// How many demands with an invoice it has made.
    pub fn demands(&self) -> usize {
        self.shop.lock().demands
    }

    /// How many paid requests it has answered with the goods, whole or cut.
    pub fn sales(&self) -> usize {
        self.shop.lock().sales
    }
}

impl Shop {
    async fn answer(&self, request: Request<Incoming>) -> Response<ReplyBody> {
        let (head, body) = request.into_parts();
        let options = {
            let mut state = self.lock();
            state.seen.push(Seen {
                method: head.method.clone(),
                target: head.uri.to_string(),
                version: head.version,
                headers: head.headers.clone(),
            });
            state.options.clone()
        };
        let _ = body.collect().await;
        let paid = self.is_paid(&options, &head);
        match &options.trick {
            Trick::Redirect(to) => redirect(to),
            Trick::AlwaysDemand => self.demand(&options).await,
            _ if !paid => self.demand(&options).await,
            Trick::RedirectPaid(to) => redirect(to),
            Trick::AnswerPaid(status) => {
                let mut response = Response::new(ReplyBody::whole(Bytes::new()));
                *response.status_mut() = *status;
                response
            }
            trick => {
                self.lock().sales += 1;
                let goods = Bytes::from(options.goods.clone());
                Response::new(if *trick == Trick::CutPaid {
                    ReplyBody::cut_after(goods.slice(..goods.len() / 2))
                } else {
                    ReplyBody::whole(goods)
                })
            }
        }
    }

    /// Whether the request shows a token of this shop, paid and still valid.
    fn is_paid(&self, options: &SellerOptions, head: &http::request::Parts) -> bool {
        let lines = head.headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
        let metadata = HeaderName::from_static("macaroon");
        let macaroons = head.headers.get_all(metadata).iter().map(HeaderValue::as_bytes);
        let Ok(Some(credential)) = Credential::read(lines, macaroons) else { return false };
        let Ok(token) = l402::verify(credential, &Key(self.root_key)) else { return false };
        let access = Access {
            service: options.service.as_str(),
            tier: 0,
            capability: None,
            method: head.method.as_str(),
            path: head.uri.path(),
            client: None,
            now: self.clock.now(),
        };
        l402::clear(&token, &Satisfiers::builder(options.service.clone()).build(), &access).is_ok()
    }

    /// A 402 with a fresh invoice.
    async fn demand(&self, options: &SellerOptions) -> Response<ReplyBody> {
        let (invoice, hash) = self.invoice(options).await;
        let committed = match options.trick {
            Trick::WrongHash => PaymentHash::from_bytes(self.entropy.bytes32()),
            _ => hash,
        };
        let identifier =
            Identifier { payment_hash: committed, token_id: TokenId::from_bytes(self.entropy.bytes32()) };
        let spec = TokenSpec {
            service: options.service.clone(),
            tier: 0,
            capabilities: Vec::new(),
            constraints: Vec::new(),
            units: None,
            valid_until: options.valid_for_secs.map(|secs| self.clock.now() + secs),
        };
        let token = l402::mint(&RootKey::from_bytes(self.root_key), "lsat", &identifier, &spec);
        let token = token.expect("a small token");
        let mut headers = HeaderMap::new();
        for line in options.spelling.lines(token.as_bytes(), &invoice) {
            headers.append(WWW_AUTHENTICATE, line.parse().expect("a header value"));
        }
        self.lock().demands += 1;
        let text = Bytes::from_static(b"payment required\n");
        let mut response = Response::new(match options.trick {
            Trick::EndlessDemand => ReplyBody::endless(),
            Trick::CutDemand => ReplyBody::cut_after(text),
            _ => ReplyBody::whole(text),
        });
        *response.status_mut() = StatusCode::PAYMENT_REQUIRED;
        *response.headers_mut() = headers;
        response
    }

    /// An invoice's text, right or wrong, and the hash that it was asked for with.
    async fn invoice(&self, options: &SellerOptions) -> (String, PaymentHash) {
        let preimage = l402::Preimage::from_bytes(self.entropy.bytes32());
        let hash = preimage.payment_hash();
        let request = InvoiceRequest {
            amount: options.price,
            expiry_secs: 600,
            description: options.service.to_string(),
            preimage: Some(preimage),
        };
        if let Trick::Invoice(wrong) = options.trick {
            self.node.knobs().create().set_times(1, Fault::Wrong(wrong));
        }
        (self.node.create_text(&request).await.expect("an invoice"), hash)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn redirect(to: &str) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(Bytes::new()));
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(LOCATION, to.parse().expect("a header value"));
    response
}
