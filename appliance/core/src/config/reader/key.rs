//! Keys and paths as a person reads them in a problem, and the key that was meant by one that nobody knows.

use std::collections::BTreeSet;

use crate::config::problem::{cut, quoted};

/// A key as TOML would have it: in quotes where it must be.
pub(super) fn shown(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if bare { cut(key) } else { quoted(key) }
}

/// The path of a table without the indices of its parents' elements, as a section's heading has it.
pub(super) fn bare(path: &str) -> String {
    let mut inside = false;
    path.chars()
        .filter(|c| {
            let keep = !inside && *c != '[';
            inside = (inside || *c == '[') && *c != ']';
            keep && *c != ']'
        })
        .collect()
}

/// The known key that was most likely meant: at most two letters away.
pub(super) fn nearest<'k>(written: &str, known: &BTreeSet<&'k str>) -> Option<&'k str> {
    const LONGEST_KEY: usize = 24;
    if written.len() > LONGEST_KEY {
        return None;
    }
    let (distance, key) = known.iter().map(|key| (edits(written, key), *key)).min()?;
    (distance <= 2 && distance < key.len().min(written.len())).then_some(key)
}

/// Levenshtein's distance, by bytes.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_as_it_can_be_written() {
        for (key, expected) in
            [("mac", "mac"), ("a-b_1", "a-b_1"), ("a.b", "\"a.b\""), ("", "\"\""), ("ä", "\"ä\"")]
        {
            assert_eq!(shown(key), expected);
        }
    }

    #[test]
    fn a_heading_has_no_indices() {
        for (path, expected) in [
            ("cluster", "cluster"),
            ("member[12].interface", "member.interface"),
            ("service[0].server[3]", "service.server"),
        ] {
            assert_eq!(bare(path), expected);
        }
    }

    #[test]
    fn the_key_that_was_meant_is_at_most_two_letters_away_and_never_another_word() {
        let known = BTreeSet::from(["mac", "path", "gateway", "addresses"]);
        for (written, meant) in [
            ("adresses", Some("addresses")),
            ("gatway", Some("gateway")),
            ("getaways", None),
            ("pat", Some("path")),
            ("ip", None),
            ("a-key-that-is-longer-than-any", None),
        ] {
            assert_eq!(nearest(written, &known), meant, "{written}");
        }
    }
}
