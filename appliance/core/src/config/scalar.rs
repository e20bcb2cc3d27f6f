//! The kinds of single TOML values: text, numbers, truth, times, and words from a list. Each reader says what it found
//! instead and what to write.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use toml::de::DeValue;

use super::duration;
use super::problem::{cut, quoted};
use super::types::Malformed;

/// A string.
pub(super) fn text(value: &DeValue<'_>) -> Result<String, Malformed> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        other => Err(Malformed {
            what: format!("is {}, not a string", kind(other)),
            fix: "write it in quotes".to_owned(),
        }),
    }
}

/// A string that reads as a `T`.
pub(super) fn parsed<T: FromStr<Err = Malformed>>(value: &DeValue<'_>) -> Result<T, Malformed> {
    text(value)?.parse()
}

/// A time in a string.
pub(super) fn time(value: &DeValue<'_>) -> Result<Duration, Malformed> {
    duration::parse(&text(value)?)
}

/// `true` or `false`.
pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, Malformed> {
    match value {
        DeValue::Boolean(value) => Ok(*value),
        other => Err(Malformed {
            what: format!("is {}, neither true nor false", kind(other)),
            fix: "write true or false, without quotes".to_owned(),
        }),
    }
}

/// A whole number from `min` to `max`.
pub(super) fn number<T>(value: &DeValue<'_>, min: T, max: T) -> Result<T, Malformed>
where
    T: TryFrom<i64> + PartialOrd + fmt::Display,
{
    let fix = format!("write a whole number from {min} to {max}");
    let DeValue::Integer(integer) = value else {
        let fix = format!("{fix}, without quotes");
        return Err(Malformed { what: format!("is {}, not a whole number", kind(value)), fix });
    };
    i64::from_str_radix(integer.as_str(), integer.radix())
        .ok()
        .and_then(|number| T::try_from(number).ok())
        .filter(|number| (&min..=&max).contains(&number))
        .ok_or_else(|| Malformed { what: format!("{} is out of range", cut(&integer.to_string())), fix })
}

/// One of the words of `known`; those of `later` are refused as such.
pub(super) fn one_of<T: Copy>(
    value: &DeValue<'_>,
    known: &[(&str, T)],
    later: &[&str],
) -> Result<T, Malformed> {
    let word = text(value)?;
    if let Some((_, meaning)) = known.iter().find(|(name, _)| *name == word) {
        return Ok(*meaning);
    }
    let choices: Vec<String> = known.iter().map(|(name, _)| format!("{name:?}")).collect();
    let verdict = if later.contains(&word.as_str()) { "not in this version" } else { "not known" };
    Err(Malformed {
        what: format!("{} is {verdict}", quoted(&word)),
        fix: match choices.as_slice() {
            [one] => format!("write {one}"),
            _ => format!("write one of {}", choices.join(", ")),
        },
    })
}

/// What a value is, with its article.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
