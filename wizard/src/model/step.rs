//! The order of the steps, and what each asks. One table: to ask something else, write it there.

use serde::{Deserialize, Serialize};

use super::field::{Answers, Field, answer};

/// A screen of the wizard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    /// Where the configuration comes from.
    Welcome,
    /// The administrator's password.
    Password,
    /// This box and its port.
    ThisBox,
    /// Its address.
    Network,
    /// What the boxes do.
    Role,
    /// The other box.
    Peer,
    /// What is shared.
    Virtual,
    /// What is balanced.
    Service,
    /// How packets are kept from looping.
    Storm,
    /// The document, and what is wrong with it.
    Review,
}

/// One line of the table.
struct Row {
    step: Step,
    fields: &'static [Field],
    /// Whether the step is taken, by what was answered.
    taken: fn(&Answers) -> bool,
}

/// The steps in their order.
const STEPS: [Row; 10] = [
    Row { step: Step::Welcome, fields: &[Field::Way], taken: always },
    Row { step: Step::Password, fields: &[Field::Password, Field::PasswordAgain], taken: always },
    Row { step: Step::ThisBox, fields: &[Field::Site, Field::Name, Field::Port], taken: always },
    Row { step: Step::Network, fields: &[Field::Address, Field::Gateway], taken: always },
    Row { step: Step::Role, fields: &[Field::Role], taken: always },
    Row {
        step: Step::Peer,
        fields: &[Field::PeerName, Field::PeerMac, Field::PeerAddress, Field::Preferred],
        taken: always,
    },
    Row {
        step: Step::Virtual,
        fields: &[Field::Vip, Field::Vrid, Field::Version, Field::Interval],
        taken: always,
    },
    Row {
        step: Step::Service,
        fields: &[
            Field::Preset,
            Field::Service,
            Field::ServicePort,
            Field::Protocol,
            Field::Scheduler,
            Field::Persistence,
            Field::Check,
            Field::WeightHere,
            Field::WeightPeer,
            Field::Servers,
        ],
        taken: always,
    },
    Row { step: Step::Storm, fields: &[Field::Storm], taken: two_directors },
    Row { step: Step::Review, fields: &[], taken: always },
];

/// Every field, in the order in which they are asked.
pub(crate) fn all_fields() -> impl Iterator<Item = Field> {
    STEPS.iter().flat_map(|row| row.fields).copied()
}

fn always(_: &Answers) -> bool {
    true
}

fn two_directors(answers: &Answers) -> bool {
    answer(answers, Field::Role) != "server"
}

impl Step {
    /// The fields that it asks now.
    pub(crate) fn fields(self, answers: &Answers) -> Vec<Field> {
        let all = STEPS.iter().find(|row| row.step == self).map_or(&[][..], |row| row.fields);
        all.iter().copied().filter(|field| field.is_asked(answers)).collect()
    }

    /// The step that asks a field.
    pub(crate) fn of(field: Field) -> Self {
        STEPS.iter().find(|row| row.fields.contains(&field)).map_or(Self::Review, |row| row.step)
    }

    /// Its number from 1, and how many there are.
    pub(crate) fn number(self, answers: &Answers) -> (usize, usize) {
        let taken: Vec<Self> = taken(answers).collect();
        (taken.iter().position(|step| *step == self).map_or(1, |index| index + 1), taken.len())
    }

    /// The one after it.
    pub(crate) fn next(self, answers: &Answers) -> Option<Self> {
        taken(answers).find(|step| *step > self)
    }

    /// The one before it.
    pub(crate) fn previous(self, answers: &Answers) -> Option<Self> {
        taken(answers).filter(|step| *step < self).last()
    }

    /// Its name in the catalogue.
    pub(crate) fn key(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(name)) => name,
            _ => String::new(),
        }
    }
}

fn taken(answers: &Answers) -> impl Iterator<Item = Step> {
    let asks = |row: &&Row| row.fields.is_empty() || row.fields.iter().any(|field| field.is_asked(answers));
    STEPS.iter().filter(|row| (row.taken)(answers)).filter(asks).map(|row| row.step)
}

#[cfg(test)]
mod tests {
    use super::super::field::beginning;
    use super::*;

    #[test]
    fn the_steps_lead_to_the_review_and_back() {
        let answers = beginning();
        let (mut step, mut count) = (Step::Welcome, 1);
        while let Some(next) = step.next(&answers) {
            assert_eq!(next.previous(&answers), Some(step));
            assert_eq!(next.number(&answers).0, count + 1);
            (step, count) = (next, count + 1);
        }
        assert_eq!((step, count), (Step::Review, 10));
    }

    #[test]
    fn a_real_server_is_asked_for_no_storm_strategy() {
        let mut answers = beginning();
        answers.insert(Field::Role, "server".into());
        assert_eq!(Step::Service.next(&answers), Some(Step::Review));
        assert_eq!(Step::Review.number(&answers), (9, 9));
    }

    #[test]
    fn every_field_is_asked_on_one_step() {
        for field in beginning().keys() {
            let steps = STEPS.iter().filter(|row| row.fields.contains(field)).count();
            assert_eq!(steps, 1, "{field:?}");
        }
    }
}
