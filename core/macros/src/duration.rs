//! Spans of time as people write them: `5s`.

use std::time::Duration;

/// A whole number and its unit; `None` if it is anything else, or zero, or beyond 584 years.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|char: char| !char.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let nanos = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let nanos = number.parse::<u64>().ok()?.checked_mul(nanos)?;
    (nanos > 0).then(|| Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_unit_make_a_duration() {
        assert_eq!(parse("5s"), Some(Duration::from_secs(5)));
        assert_eq!(parse("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse("2h"), Some(Duration::from_secs(7200)));
    }

    #[test]
    fn anything_else_makes_none() {
        for text in ["", "5", "s", "5 s", "1.5s", "-5s", "5d", "0s", "99999999999h"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
