//! The network below: TLS that is verified, servers that are not there, answers that are not HTTP.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::shop::{Reply, Shop};
use crate::world::World;

/// A TLS server for `name` that answers every request with `answer`; its address and its certificate as PEM.
fn tls_server(world: &World, name: &str, answer: &'static str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], der)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = world.runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    world.runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (address, certificate.pem())
}

#[test]
fn tls_is_verified_and_a_named_certificate_is_trusted() {
    let world = World::new();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret";
    let (address, pem) = tls_server(&world, "127.0.0.1", answer);
    let (_, other) = tls_server(&world, "127.0.0.1", answer);
    std::fs::write(world.home().join("ca.pem"), pem).unwrap();
    std::fs::write(world.home().join("other.pem"), other).unwrap();
    std::fs::write(world.home().join("empty.pem"), "").unwrap();
    let url = format!("https://{address}/");
    for trust in [&[][..], &["--cacert", "other.pem"], &["--cacert", "empty.pem"], &["--cacert", "none.pem"]]
    {
        let ending = world.get(&[&["--json"], trust, &[&url]].concat()).expect(7);
        assert_eq!(ending.report()["code"], "tls", "{}", ending.stderr);
    }
    world.get(&["--cacert", "ca.pem", &url]).served("secret");
}

#[test]
fn a_wallet_behind_tls_is_trusted_by_its_certificate() {
    let world = World::new();
    let shop = Shop::plain(&world);
    // Not a wallet, but reached: the difference shows in the message.
    let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let (address, pem) = tls_server(&world, "node", answer);
    std::fs::write(world.home().join("tls.cert"), pem).unwrap();
    let wallet = format!("lnd+https://{address}");
    let error = |wallet: &str| {
        let ending = world.get(&["--json", "--wallet", wallet, &shop.at("/paid")]).expect(4);
        ending.report()["error"].as_str().unwrap().to_owned()
    };
    assert!(error(&wallet).contains("certificate is not the one that is trusted"));
    assert!(error(&format!("{wallet}?cert=tls.cert")).contains("404"));
    assert_eq!(world.payments(), 0);
}

#[test]
fn nobody_there_and_no_http_are_network_failures() {
    let world = World::new();
    let report = world.get(&["--json", "http://127.0.0.1:1/"]).expect(7).report();
    assert_eq!(report["code"], "network");
    for rubbish in
        ["SSH-2.0-x\r\n\r\n", "HTTP/1.1 200\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"]
    {
        let shop = Shop::open(&world, move |_, _| Box::pin(async move { Reply::raw(rubbish) }));
        world.get(&[&shop.at("/")]).expect(7);
    }
}
