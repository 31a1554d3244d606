//! The one place that asks the machine what time it is.
//!
//! It may say anything, and another thing a moment later: somebody sets it, a battery is empty. So it is shown and
//! noted and nothing else: what counts follows from versions, and whatever waits does so by `Instant`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What time it is, as this machine has it.
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

/// Nanoseconds since 1970.
pub(crate) fn now_ns() -> i64 {
    to_ns(now())
}

/// A time as nanoseconds since 1970, negative before.
pub(crate) fn to_ns(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
    }
}

/// The time of so many nanoseconds since 1970.
pub(crate) fn from_ns(ns: i64) -> SystemTime {
    let distance = Duration::from_nanos(ns.unsigned_abs());
    if ns >= 0 { UNIX_EPOCH + distance } else { UNIX_EPOCH - distance }
}

/// The time of so many milliseconds since 1970.
pub(crate) fn from_ms(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}
