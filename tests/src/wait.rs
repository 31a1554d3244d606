//! Waiting for what must become true, with a deadline so generous that only a fault misses it.

use std::time::{Duration, Instant};

/// How long anything may take: 90 s, or `CHORUS_TEST_DEADLINE` seconds.
pub fn deadline() -> Duration {
    let seconds = std::env::var("CHORUS_TEST_DEADLINE").ok().and_then(|s| s.parse().ok()).unwrap_or(90);
    Duration::from_secs(seconds)
}

/// Waits until `ready` answers something.
///
/// # Panics
/// If it does not before the deadline.
pub fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < end, "waited {:?} in vain for: {what}", deadline());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until `ready` is true.
///
/// # Panics
/// If it is not before the deadline.
pub fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    wait_for(what, || ready().then_some(()));
}
