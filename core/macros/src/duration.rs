//! Spans of time as people write them: `5s`.

/// The nanoseconds in a whole number with a unit; `None` if it is anything else, or zero, or beyond 584 years.
pub(crate) fn nanos(text: &str) -> Option<u64> {
    let digits = text.find(|char: char| !char.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let nanos_per_unit = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(nanos_per_unit).filter(|nanos| *nanos > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_unit_make_a_span_of_time() {
        assert_eq!(nanos("5s"), Some(5_000_000_000));
        assert_eq!(nanos("250ms"), Some(250_000_000));
        assert_eq!(nanos("2h"), Some(7_200_000_000_000));
    }

    #[test]
    fn anything_else_makes_none() {
        for text in ["", "5", "s", "5 s", "1.5s", "-5s", "5d", "0s", "99999999999h"] {
            assert_eq!(nanos(text), None, "{text:?}");
        }
    }
}
