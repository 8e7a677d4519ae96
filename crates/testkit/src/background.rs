//! Servers on threads of their own.

use crate::body::ReplyBody;
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use std::{convert::Infallible, net::SocketAddr, sync::Arc, thread::JoinHandle};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

/// A server on a thread of its own; dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Background {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Binds a port and runs `serve` on it until the server is dropped.
    pub(crate) fn start<F>(
        serve: impl FnOnce(TcpListener, oneshot::Receiver<()>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()>,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("a bound socket");
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                serve(listener, stopped).await;
            });
        });
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    /// Serves HTTP/1.1, and HTTP/2 with prior knowledge. `opening` sees each connection first and may keep it.
    pub(crate) fn start_http<H, F, O, G>(opening: O, handle: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Response<ReplyBody>> + Send + 'static,
        O: Fn(TcpStream) -> G + Send + Sync + 'static,
        G: Future<Output = Option<TcpStream>> + Send + 'static,
    {
        let (opening, handle) = (Arc::new(opening), Arc::new(handle));
        Self::start(async move |listener, stopped| {
            let accepting = async {
                while let Ok((stream, _)) = listener.accept().await {
                    let (opening, handle) = (Arc::clone(&opening), Arc::clone(&handle));
                    tokio::spawn(async move {
                        let Some(stream) = opening(stream).await else { return };
                        let service = service_fn(move |request| {
                            let answer = handle(request);
                            async move { Ok::<_, Infallible>(answer.await) }
                        });
                        // How a connection ends is the business of the test.
                        let _ = auto::Builder::new(TokioExecutor::new())
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
            };
            tokio::select! {
                () = accepting => {}
                _ = stopped => {}
            }
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic on that thread has been printed there.
            let _ = thread.join();
        }
    }
}
