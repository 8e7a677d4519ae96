//! The wallet door: the part of LND's REST interface that L402 clients use, over plain HTTP on a loopback address.
//!
//! Any macaroon is accepted, and none: whoever reaches the address may pay, with money that does not exist. Shapes,
//! codes and messages are LND's (0.21, with the `/v1/channels/transactions` that it dropped and clients still use),
//! with one deviation: `r_preimage` of an invoice is empty until it is settled.
//!
//! Everything has a limit: connections, header and body sizes, and the time a request may take to arrive.

mod answer;
mod ask;
mod invoices;
mod payments;
mod routes;
mod shapes;

use super::LoopbackNode;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

/// Connections served at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 256;
/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most time for a request's head to arrive, and for a connection to lie idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for open requests to end after the shutdown began.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a failed accept (no descriptors left), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Opens the wallet door of `node` on `listener` until `shutdown` completes. Then open requests have two seconds.
///
/// Refuses every address that is not a loopback address: whoever reaches this door may pay.
pub async fn serve_wallet(
    listener: TcpListener,
    node: Arc<LoopbackNode>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), WalletDoorError> {
    let address = listener.local_addr().map_err(WalletDoorError::Listener)?;
    if !address.ip().is_loopback() {
        return Err(WalletDoorError::NotLoopback(address));
    }
    let mut shutdown = pin!(shutdown);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    loop {
        let accept = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = serve_connection(stream, Arc::clone(&node), stopped.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
        while connections.try_join_next().is_some() {}
    }
    stop.send_replace(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, drained).await;
    connections.shutdown().await;
    Ok(())
}

/// Serves one connection. How it ends concerns its client only.
async fn serve_connection(stream: TcpStream, node: Arc<LoopbackNode>, mut stopped: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| routes::answer(Arc::clone(&node), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|stopped| *stopped) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Why the wallet door does not open.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WalletDoorError {
    /// The address is reachable from elsewhere.
    #[error("the loopback wallet must listen on a loopback address such as 127.0.0.1:8403, not on {0}")]
    NotLoopback(SocketAddr),
    /// The listener is unusable.
    #[error("the loopback wallet's listener is unusable")]
    Listener(#[source] io::Error),
}
