//! Times as the document writes them: a whole number and a unit, `100ms`, `6s`, `1m`, `2h`.

use std::time::Duration;

use super::problem::quoted;
use super::types::Malformed;

/// The units, largest first, in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a time; [`render`] writes what this reads.
pub fn parse(text: &str) -> Result<Duration, Malformed> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
    let millis = number.parse::<u64>().ok().zip(scale).and_then(|(number, scale)| number.checked_mul(scale));
    millis.map(Duration::from_millis).ok_or_else(|| Malformed {
        what: format!("{} is not a time", quoted(text)),
        fix: "write a whole number with ms, s, m or h, such as \"100ms\" or \"6s\"".to_owned(),
    })
}

/// Writes a time in the largest unit that needs no fraction. Parts of a millisecond are lost.
pub fn render(time: Duration) -> String {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let (unit, scale) = UNITS
        .into_iter()
        .find(|(_, scale)| millis.is_multiple_of(*scale))
        .expect("one millisecond divides every number of them");
    format!("{}{unit}", millis / scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_every_unit() {
        for (text, millis) in
            [("100ms", 100), ("6s", 6_000), ("1m", 60_000), ("2h", 7_200_000), ("0s", 0), ("90s", 90_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in ["", "s", "10", "1.5s", "-1s", "1 s", "1S", "1d", "1m30s", "99999999999999999999s", "١s"]
        {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse("18446744073709551615h").is_err(), "an overflow is no time either");
    }

    #[test]
    fn renders_the_largest_whole_unit() {
        for (millis, text) in [(0, "0s"), (10, "10ms"), (1_500, "1500ms"), (90_000, "90s"), (7_200_000, "2h")]
        {
            assert_eq!(render(Duration::from_millis(millis)), text);
        }
    }

    proptest! {
        #[test]
        fn reading_what_was_rendered_gives_the_same(millis in 0..u64::MAX / 4_000_000) {
            let time = Duration::from_millis(millis);
            prop_assert_eq!(parse(&render(time)), Ok(time));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse(&text);
        }
    }
}
