//! Single values of a unit file, or a sentence for the person who wrote it: what is wrong and what to do.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Value;

use crate::supervise::unit::{Socket, SocketKind};

/// `true` or `false`.
pub(super) fn boolean(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("{} is not a boolean; write true or false", value.type_str()))
}

/// A whole number within `range`.
pub(super) fn number<T>(range: RangeInclusive<T>) -> impl FnOnce(&Value) -> Result<T, String>
where
    T: TryFrom<i64> + PartialOrd + Display,
{
    move |value| {
        let number = value.as_integer().and_then(|number| T::try_from(number).ok());
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            format!("{value} is not a number from {} to {}; write one", range.start(), range.end())
        })
    }
}

/// One of several words.
pub(super) fn one_of<T: Copy>(choices: &[(&str, T)]) -> impl FnOnce(&Value) -> Result<T, String> {
    move |value| {
        let chosen = value.as_str().and_then(|text| choices.iter().find(|(word, _)| *word == text));
        chosen.map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            format!("{value} is none of {}; write one of them", words.join(", "))
        })
    }
}

/// Bytes, at least 1 MiB: a number, or a number with K, M or G (powers of 1024).
pub(super) fn size(value: &Value) -> Result<u64, String> {
    let bytes = match value {
        Value::Integer(bytes) => u64::try_from(*bytes).ok(),
        Value::String(text) => {
            let (digits, shift) = match text.as_bytes().last() {
                Some(b'K') => (&text[..text.len() - 1], 10),
                Some(b'M') => (&text[..text.len() - 1], 20),
                Some(b'G') => (&text[..text.len() - 1], 30),
                _ => (text.as_str(), 0),
            };
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.parse::<u64>().ok()).flatten().and_then(|n| n.checked_mul(1 << shift))
        }
        _ => None,
    };
    match bytes {
        Some(bytes) if bytes >= 1 << 20 => Ok(bytes),
        Some(_) => Err(format!("{value} is less than 1M, in which no program can start; write more")),
        None => Err(format!("{value} is not a size; write e.g. \"512M\" (K, M, G: powers of 1024)")),
    }
}

/// 100 ms to an hour, in whole seconds or milliseconds: `5s`, `500ms`.
pub(super) fn duration(value: &Value) -> Result<Duration, String> {
    let text = value.as_str().unwrap_or_default();
    let parsed = match text.strip_suffix("ms") {
        Some(digits) => digits.parse().ok().map(Duration::from_millis),
        None => text.strip_suffix('s').and_then(|digits| digits.parse().ok()).map(Duration::from_secs),
    };
    let sensible = Duration::from_millis(100)..=Duration::from_secs(3600);
    parsed
        .filter(|time| sensible.contains(time))
        .ok_or_else(|| format!("{value} is not a time from 100ms to 3600s; write e.g. \"5s\""))
}

/// A table with `kind`, `path` and, as it likes, `mode`.
pub(super) fn socket(value: Value) -> Result<Socket, &'static str> {
    let Value::Table(mut table) = value else {
        return Err("not a table; write { kind = \"stream\", path = \"/run/…\" }");
    };
    let kind = match table.remove("kind").as_ref().and_then(Value::as_str) {
        Some("datagram") => SocketKind::Datagram,
        Some("stream") => SocketKind::Stream,
        _ => return Err("kind is neither \"datagram\" nor \"stream\"; write one of them"),
    };
    let path = match table.remove("path") {
        Some(Value::String(path)) if path.starts_with('/') && path.len() < 108 => path,
        _ => return Err("path is not an absolute path of less than 108 bytes; write one below /run"),
    };
    let mode = match table.remove("mode") {
        None => 0o666,
        Some(Value::Integer(mode @ 0..=0o777)) => u32::try_from(mode).expect("the range is that of modes"),
        Some(_) => return Err("mode is not an access mode; write e.g. 0o660"),
    };
    if !table.is_empty() {
        return Err("has an unknown key; write kind, path and mode only");
    }
    Ok(Socket { kind, path, mode })
}
