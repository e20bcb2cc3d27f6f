//! A document without its secrets, for showing. Keeps everything else byte by byte, so that lines and comparisons stay
//! true; decides only what is secret.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What the names of keys have in them whose values are nobody's business: VRRP's password, hashes of people's, and
/// whatever a later version, whose keys may stand in a document that is kept, is likely to call a secret.
const SECRETS: &[&str] = &["authenti", "password", "passphrase", "secret", "token", "private"];
/// What stands in a secret's place.
pub const HIDDEN: &str = "\"(not shown)\"";

/// The document's text with every secret hidden. Text that is not TOML is not shown at all, for nothing can be found in it.
pub fn redacted(document: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(document) else { return "(not text)\n".to_owned() };
    let Ok(root) = DeTable::parse(text) else { return "(not TOML)\n".to_owned() };
    let mut secrets = Vec::new();
    table(root.get_ref(), &mut secrets);
    secrets.sort_by_key(|span: &std::ops::Range<usize>| std::cmp::Reverse(span.start));
    let mut shown = text.to_owned();
    secrets.into_iter().for_each(|span| shown.replace_range(span, HIDDEN));
    shown
}

fn table(table: &DeTable<'_>, secrets: &mut Vec<std::ops::Range<usize>>) {
    for (key, entry) in table {
        let name = key.get_ref().to_ascii_lowercase();
        if SECRETS.iter().any(|secret| name.contains(secret)) {
            secrets.push(entry.span());
        } else {
            value(entry, secrets);
        }
    }
}

fn value(entry: &Spanned<DeValue<'_>>, secrets: &mut Vec<std::ops::Range<usize>>) {
    match entry.get_ref() {
        DeValue::Table(inner) => table(inner, secrets),
        DeValue::Array(items) => items.iter().for_each(|item| value(item, secrets)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_wherever_they_stand_and_nothing_else_changes() {
        let document = "# authentication = \"kept, a comment\"\n[[vrrp]]\nid = 5 # five\nauthentication = \"1111\"\n\
                        [admin]\n\"password\" = '$argon2id$x'\nx = [{ password = \"q\", y = 1 }]\n";
        assert_eq!(
            redacted(document.as_bytes()),
            "# authentication = \"kept, a comment\"\n[[vrrp]]\nid = 5 # five\nauthentication = \"(not shown)\"\n\
             [admin]\n\"password\" = \"(not shown)\"\nx = [{ password = \"(not shown)\", y = 1 }]\n"
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_shown() {
        assert_eq!(redacted(b"authentication = \"1111"), "(not TOML)\n");
        assert_eq!(redacted(b"\xff"), "(not text)\n");
    }
}
