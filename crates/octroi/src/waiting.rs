//! Waits that may be long, told of while they last.

use std::{
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::Duration,
};

/// Whoever waits longer than this wants to know that it goes on.
const PATIENCE: Duration = Duration::from_secs(5);

/// A wait: as long as this is there, somebody is told every five seconds for how long it has been.
#[must_use = "the wait ends when this is dropped"]
pub(crate) struct Waiting {
    /// Absent only while it is dropped.
    ended: Option<SyncSender<()>>,
    /// Absent where the system has no thread left: then the wait is a silent one.
    thread: Option<JoinHandle<()>>,
}

impl Waiting {
    pub(crate) fn and_saying(say: impl Fn(Duration) + Send + 'static) -> Self {
        Self::and_saying_every(PATIENCE, say)
    }

    fn and_saying_every(patience: Duration, say: impl Fn(Duration) + Send + 'static) -> Self {
        let (ended, end) = sync_channel(0);
        let tell = move || {
            let mut waited = Duration::ZERO;
            while end.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                waited = waited.saturating_add(patience);
                say(waited);
            }
        };
        Self { ended: Some(ended), thread: thread::Builder::new().name("waiting".into()).spawn(tell).ok() }
    }
}

impl Drop for Waiting {
    /// Nothing is said afterwards.
    fn drop(&mut self) {
        self.ended = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there has printed itself
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{TryRecvError, channel};

    #[test]
    fn a_long_wait_is_told_of_again_and_again_and_a_short_one_is_not() {
        let (said, heard) = channel();
        let say = move |waited| said.send(waited).unwrap_or_default();
        drop(Waiting::and_saying_every(Duration::from_mins(1), say.clone()));
        assert!(heard.try_recv().is_err());
        let patience = Duration::from_millis(2);
        let waiting = Waiting::and_saying_every(patience, say);
        let first: Vec<Duration> = heard.iter().take(3).collect();
        assert_eq!(first, [patience, patience * 2, patience * 3]);
        drop(waiting);
        let after = heard.try_iter().count();
        assert_eq!(
            heard.try_recv(),
            Err(TryRecvError::Disconnected),
            "nobody is left to say more than {after}"
        );
    }
}
