//! Work that may take long before the gateway is ready.

use std::{
    sync::mpsc::{RecvTimeoutError, sync_channel},
    thread,
    time::Duration,
};

/// Works on this thread. Each time another `patience` has gone by, `say` is told for how long it has been.
pub(super) fn patiently<T>(patience: Duration, say: impl Fn(Duration) + Send, work: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let (working, ended) = sync_channel::<()>(0);
        scope.spawn(move || {
            let mut waited = Duration::ZERO;
            while ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                waited = waited.saturating_add(patience);
                say(waited);
            }
        });
        let done = work();
        drop(working);
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn long_work_is_told_of_again_and_again_and_short_work_is_not() {
        let said = Mutex::new(Vec::new());
        let say = |waited: Duration| said.lock().expect("no panic").push(waited);
        assert_eq!(patiently(Duration::from_mins(1), say, || 7), 7);
        assert!(said.lock().expect("no panic").is_empty());
        let patience = Duration::from_millis(2);
        patiently(patience, say, || while said.lock().expect("no panic").len() < 3 {});
        assert_eq!(said.lock().expect("no panic")[..3], [patience, patience * 2, patience * 3]);
    }
}
