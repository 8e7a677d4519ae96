//! Two wallets of a real LNbits.

use crate::{
    front::{Asked, Behind, Reply},
    rigs::Wallets,
};
use l402::{PaymentHash, Preimage};
use l402_lightning::{BoxFuture, Invoice, MilliSat, Network};
use serde_json::{Value, json};
use testkit::contract::{Lack, LackOf, NodeFault, PayFault, WrongAuth};

/// The service and the keys of its wallets.
pub(crate) struct Real {
    address: String,
    seller_key: String,
    buyer_key: String,
    buyer_invoice_key: String,
}

impl Real {
    pub(crate) fn from_environment() -> Self {
        let value = |name: &str| {
            let unset = format!("{name} has to be set; `e2e/lnbits/run` does it");
            std::env::var(name).expect(&unset)
        };
        Self {
            address: value("L402_LNBITS_ADDRESS").trim_end_matches('/').to_owned(),
            seller_key: value("L402_LNBITS_SELLER_KEY"),
            buyer_key: value("L402_LNBITS_BUYER_KEY"),
            buyer_invoice_key: value("L402_LNBITS_BUYER_INVOICE_KEY"),
        }
    }

    /// Asks the service itself, not by the line that can fail.
    async fn ask(&self, method: &str, target: &str, key: Option<&str>, body: Vec<u8>) -> Reply {
        // Made anew, as it is used on several runtimes.
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let method = method.parse().expect("a method");
        let mut request = client.request(method, format!("{}{target}", self.address));
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = request.send().await.expect("LNbits answers");
        let status = answer.status().as_u16();
        let body = answer.bytes().await.expect("a whole answer").to_vec();
        Reply { status, headers: Vec::new(), body }
    }

    async fn post(&self, key: &str, body: Value) -> Value {
        let reply = self.ask("POST", "/api/v1/payments", Some(key), body.to_string().into_bytes()).await;
        let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
        assert_eq!(reply.status, 201, "{body}: {answer}");
        answer
    }
}

/// Waits for an answer where nothing can be awaited.
fn blocking<T: Send>(future: impl Future<Output = T> + Send) -> T {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(future)
    };
    std::thread::scope(|scope| scope.spawn(run).join().expect("an answer"))
}

impl Behind for Real {
    fn answer(&self, asked: Asked) -> BoxFuture<'_, Reply> {
        Box::pin(async move {
            let key = asked.header("x-api-key");
            self.ask(&asked.method, &asked.target, key, asked.body.clone()).await
        })
    }
}

impl Wallets for Real {
    // The fake funding source writes invoices for the main network.
    const NETWORK: Network = Network::Mainnet;
    const SELLER_LACKS: &[Lack] = &[
        Lack::of(LackOf::Auth(WrongAuth::Permission), "only a wallet shared by another can lack the right"),
        Lack::of(LackOf::Fault(NodeFault::FeedCut), "there is no feed"),
        Lack::of(LackOf::Fault(NodeFault::FeedDuplicate), "there is no feed"),
        Lack::of(LackOf::Fault(NodeFault::FeedReorder), "there is no feed"),
        Lack::of(LackOf::Fault(NodeFault::FeedGap), "there is no feed"),
        Lack::of(LackOf::Fault(NodeFault::Locked), "LNbits does not tell of its funding source"),
        Lack::of(LackOf::Fault(NodeFault::Starting), "LNbits does not tell of its funding source"),
        Lack::of(LackOf::ChosenPreimage, "the funding source chooses"),
        Lack::of(LackOf::MilliSat, "amounts are in satoshis"),
        Lack::of(LackOf::Cancel, "only hold invoices can be cancelled, with the admin key"),
        Lack::of(LackOf::Feed, "invoices are looked up one by one"),
    ];
    const BUYER_LACKS: &[Lack] = &[
        Lack::of(LackOf::PayFault(PayFault::Locked), "LNbits does not tell of its funding source"),
        Lack::of(LackOf::PayFault(PayFault::NoRoute), "payments between its wallets need no route"),
        Lack::of(LackOf::PayFault(PayFault::FeeAbove(MilliSat::ZERO)), "the reserve is the server's setting"),
        Lack::of(LackOf::PayFault(PayFault::Hold), "payments between its wallets end at once"),
        Lack::of(
            LackOf::PayFault(PayFault::InsufficientBalance),
            "the wallet is not emptied for one scenario",
        ),
    ];

    fn seller_key(&self) -> String {
        self.seller_key.clone()
    }

    fn buyer_key(&self) -> String {
        self.buyer_key.clone()
    }

    fn buyer_invoice_key(&self) -> String {
        self.buyer_invoice_key.clone()
    }

    fn key_without_rights(&self) -> Option<String> {
        None
    }

    fn pay<'a>(&'a self, invoice: &'a Invoice) -> BoxFuture<'a, Preimage> {
        Box::pin(async move {
            let answer = self.post(&self.buyer_key, json!({ "out": true, "bolt11": invoice.text() })).await;
            Preimage::from_hex(answer["preimage"].as_str().expect("a preimage").as_bytes()).expect("hex")
        })
    }

    fn invoice(&self, amount: MilliSat) -> Invoice {
        let sats = amount.as_msat() / 1_000;
        let request = json!({ "out": false, "amount": sats, "unit": "sat", "memo": "a stranger's goods", "expiry": 600 });
        let answer = blocking(self.post(&self.seller_key, request));
        Invoice::parse(answer["bolt11"].as_str().expect("an invoice")).expect("an invoice")
    }

    fn payment_count(&self, hash: PaymentHash) -> usize {
        let target = format!("/api/v1/payments?payment_hash={hash}");
        let reply = blocking(self.ask("GET", &target, Some(&self.buyer_key), Vec::new()));
        let list: Vec<Value> = serde_json::from_slice(&reply.body).expect("a list");
        list.iter().filter(|payment| payment["amount"].as_i64().is_some_and(|amount| amount < 0)).count()
    }

    fn arm(&self, fault: Option<PayFault>) -> bool {
        fault.is_none()
    }

    fn release(&self) {}
}
