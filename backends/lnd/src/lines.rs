//! One connection for each runtime that asks, made when it is first used and made again once it has broken.
//!
//! A connection lives on a runtime. Where each runtime has its own, a gateway with one runtime per core asks without a
//! word between threads, and no connection depends on a runtime that might end before its callers.

use crate::link::{Connection, Link};
use l402_node_http::Fault;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::{
    runtime::{self, Handle},
    sync::watch,
};

/// The connections to one lnd.
pub(crate) struct Lines {
    link: Arc<Link>,
    lines: Mutex<Vec<(runtime::Id, Line)>>,
}

/// How a connection came out; `None` while it is made, by a task of its own: whoever asked for it may look away.
type Line = watch::Receiver<Option<Result<Connection, Fault>>>;

impl Lines {
    pub(crate) fn new(link: Link) -> Self {
        Self { link: Arc::new(link), lines: Mutex::default() }
    }

    /// The way they lead.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// The connection of the runtime that asks; nothing of the call has been sent where there is none.
    pub(crate) async fn ready(&self) -> Result<Connection, Fault> {
        let mut line = self.line();
        let made = line.wait_for(Option::is_some).await.map_err(|_| Fault::NotConnected)?;
        made.clone().unwrap_or(Err(Fault::NotConnected))
    }

    fn line(&self) -> Line {
        let own = Handle::current().id();
        // Nothing is done under the lock that could leave the list half changed.
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, line)) = lines.iter().find(|(id, line)| *id == own && is_usable(line)) {
            return line.clone();
        }
        // Those of runtimes that have ended, too.
        lines.retain(|(_, line)| is_usable(line));
        let (made, line) = watch::channel(None);
        let link = Arc::clone(&self.link);
        tokio::spawn(async move { made.send(Some(link.connect().await)) });
        lines.push((own, line.clone()));
        line
    }
}

/// Whether there is a connection, or will be.
fn is_usable(line: &Line) -> bool {
    match &*line.borrow() {
        Some(Ok(connection)) => connection.is_open(),
        Some(Err(_)) => false,
        None => line.has_changed().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use l402_lightning::{Secret, SettingValue, Settings};
    use std::{net::TcpListener, pin::pin, task::Poll};

    fn lines(listener: &TcpListener) -> Lines {
        let address = format!("http://{}", listener.local_addr().unwrap());
        let settings = Settings::new(None)
            .with("address", SettingValue::Text(address))
            .with("macaroon", SettingValue::Secret(Secret::from_bytes(vec![2, 1])));
        Lines::new(Link::open(&settings).unwrap())
    }

    fn on_a_runtime<T>(work: impl Future<Output = T>) -> T {
        runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn who_asks_and_looks_away_holds_up_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let lines = lines(&listener);
        on_a_runtime(async {
            let mut first = pin!(lines.ready());
            std::future::poll_fn(|context| Poll::Ready(first.as_mut().poll(context).is_pending())).await;
            lines.ready().await.unwrap();
            first.await.unwrap();
        });
        assert_eq!(lines.lines.lock().unwrap().len(), 1);
    }

    #[test]
    fn runtimes_that_have_ended_leave_nothing_behind() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let lines = lines(&listener);
        for _ in 0..3 {
            on_a_runtime(lines.ready()).unwrap();
            // One that ends while its connection is made.
            on_a_runtime(async { drop(lines.line()) });
        }
        assert_eq!(lines.lines.lock().unwrap().len(), 1);
        drop(listener);
        assert!(matches!(on_a_runtime(lines.ready()), Err(Fault::NotConnected)));
    }
}
