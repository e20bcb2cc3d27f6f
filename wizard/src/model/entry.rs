//! What a key does to the field that has the focus: typing, erasing, choosing. Takes no key that means something else.

use super::field::{self, Field, Kind};
use super::{Press, Wizard};

impl Wizard {
    /// Whether the key was the field's.
    pub(super) fn edit(&mut self, field: Field, press: Press) -> bool {
        match field.kind() {
            Kind::Text(most) | Kind::Secret(most) => {
                self.type_in(field, press, most, |key| !key.is_control())
            }
            Kind::Number(most) => self.type_in(field, press, most, |key| key.is_ascii_digit()),
            Kind::List(_) | Kind::Port => self.choose(field, press, (Press::Up, Press::Down)),
            Kind::Inline(_) => self.choose(field, press, (Press::Left, Press::Right)),
        }
    }

    fn type_in(&mut self, field: Field, press: Press, most: usize, takes: fn(char) -> bool) -> bool {
        let mut text: Vec<char> = self.given(field).chars().collect();
        let at = self.cursor.min(text.len());
        match press {
            Press::Char(key) if takes(key) && text.len() < most => {
                text.insert(at, key);
                self.cursor = at + 1;
            }
            Press::Char(_) => {}
            Press::Erase if at > 0 => {
                text.remove(at - 1);
                self.cursor = at - 1;
            }
            Press::Delete if at < text.len() => drop(text.remove(at)),
            Press::Clear => {
                text.clear();
                self.cursor = 0;
            }
            Press::Left => self.cursor = at.saturating_sub(1),
            Press::Right => self.cursor = text.len().min(at + 1),
            Press::Home => self.cursor = 0,
            Press::End => self.cursor = text.len(),
            Press::Erase | Press::Delete => {}
            _ => return false,
        }
        let text = text.into_iter().collect();
        match field.kind() {
            Kind::Secret(_) => self.secrets.insert(field, text),
            _ => self.kept.answers.insert(field, text),
        };
        true
    }

    /// A choice is made with arrows along it, with Space, or by its number. At its ends the arrows go on to other items.
    fn choose(&mut self, field: Field, press: Press, (less, more): (Press, Press)) -> bool {
        let words = self.words(field);
        let at = words.iter().position(|word| word == self.given(field));
        let to = match press {
            Press::Char(digit) if digit.is_ascii_digit() => {
                digit.to_digit(10).and_then(|digit| (digit as usize).checked_sub(1))
            }
            Press::Char(' ') => at.map(|at| (at + 1) % words.len()),
            press if press == less => match at {
                Some(0) | None => return false,
                Some(at) => Some(at - 1),
            },
            press if press == more => match at {
                Some(at) if at + 1 < words.len() => Some(at + 1),
                _ => return false,
            },
            Press::Char(_) | Press::Erase | Press::Delete | Press::Left | Press::Right => return true,
            _ => return false,
        };
        if let Some(word) = to.and_then(|to| words.get(to)) {
            let changed = self.given(field) != word;
            self.kept.answers.insert(field, word.clone());
            if changed && field == Field::Preset {
                field::preset(&mut self.kept.answers, word);
            }
        }
        true
    }
}
