//! The one-time code: what it is made of, how it is typed, and when it is dead. It never says anything about a code that
//! was typed but whether it can be one at all.

use std::fmt;

/// What codes are written with: no I, L, O, U and Z, which are read as 1, 0, V and 2. A prime number of them, so that the
/// check character finds every single wrong character and every two that changed places.
const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKMNPQRSTVWXY";
/// Characters by chance: 31^9 codes, which is more than 2^44.
const RANDOM: usize = 9;
/// All characters.
const LENGTH: usize = RANDOM + 1;
/// So many peers with a wrong code, and a code is dead.
pub const FAILURES: u32 = 3;

/// A one-time code.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Code([u8; LENGTH]);

/// What was typed cannot be a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistyped {
    /// Too few or too many characters, or some that no code has.
    #[error("a code has {LENGTH} letters and digits, such as 7KQ2M-X4NPD; type it as the other box shows it")]
    Form,
    /// The check character does not fit.
    #[error(
        "a character of the code is wrong, or two changed places; compare it with what the other box shows"
    )]
    Check,
}

impl Code {
    /// The code that `seed` makes; the seed must come from the kernel's generator. The bias of taking 64 bits modulo 31
    /// is below 2^-58.
    pub fn of(seed: &[u8; 8 * RANDOM]) -> Self {
        let mut digits = [0; LENGTH];
        for (digit, chance) in digits.iter_mut().zip(seed.chunks_exact(8)) {
            let number = u64::from_le_bytes(chance.try_into().expect("chunks of eight"));
            *digit = u8::try_from(number % 31).expect("less than 31");
        }
        // 10 is the last place's weight, and 10 · 28 = 1 modulo 31.
        let check = (31 - weighted(&digits) % 31) * 28 % 31;
        digits[RANDOM] = u8::try_from(check).expect("less than 31");
        Self(digits)
    }

    /// Reads what a person typed: small letters, blanks and dashes do not matter.
    ///
    /// # Errors
    /// When it cannot be a code.
    pub fn read(typed: &str) -> Result<Self, Mistyped> {
        let mut digits = [0; LENGTH];
        let mut count = 0;
        for byte in typed.bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
            let meant = match byte.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                b'Z' => b'2',
                b'U' => b'V',
                other => other,
            };
            let digit = ALPHABET.iter().position(|one| *one == meant).ok_or(Mistyped::Form)?;
            *digits.get_mut(count).ok_or(Mistyped::Form)? = u8::try_from(digit).expect("less than 31");
            count += 1;
        }
        match count {
            LENGTH if weighted(&digits).is_multiple_of(31) => Ok(Self(digits)),
            LENGTH => Err(Mistyped::Check),
            _ => Err(Mistyped::Form),
        }
    }

    /// The code as SPAKE2's password.
    pub(super) fn password(&self) -> &[u8] {
        &self.0
    }

    /// As a person reads it; the one way to get at it.
    pub fn shown(&self) -> String {
        let text: String = self.0.iter().map(|digit| char::from(ALPHABET[usize::from(*digit)])).collect();
        let (front, back) = text.split_at(LENGTH / 2);
        format!("{front}-{back}")
    }
}

impl TryFrom<String> for Code {
    type Error = Mistyped;

    fn try_from(typed: String) -> Result<Self, Mistyped> {
        Self::read(&typed)
    }
}

impl From<Code> for String {
    fn from(code: Code) -> Self {
        code.shown()
    }
}

/// Each digit times its place, from 1.
fn weighted(digits: &[u8; LENGTH]) -> u32 {
    (1..).zip(digits).map(|(place, digit)| place * u32::from(*digit)).sum()
}

/// Without the code.
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code() -> impl Strategy<Value = Code> {
        proptest::array::uniform32(any::<u8>()).prop_map(|bytes| {
            let mut seed = [0; 72];
            seed.iter_mut().zip(bytes.iter().cycle()).enumerate().for_each(|(n, (to, from))| {
                *to = from.wrapping_mul(31).wrapping_add(u8::try_from(n).expect("less than 72"));
            });
            Code::of(&seed)
        })
    }

    proptest! {
        #[test]
        fn a_code_is_read_as_people_type_it(code in code()) {
            let shown = code.shown();
            for typed in [
                shown.clone(),
                shown.to_lowercase(),
                shown.replace('-', ""),
                format!(" {} ", shown.replace('-', " ")),
                shown.replace('0', "o").replace('1', "l").replace('2', "z").replace('V', "u"),
            ] {
                prop_assert!(Code::read(&typed).as_ref() == Ok(&code), "{typed}");
            }
        }

        #[test]
        fn one_wrong_character_or_two_in_each_others_place_are_told(
            code in code(), at in 0..LENGTH, other in 0..LENGTH, by in 1u8..31,
        ) {
            let mut wrong = code.clone();
            wrong.0[at] = (wrong.0[at] + by) % 31;
            prop_assert_eq!(Code::read(&wrong.shown()).unwrap_err(), Mistyped::Check);
            let mut swapped = code.clone();
            swapped.0.swap(at, other);
            let expected = if swapped == code { Ok(code) } else { Err(Mistyped::Check) };
            prop_assert_eq!(Code::read(&swapped.shown()), expected);
        }

        #[test]
        fn whatever_is_typed_is_a_code_or_is_refused(typed in "\\PC{0,40}") {
            if let Ok(code) = Code::read(&typed) {
                prop_assert!(Code::read(&code.shown()) == Ok(code));
            }
        }
    }

    #[test]
    fn what_is_too_short_too_long_or_foreign_is_told() {
        for typed in ["", "7KQ2M", "7KQ2M-X4NPD-1", "7KQ2M-X4NP!", "7KQ2M-X4NPÄ"] {
            assert_eq!(Code::read(typed).unwrap_err(), Mistyped::Form, "{typed}");
        }
    }

    #[test]
    fn a_code_stays_out_of_debug_output() {
        let code = Code::of(&[0x5a; 72]);
        assert_eq!(format!("{code:?}"), "Code");
    }
}
