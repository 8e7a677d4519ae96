//! Everything that the program says at its most talkative, searched for everything that nobody may learn.

use crate::{
    caller::{Caller, ask_once, get, paid, request},
    certificate::Authority,
    payload::Payload,
    process::Program,
    raw::Raw,
    stage::{Purse, config, everything, offers, pay},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use http::Method;
use l402::{Macaroon, Offer, OfferScheme, Preimage};
use l402_paywall::{KeyFile, KeyRing};
use serde_json::json;
use std::{fs, net::SocketAddr, path::Path};
use testkit::{Reply as Script, Upstream};

/// Secrets with a name each, in every form in which bytes are usually printed.
struct Secrets(Vec<(String, String)>);

impl Secrets {
    fn add(&mut self, name: &str, bytes: &[u8]) {
        let decimal: Vec<String> = bytes.iter().map(u8::to_string).collect();
        let escaped = format!("{:?}", Bytes::copy_from_slice(bytes));
        let forms = [
            hex::encode(bytes),
            hex::encode_upper(bytes),
            STANDARD_NO_PAD.encode(bytes),
            URL_SAFE_NO_PAD.encode(bytes),
            decimal.join(", "),
            escaped[2..escaped.len() - 1].to_owned(),
        ];
        self.0.extend(forms.map(|form| (name.to_owned(), form)));
    }

    fn add_purse(&mut self, purse: &Purse) {
        self.add("a preimage that was paid for", purse.preimage.as_bytes());
        self.add_token(&purse.token);
    }

    /// The signature is what makes a token one; the rest of it may be told.
    fn add_token(&mut self, token: &Macaroon) {
        self.add("a token", token.as_bytes());
        self.add("a signature", token.view().signature());
    }

    /// The master keys, and what was bought by nobody: the gateway can derive its preimage, and nobody else may.
    fn add_keys(&mut self, path: &Path, unpaid: &Offer) {
        let ring = KeyRing::new(&KeyFile::load(path).expect("keys"));
        let hidden = ring.preimage_key().preimage(&unpaid.identifier.token_id);
        assert_eq!(hidden.payment_hash(), unpaid.identifier.payment_hash);
        self.add("a preimage that nobody paid for", hidden.as_bytes());
        self.add_token(&unpaid.token);
        let keys = fs::read_to_string(path).expect("keys");
        let masters: Vec<&str> = keys.split_whitespace().filter(|word| word.len() == 64).collect();
        assert_eq!(masters.len(), 2);
        for master in masters {
            self.add("a master key", &hex::decode(master).expect("hex"));
        }
    }

    fn assert_absent(&self, place: &str, text: &str) {
        for (name, form) in &self.0 {
            if let Some(at) = text.find(form.as_str()) {
                let line = text[..at].lines().count();
                panic!(
                    "{name} is in {place}, line {line}: {}",
                    text.lines().nth(line - 1).unwrap_or_default()
                );
            }
        }
    }
}

/// Buys something on this connection; returns what was bought.
async fn buy(caller: &mut Caller, wallet: SocketAddr) -> Purse {
    let refused = caller.get("/today").await;
    pay(wallet, &offers(&refused.headers)[0]).await
}

/// Shows a credential in every way there is, good and bad.
async fn show(caller: &mut Caller, purse: &Purse) {
    let credential = purse.credential();
    let lsat = l402::authorization_value(OfferScheme::Lsat, &purse.token, &purse.preimage);
    assert_eq!(caller.ask(paid("/today", &credential)).await.text(), "sunny");
    assert_eq!(caller.ask(paid("/forwarded/today", &credential)).await.status, 402, "another service");
    let inside = format!("preimage={}", purse.preimage.reveal_hex());
    let inside = hex::encode(purse.token.attenuate(inside.as_bytes()).expect("room").as_bytes());
    let narrowed = purse.token.attenuate(b"weather_valid_until=1").expect("room");
    let narrowed = l402::authorization_value(OfferScheme::L402, &narrowed, &purse.preimage);
    let query = format!("/today?authorization={}", purse.preimage.reveal_hex());
    let cut = &credential[..credential.len() - 1];
    let other = l402::authorization_value(OfferScheme::L402, &purse.token, &Preimage::from_bytes([1; 32]));
    for (headers, status) in [
        (vec![("authorization", lsat.as_str())], 200),
        (vec![("macaroon", inside.as_str())], 200),
        (vec![("grpc-metadata-macaroon", inside.as_str()), ("authorization", "Bearer x")], 200),
        (vec![("authorization", narrowed.as_str())], 402),
        (vec![("authorization", cut)], 401),
        (vec![("authorization", other.as_str())], 401),
        (vec![("authorization", credential.as_str()), ("authorization", other.as_str())], 401),
        (vec![("authorization", credential.as_str()), ("connection-name", "x")], 200),
    ] {
        let asked = request(Method::GET, &query, &headers, Payload::empty());
        assert_eq!(caller.ask(asked).await.status.as_u16(), status, "{headers:?}");
    }
    let headers = [("authorization", credential.as_str()), ("content-type", "application/grpc")];
    caller.ask(request(Method::POST, "/a.B/Call", &headers, Payload::empty())).await;
}

#[tokio::test]
async fn no_secret_is_told_at_any_level() {
    let upstream = Upstream::start(Script::text("sunny"));
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    authority.certify(&["api.example.com"]).write(folder.path(), "api");
    let mut forwarding = everything(&upstream.url());
    forwarding["name"] = json!("forwarding");
    forwarding["path"] = json!("/forwarded/");
    forwarding["forward_credential"] = json!(true);
    forwarding["upstream_protocol"] = json!("h2");
    let mut config = config(json!([everything(&upstream.url()), forwarding]));
    let tls = json!({ "certificate": "api.pem", "key": "api.key" });
    config["listen"] = json!(["127.0.0.1:0", { "address": "127.0.0.1:0", "tls": tls }]);
    let mut program = Program::start(folder, &config, Some("trace")).await;
    let (plain, wallet, ops) = (program.address().await, program.wallet().await, program.ops().await);
    let over_tls = program.second_address().await;

    let mut secrets = Secrets(Vec::new());
    let stream = authority.connect(over_tls, "api.example.com", &[b"h2"]).await.expect("a handshake");
    for mut caller in [Caller::http1(plain).await, Caller::http2(plain).await, Caller::tls(stream).await] {
        let purse = buy(&mut caller, wallet).await;
        show(&mut caller, &purse).await;
        secrets.add_purse(&purse);
    }
    let refused = ask_once(plain, get("/forwarded/x")).await;
    let forwarded = pay(wallet, &offers(&refused.headers)[0]).await;
    assert_eq!(ask_once(plain, paid("/forwarded/x", &forwarded.credential())).await.text(), "sunny");
    assert!(upstream.seen().last().expect("a request").headers.contains_key("authorization"));
    secrets.add_purse(&forwarded);

    let unpaid = offers(&ask_once(plain, get("/today")).await.headers).remove(0);
    secrets.add_keys(&program.folder.path().join("data/keys"), &unpaid);

    // Requests that end in errors and panics of parsers are logged, too.
    let credential = forwarded.credential();
    for broken in ["GET / HTTP/1.1\r\nhost: a\r\nhost: b", "GET / HTTP/1.1\r\nx a: b", "BREW /"] {
        let mut raw = Raw::sent(plain, format!("{broken}\r\nauthorization: {credential}\r\n\r\n")).await;
        raw.finish_writing().await;
        raw.rest().await;
    }
    for path in ["/metrics", "/readyz", "/healthz"] {
        let answer = ask_once(ops, get(path)).await;
        assert_eq!(answer.status, 200);
        secrets.assert_absent(path, answer.text());
    }
    program.signal("HUP");
    program.hears("configuration reloaded").await;
    program.signal("TERM");
    assert!(program.ends().await.success());
    let said = program.said();
    assert!(
        said.contains("\"TRACE\"") && said.contains("\"target\":\"h2"),
        "it was as talkative as it can be"
    );
    let public = hex::encode(&forwarded.token.view().identifier()[34..]);
    assert!(
        said.contains(&public),
        "a token's public id may be told, and is: the search would have found the rest"
    );
    secrets.assert_absent("what it said", &said);
}
