//! Somebody between a store and the server, who cuts connections at the worst moment, or says nothing any more.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// Where a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Instead of handing a commit on.
    BeforeCommit,
    /// Instead of handing on that it was done: the server has done it, and the store cannot know.
    AfterCommit,
}

pub(crate) struct Proxy {
    port: u16,
    plan: Arc<Plan>,
    silent: watch::Sender<bool>,
}

/// The next commits to be cut.
#[derive(Default)]
struct Plan(Mutex<Option<(Cut, u64)>>);

impl Proxy {
    pub(crate) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let plan = Arc::<Plan>::default();
        let (silent, hush) = watch::channel(false);
        let own = Arc::clone(&plan);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (plan, hush) = (Arc::clone(&own), hush.clone());
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await {
                        carry(client, server, &plan, hush).await;
                    }
                });
            }
        });
        Self { port, plan, silent }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Does this to so many commits, one after the other, and hands the later ones on.
    pub(crate) fn cut(&self, cut: Cut, commits: u64) {
        *self.plan.0.lock().expect("a plan") = Some((cut, commits));
    }

    /// Commits that are still to be cut.
    pub(crate) fn cuts_left(&self) -> u64 {
        self.plan.0.lock().expect("a plan").map_or(0, |(_, left)| left)
    }

    /// From now on nothing is handed on, in either direction, and nobody is told; or again it is.
    pub(crate) fn be_silent(&self, silent: bool) {
        self.silent.send_replace(silent);
    }
}

impl Plan {
    /// What to do with this commit.
    fn take(&self) -> Option<Cut> {
        let mut plan = self.0.lock().expect("a plan");
        let (cut, left) = plan.as_mut()?;
        *left = left.checked_sub(1)?;
        Some(*cut)
    }
}

/// One connection, until either side ends it or it is cut: both sockets are dropped then.
async fn carry(client: TcpStream, server: TcpStream, plan: &Plan, hush: watch::Receiver<bool>) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let held = AtomicBool::new(false);
    tokio::select! {
        _ = requests(from_client, to_server, plan, &held, hush.clone()) => {}
        _ = answers(from_server, to_client, &held, hush) => {}
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    plan: &Plan,
    held: &AtomicBool,
    mut hush: watch::Receiver<bool>,
) -> std::io::Result<()> {
    // The first message has a length and no type.
    let mut message = vec![0; 4];
    from.read_exact(&mut message).await?;
    read_body(&mut from, &mut message, 0).await?;
    loop {
        let _ = hush.wait_for(|silent| !silent).await;
        if message == b"Q\0\0\0\x0bCOMMIT\0" {
            match plan.take() {
                None => {}
                Some(Cut::BeforeCommit) => return Ok(()),
                Some(Cut::AfterCommit) => {
                    held.store(true, Ordering::SeqCst);
                    to.write_all(&message).await?;
                    return std::future::pending().await;
                }
            }
        }
        to.write_all(&message).await?;
        message = read(&mut from).await?;
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    held: &AtomicBool,
    mut hush: watch::Receiver<bool>,
) -> std::io::Result<()> {
    loop {
        let message = read(&mut from).await?;
        let _ = hush.wait_for(|silent| !silent).await;
        if !held.load(Ordering::SeqCst) {
            to.write_all(&message).await?;
        } else if message.starts_with(b"C") && message.ends_with(b"COMMIT\0") {
            return Ok(());
        }
    }
}

/// A message with its type and length: <https://www.postgresql.org/docs/current/protocol-message-formats.html>.
async fn read(from: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; 5];
    from.read_exact(&mut message).await?;
    read_body(from, &mut message, 1).await?;
    Ok(message)
}

/// The rest of a message whose length stands at `at`; the length counts itself.
async fn read_body(from: &mut OwnedReadHalf, message: &mut Vec<u8>, at: usize) -> std::io::Result<()> {
    let length = u32::from_be_bytes(message[at..at + 4].try_into().expect("four bytes"));
    let start = message.len();
    message.resize(start + usize::try_from(length).expect("a length") - 4, 0);
    from.read_exact(&mut message[start..]).await?;
    Ok(())
}
