//! What the program prints: lines and tables for people, JSON for programs.
//!
//! A closed pipe is no error. Whatever came from elsewhere is escaped before it is printed.

use crate::fail::Failure;
use base::Kind;
use base::print::safe;
use serde::Serialize;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// One line on stdout, escaped.
pub(crate) fn line(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stdout(), "{}", safe(text.as_ref()));
}

/// Text of our own making that has its own line feeds.
pub(crate) fn text(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// One JSON value on one line. Characters that could steer a terminal are written as `\u` too.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    text(&format!("{}\n", json_line(value)?));
    Ok(())
}

pub(crate) fn json_line<T: Serialize>(value: &T) -> Result<String, Failure> {
    let plain =
        serde_json::to_string(value).map_err(|e| Failure::of(Kind::Invalid, format!("writing JSON: {e}")))?;
    let mut out = String::with_capacity(plain.len());
    for c in plain.chars() {
        if base::name::is_deceptive(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    Ok(out)
}

/// Rows in columns as wide as their widest cell; the last column is as long as it is.
pub(crate) fn table(rows: &[Vec<String>]) {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| safe(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |n: usize| rows.iter().filter_map(|r| r.get(n)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in &rows {
        let mut out = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
        }
        line(out.trim_end());
    }
}

/// Seconds since 1970, zero for what is before.
pub(crate) fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map(|d| d.as_secs()).unwrap_or(0)
}

/// How long ago a time (seconds since 1970) was, in the largest unit that fits.
pub(crate) fn ago(then: u64) -> String {
    let seconds = unix(SystemTime::now()).saturating_sub(then);
    match seconds {
        0..=59 => format!("{seconds} s ago"),
        60..=3599 => format!("{} min ago", seconds / 60),
        3600..=86_399 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// A time (seconds since 1970) as `2026-11-21 06:42:10Z`.
pub(crate) fn date(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    // Days since 0000-03-01, in eras of 400 years: leap days then fall at the end of each year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// Bytes in a unit a person reads.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00:00Z");
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00Z");
        assert_eq!(date(1_795_243_330), "2026-11-21 06:42:10Z");
        assert_eq!(date(4_107_542_399), "2100-02-28 23:59:59Z");
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
    }

    #[test]
    fn json_steers_no_terminal_and_still_parses() {
        let line = json_line(&"a\u{9b}31m\u{202e}\u{e0001}b").unwrap();
        assert_eq!(line, "\"a\\u009b31m\\u202e\\udb40\\udc01b\"");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), "a\u{9b}31m\u{202e}\u{e0001}b");
    }
}
