//! What differs between two texts, line by line, for an operator who is about to decide.

/// Most pairs of lines that are compared; beyond it what differs is told as one piece.
const MOST: usize = 4_000_000;

/// The lines that only `old` has, after `-`, and those that only `new` has, after `+`; a longest common subsequence of
/// lines is left out. Empty when the texts are equal.
pub fn difference(old: &str, new: &str) -> String {
    let (mut old, mut new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    while !old.is_empty() && old.first() == new.first() {
        old.remove(0);
        new.remove(0);
    }
    while !old.is_empty() && old.last() == new.last() {
        old.pop();
        new.pop();
    }
    let (height, width) = (old.len() + 1, new.len() + 1);
    let mut text = String::new();
    let mut tell = |sign: char, line: &str| {
        text.push(sign);
        text.push_str(line);
        text.push('\n');
    };
    if height.saturating_mul(width) > MOST {
        old.iter().for_each(|line| tell('-', line));
        new.iter().for_each(|line| tell('+', line));
        return text;
    }
    // At each pair: the length of what the rests have in common.
    let mut common = vec![0_u32; height * width];
    for o in (0..old.len()).rev() {
        for n in (0..new.len()).rev() {
            common[o * width + n] = if old[o] == new[n] {
                common[(o + 1) * width + n + 1] + 1
            } else {
                common[(o + 1) * width + n].max(common[o * width + n + 1])
            };
        }
    }
    let (mut o, mut n) = (0, 0);
    while o < old.len() || n < new.len() {
        if o < old.len() && n < new.len() && old[o] == new[n] {
            (o, n) = (o + 1, n + 1);
        } else if n == new.len()
            || (o < old.len() && common[(o + 1) * width + n] >= common[o * width + n + 1])
        {
            tell('-', old[o]);
            o += 1;
        } else {
            tell('+', new[n]);
            n += 1;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_lines_are_left_out() {
        assert_eq!(difference("a\nb\nc\nd\n", "a\nc\nx\nd\n"), "-b\n+x\n");
        assert_eq!(difference("a\n", "a\n"), "");
        assert_eq!(difference("", "a\nb\n"), "+a\n+b\n");
    }

    proptest! {
        #[test]
        fn every_line_that_is_only_in_one_is_told(old in "[ab\n]{0,30}", new in "[ab\n]{0,30}") {
            let told = difference(&old, &new);
            let count = |sign| told.lines().filter(|line| line.starts_with(sign)).count();
            prop_assert_eq!(old.lines().count() - count('-'), new.lines().count() - count('+'));
            prop_assert_eq!(told.is_empty(), old.lines().eq(new.lines()));
        }
    }
}
