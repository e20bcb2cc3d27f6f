//! Patterns with `*` as the kernel uses them for device names and firmware files. Pure.

/// Whether `text` fits `pattern`; `*` stands for any characters, also `/`.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(head) else { return false };
    // Between two stars the first place that fits is as good as any; only what follows the last star is tied to the end.
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (pattern, text, expected) in [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a*", "a", true),
            ("a*c", "abbc", true),
            ("a*c", "ac", true),
            ("a*c", "acb", false),
            ("a*b*c", "axbxbyc", true),
            ("a*b*c", "axcyc", false),
            ("ab*ba", "aba", false),
            ("*", "", true),
            (
                "pci:v00008086d00001533sv*sd*bc*sc*i*",
                "pci:v00008086d00001533sv00008086sd00000001bc02sc00i00",
                true,
            ),
            (
                "pci:v00008086d00001533sv*sd*bc*sc*i*",
                "pci:v00008086d00001534sv00008086sd00000001bc02sc00i00",
                false,
            ),
            ("pci:v*d*sv*sd*bc01sc06i01*", "pci:v00001022d00007901sv00000000sd00000000bc01sc06i01", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
