//! The demo's API: it knows nothing of payments.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, io, net::SocketAddr};
use tokio::net::TcpListener;

/// Starts it on a free port of this machine.
pub(super) async fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
                let _ = served.await; // a connection that breaks is the gateway's to notice
            });
        }
    });
    Ok(address)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match request.uri().path() {
        "/weather/today" => (StatusCode::OK, "{\"city\":\"Lugano\",\"sky\":\"clear\",\"celsius\":17}\n"),
        "/weather/health" => (StatusCode::OK, "{\"ok\":true}\n"),
        _ => (StatusCode::NOT_FOUND, "{\"error\":\"only /weather/today and /weather/health are known\"}\n"),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
