//! Starts and ends the workers: one thread with its own runtime per core, each with its own socket on every address.

use super::{
    accept::{self, Listening},
    descriptors,
    io::now,
    tls::{TlsError, server_config},
};
use crate::{
    config::Listener,
    proxy::{Shared, Worker},
};
use arc_swap::ArcSwapOption;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, atomic::AtomicUsize},
    thread::JoinHandle,
    time::Duration,
};
use tokio::{sync::watch, task::LocalSet};

/// Connections that the kernel completes before we accept them.
const BACKLOG: i32 = 4096;
/// How often idle upstream connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// What the engine is started with.
pub struct EngineSettings<'a> {
    /// Where to listen.
    pub listeners: &'a [Listener],
    /// Threads, each with a runtime of its own.
    pub workers: usize,
    /// Bytes of a request head.
    pub header_bytes: usize,
    /// Connections held at once, over all listeners.
    pub connections: usize,
}

/// The running engine.
pub struct Engine {
    shared: Arc<Shared>,
    listening: Vec<Arc<Listening>>,
    addresses: Vec<SocketAddr>,
    threads: Vec<JoinHandle<()>>,
    drain: watch::Sender<bool>,
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// An address is taken or not ours.
    #[error("cannot listen on {address} (key `{key}`): {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The key that sets it.
        key: String,
        /// What the system said.
        error: io::Error,
    },
    /// A certificate cannot be used.
    #[error("{error} (key `{key}`)")]
    Tls {
        /// The listener's key.
        key: String,
        /// What is wrong.
        error: TlsError,
    },
    /// No thread or runtime.
    #[error("cannot start a worker: {0}")]
    Worker(io::Error),
}

impl Engine {
    /// Binds every address, then starts the workers. Nothing is served before all of that succeeded.
    pub(crate) fn start(shared: Arc<Shared>, settings: &EngineSettings<'_>) -> Result<Self, EngineError> {
        descriptors::take_enough_for(settings.connections);
        let connections = Arc::new(AtomicUsize::new(0));
        let mut listening = Vec::new();
        let mut addresses = Vec::new();
        let mut sockets: Vec<Vec<(TcpListener, Arc<Listening>)>> =
            (0..settings.workers).map(|_| Vec::new()).collect();
        for (index, listener) in settings.listeners.iter().enumerate() {
            let key = &listener.key;
            let tls = listener.tls.as_ref().map(server_config).transpose();
            let tls = tls.map_err(|error| EngineError::Tls { key: key.clone(), error })?;
            let bound = bind(listener.address, settings.workers).map_err(|error| EngineError::Bind {
                address: listener.address,
                key: key.clone(),
                error,
            })?;
            let of = Arc::new(Listening {
                index,
                tls: ArcSwapOption::new(tls),
                header_bytes: settings.header_bytes,
                connections: Arc::clone(&connections),
                connections_max: settings.connections,
            });
            addresses.extend(bound.first().and_then(|socket| socket.local_addr().ok()));
            for (worker, socket) in sockets.iter_mut().zip(bound) {
                worker.push((socket, Arc::clone(&of)));
            }
            listening.push(of);
        }
        let (drain, draining) = watch::channel(false);
        let start = |(index, sockets): (usize, Vec<_>)| {
            let (shared, draining) = (Arc::clone(&shared), draining.clone());
            run_worker(shared, index as u64, sockets, draining)
        };
        let threads = sockets.into_iter().enumerate().map(start).collect::<io::Result<Vec<_>>>();
        let threads = threads.map_err(EngineError::Worker)?;
        Ok(Self { shared, listening, addresses, threads, drain })
    }

    /// The addresses that are listened on, in the order of the listeners; ports that were 0 are known here.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Reads certificates again; new connections get the new ones. One that cannot be used changes nothing.
    pub fn reload_certificates(&self, listeners: &[Listener]) -> Result<(), TlsError> {
        let read = |listener: &Listener| listener.tls.as_ref().map(server_config).transpose();
        let tls = listeners.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        for (listening, tls) in self.listening.iter().zip(tls) {
            listening.tls.store(tls);
        }
        Ok(())
    }

    /// Stops accepting, lets requests in progress end for at most `limit`, then stops whatever is left. Blocks.
    pub fn drain(self, limit: Duration) {
        let deadline = now() + limit;
        self.drain.send_replace(true);
        for thread in self.threads {
            while !thread.is_finished() && now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            if thread.is_finished() {
                let _ = thread.join(); // a panic there has printed itself
            }
        }
    }
}

/// Binds one socket per worker. The kernel spreads new connections over them.
fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    // Sockets that share a port would also share it with another program that does the same; this one would not. A port
    // that the system chooses is nobody's.
    if address.port() != 0 {
        socket(address)?.bind(&address.into())?;
    }
    let mut bound: Vec<TcpListener> = Vec::with_capacity(workers);
    for _ in 0..workers {
        let address = bound.first().map_or(Ok(address), TcpListener::local_addr)?;
        let socket = socket(address)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        bound.push(socket.into());
    }
    Ok(bound)
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn run_worker(
    shared: Arc<Shared>,
    index: u64,
    sockets: Vec<(TcpListener, Arc<Listening>)>,
    draining: watch::Receiver<bool>,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        let tasks = LocalSet::new();
        let worker = Worker::new(shared, index);
        for (socket, listening) in sockets {
            let (worker, draining) = (std::rc::Rc::clone(&worker), draining.clone());
            tasks.spawn_local(async move {
                match tokio::net::TcpListener::from_std(socket) {
                    Ok(socket) => accept::accept(worker, socket, listening, draining).await,
                    Err(error) => tracing::error!(%error, "a listener could not be started"),
                }
            });
        }
        let sweeping = tasks.spawn_local(async move {
            loop {
                tokio::time::sleep(SWEEP_EVERY).await;
                worker.sweep(now());
            }
        });
        runtime.block_on(tasks.run_until(drained(draining, sweeping)));
        // What is left keeps running until it is done or the process ends.
        runtime.block_on(tasks);
    })
}

/// Ends the housekeeping when draining begins, so that only requests in progress keep the worker alive.
async fn drained(mut draining: watch::Receiver<bool>, sweeping: tokio::task::JoinHandle<()>) {
    let _ = draining.wait_for(|draining| *draining).await; // a dropped engine drains too
    sweeping.abort();
}
