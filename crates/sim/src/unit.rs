//! Times, sizes and rates as people write them: "20 min", "1 GB", "2 MB/s".

use serde::{Deserialize, Deserializer, de::Error};

/// Milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(pub(crate) u64);

/// Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) usize);

/// Bytes a millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) u64);

const TIMES: [(&str, f64); 5] = [("ms", 1.0), ("s", 1e3), ("min", 6e4), ("h", 3.6e6), ("d", 8.64e7)];
const SIZES: [(&str, f64); 4] = [("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9)];

fn parse(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let number: f64 = text[..at].trim().parse().ok()?;
    let (_, factor) = units.iter().find(|(unit, _)| *unit == &text[at..])?;
    (number >= 0.0).then_some(number * factor)
}

fn read<'de, D: Deserializer<'de>>(d: D, units: &[(&str, f64)], per: &str) -> Result<f64, D::Error> {
    let text = String::deserialize(d)?;
    let found = text.strip_suffix(per).and_then(|text| parse(text.trim(), units));
    found.ok_or_else(|| {
        let known: Vec<String> = units.iter().map(|(unit, _)| format!("{unit}{per}")).collect();
        D::Error::custom(format!("`{text}` is no number with one of the units {}", known.join(", ")))
    })
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Time, D::Error> {
        Ok(Time(read(d, &TIMES, "")?.round() as u64))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Size, D::Error> {
        Ok(Size(read(d, &SIZES, "")?.round() as usize))
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Rate, D::Error> {
        Ok(Rate((read(d, &SIZES, "/s")? / 1e3).round().max(1.0) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_anything_else_is_refused() {
        assert_eq!(parse("20 min", &TIMES), Some(1_200_000.0));
        assert_eq!(parse("0.5h", &TIMES), Some(1_800_000.0));
        assert_eq!(parse("2 MB", &SIZES), Some(2e6));
        for wrong in ["20", "min", "-1 s", "1 parsec", "", "1 e s"] {
            assert_eq!(parse(wrong, &TIMES), None, "{wrong}");
        }
    }
}
