//! What is asked: every field, what can be typed there, and what stands there before anybody did. Values are kept as text,
//! as they were typed, right or wrong; what is right is the document's check to say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::step;

/// Everything that was answered.
pub(crate) type Answers = BTreeMap<Field, String>;

/// A question with one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Field {
    /// Where the configuration comes from.
    Way,
    /// The administrator's password, for the first time; what is kept of it is its hash.
    Password,
    /// The same again.
    PasswordAgain,
    /// The password, as it is asked for at a box at work.
    Unlock,
    /// The site's name.
    Site,
    /// This box's name.
    Name,
    /// This box's port, by MAC.
    Port,
    /// This box's address.
    Address,
    /// The way out of the subnet.
    Gateway,
    /// What the boxes do.
    Role,
    /// The other box's name.
    PeerName,
    /// The other box's MAC.
    PeerMac,
    /// The other box's address.
    PeerAddress,
    /// Who is master when both can be.
    Preferred,
    /// The virtual address.
    Vip,
    /// The virtual router's id.
    Vrid,
    /// VRRP's version.
    Version,
    /// Between advertisements.
    Interval,
    /// What is balanced, from a list.
    Preset,
    /// The service's name.
    Service,
    /// Its port.
    ServicePort,
    /// Its protocol.
    Protocol,
    /// Its scheduler.
    Scheduler,
    /// Its stickiness.
    Persistence,
    /// Its check.
    Check,
    /// This box's weight.
    WeightHere,
    /// The other box's weight.
    WeightPeer,
    /// Real servers that are no members.
    Servers,
    /// The storm strategy.
    Storm,
}

/// What can be typed into a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// So many characters at most.
    Text(usize),
    /// So many characters at most, which are not shown and kept nowhere.
    Secret(usize),
    /// So many digits at most.
    Number(usize),
    /// One of these words, all shown with a sentence each.
    List(&'static [&'static str]),
    /// One of these words, on one line.
    Inline(&'static [&'static str]),
    /// One of the box's ports.
    Port,
}

impl Field {
    /// What can be typed there.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Way => Kind::List(&["here", "volume", "line"]),
            Self::Port => Kind::Port,
            Self::Role => Kind::List(&["both", "directors", "server"]),
            Self::Preferred => Kind::Inline(&["this", "peer"]),
            Self::Version => Kind::Inline(&["3", "2"]),
            Self::Preset => Kind::List(&["socket", "mysql", "web", "none"]),
            Self::Protocol => Kind::Inline(&["tcp", "udp"]),
            Self::Scheduler => Kind::Inline(&["rr", "wrr", "lc", "wlc", "sh", "mh", "fo"]),
            Self::Check => Kind::Inline(&["tcp", "none"]),
            Self::Storm => Kind::List(&["weights", "standby"]),
            Self::Password | Self::PasswordAgain | Self::Unlock => Kind::Secret(128),
            Self::Vrid => Kind::Number(3),
            Self::ServicePort => Kind::Number(5),
            Self::WeightHere | Self::WeightPeer => Kind::Number(5),
            Self::Servers => Kind::Text(400),
            Self::Interval | Self::Persistence => Kind::Text(12),
            Self::PeerMac => Kind::Text(17),
            Self::Site | Self::Name | Self::PeerName | Self::Service => Kind::Text(63),
            Self::Address | Self::Gateway | Self::PeerAddress | Self::Vip => Kind::Text(43),
        }
    }

    /// What stands there before anybody typed.
    fn beginning(self) -> &'static str {
        match self {
            Self::Way => "here",
            Self::Site => "site",
            Self::Name => "castor",
            Self::PeerName => "pollux",
            Self::Role => "both",
            Self::Preferred => "this",
            Self::Vrid => "51",
            Self::Version => "3",
            Self::Interval => "1s",
            Self::Preset => "socket",
            Self::Storm => "weights",
            _ => "",
        }
    }

    /// Whether it is asked, by what was answered so far. A change asks only about what the document answers.
    pub(crate) fn is_asked(self, answers: &Answers) -> bool {
        answers.contains_key(&self) && self.follows(answers)
    }

    /// Whether there is something to ask, after what else was answered.
    fn follows(self, answers: &Answers) -> bool {
        let role = answer(answers, Self::Role);
        let served = answer(answers, Self::Preset) != "none";
        match self {
            Self::Preferred | Self::Storm => role != "server",
            Self::Service
            | Self::ServicePort
            | Self::Protocol
            | Self::Scheduler
            | Self::Persistence
            | Self::Check => served,
            Self::WeightHere => served && role != "directors",
            Self::WeightPeer => served && role != "directors" && role != "server",
            Self::Servers => served && role == "directors",
            _ => true,
        }
    }

    /// Its name in the catalogue.
    pub(crate) fn key(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(name)) => name,
            _ => String::new(),
        }
    }
}

/// Before anybody typed.
pub(crate) fn beginning() -> Answers {
    let mut answers = step::all_fields().map(|field| (field, field.beginning().to_owned())).collect();
    preset(&mut answers, "socket");
    answers
}

/// Fills in what a kind of service usually has.
pub(crate) fn preset(answers: &mut Answers, name: &str) {
    let (service, port, scheduler, persistence, weights) = match name {
        "socket" => ("pos", "8898", "rr", "50s", ("1", "1")),
        // The higher weight gets everything while it is healthy.
        "mysql" => ("mysql", "3306", "fo", "", ("2", "1")),
        "web" => ("web", "80", "wlc", "", ("1", "1")),
        _ => return,
    };
    let values = [
        (Field::Service, service),
        (Field::ServicePort, port),
        (Field::Protocol, "tcp"),
        (Field::Scheduler, scheduler),
        (Field::Persistence, persistence),
        (Field::Check, "tcp"),
        (Field::WeightHere, weights.0),
        (Field::WeightPeer, weights.1),
    ];
    answers.extend(values.map(|(field, value)| (field, value.to_owned())));
}

/// What was answered.
pub(crate) fn answer(answers: &Answers, field: Field) -> &str {
    answers.get(&field).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_begins_with_one_of_its_words() {
        let answers = beginning();
        for field in step::all_fields() {
            if let Kind::List(words) | Kind::Inline(words) = field.kind() {
                assert!(words.contains(&answer(&answers, field)), "{field:?}");
            }
        }
    }
}
