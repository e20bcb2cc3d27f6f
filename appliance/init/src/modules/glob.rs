//! The patterns of `modules.alias`, which are `fnmatch(3)`'s: `*`, `?` and `[…]`.

/// Whether `pattern` matches the whole of `text`.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on after a mismatch: behind the last `*`, with one more byte taken by it.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(b'?') => Some(p + 1),
            Some(b'[') => class(&pattern[p..], text[t]).and_then(|(hit, length)| hit.then_some(p + length)),
            Some(byte) => (*byte == text[t]).then_some(p + 1),
            None => None,
        };
        match (step, retry) {
            (Some(next), _) => {
                p = next;
                t += 1;
            }
            (None, Some((star, taken))) => {
                retry = Some((star, taken + 1));
                p = star;
                t = taken + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Whether `byte` is in the class that `pattern` begins with, and the class's length; `None` if it never ends.
fn class(pattern: &[u8], byte: u8) -> Option<(bool, usize)> {
    let end = pattern.iter().position(|b| *b == b']')?;
    let mut members = &pattern[1..end];
    let inverted = matches!(members.first(), Some(b'!' | b'^'));
    if inverted {
        members = &members[1..];
    }
    let mut hit = false;
    while let [first, rest @ ..] = members {
        members = rest;
        if let [b'-', last, rest @ ..] = rest {
            hit |= (*first..=*last).contains(&byte);
            members = rest;
        } else {
            hit |= *first == byte;
        }
    }
    Some((hit != inverted, end + 1))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_of_real_aliases() {
        for (pattern, text, expected) in [
            ("pci:v00001AF4d*sv*sd*bc*sc*i*", "pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00", true),
            ("pci:v00001AF4d*sv*sd*bc*sc*i*", "pci:v00008086d00001000sv00001AF4sd00000001bc02sc00i00", false),
            ("pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv0000sd0000bc01sc06i01", true),
            ("virtio:d00000001v*", "virtio:d00000001v00001AF4", true),
            (
                "usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*",
                "usb:v0951p1666d0110dc00dsc00dp00ic08isc06ip50in00",
                true,
            ),
            ("input:b*v*p*e*-e*1,*k*[1-3]*r*", "input:b0003v1p2e3-e0,1,k2,r", true),
            ("a[!b-d]z", "acz", false),
            ("a[!b-d]z", "aez", true),
            ("acpi*:PNP0C0C:*", "acpi:PNP0C0C:", true),
            ("*", "", true),
            ("?", "", false),
            ("a[b", "ab", false),
            ("a*b*c", "a-b-b-", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
