//! How good a password is that somebody is about to choose. A guess in words, for a person; one that is refused here can
//! be guessed in an afternoon.

/// Characters, at least.
const SHORTEST: usize = 8;

/// What is to be said of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strength {
    /// Refused: too short, or the same few characters again and again.
    TooWeak,
    /// Weak.
    Weak,
    /// Fair.
    Fair,
    /// Good.
    Good,
}

impl Strength {
    /// Of `password`: by its alphabet and its length, of which repetitions and sequences count a quarter.
    pub(crate) fn of(password: &str) -> Self {
        let characters: Vec<char> = password.chars().collect();
        let size = |is: fn(&char) -> bool, size: u32| if characters.iter().any(is) { size } else { 0 };
        let alphabet = size(char::is_ascii_lowercase, 26)
            + size(char::is_ascii_uppercase, 26)
            + size(char::is_ascii_digit, 10)
            + size(|c| c.is_ascii() && !c.is_ascii_alphanumeric(), 33)
            + size(|c| !c.is_ascii(), 100);
        let follows = |pair: &&[char]| u32::from(pair[0]).abs_diff(u32::from(pair[1])) <= 1;
        let easy = characters.windows(2).filter(follows).count();
        let quarters = 4 * characters.len() - 3 * easy;
        let bits = f64::from(alphabet.max(1)).log2() * quarters as f64 / 4.0;
        match bits {
            _ if characters.len() < SHORTEST => Self::TooWeak,
            ..28.0 => Self::TooWeak,
            ..45.0 => Self::Weak,
            ..65.0 => Self::Fair,
            _ => Self::Good,
        }
    }

    /// Its name in the catalogue.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::TooWeak => "password-too-weak",
            Self::Weak => "password-weak",
            Self::Fair => "password-fair",
            Self::Good => "password-good",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strength_is_told_apart() {
        for (password, strength) in [
            ("", Strength::TooWeak),
            ("Ab3$x", Strength::TooWeak),
            ("aaaaaaaaaaaa", Strength::TooWeak),
            ("12345678", Strength::TooWeak),
            ("83741952", Strength::TooWeak),
            ("fjelqawz", Strength::Weak),
            ("fjel7Qaw", Strength::Fair),
            ("horse battery staple", Strength::Good),
        ] {
            assert_eq!(Strength::of(password), strength, "{password}");
        }
    }
}
