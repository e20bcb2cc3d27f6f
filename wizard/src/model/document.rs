//! The cluster document that the answers make: the one writer, and which place in it is which field's. Writes whatever was
//! answered, right or wrong, and has `check` judge it, so that every refusal is check's own and none is foreseen here.

use std::fmt::Write as _;

use halcyon_core::config::Config;
use halcyon_core::config::check::check;
use halcyon_core::plan::storm::document::judge;

use super::change::Base;
use super::field::{Answers, Field, answer};

/// A document, and where each answer stands in it.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) text: String,
    pub(super) places: Vec<(String, Field)>,
}

/// Something wrong, in check's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// Whose answer it is about; `None`: the document's as a whole.
    pub(crate) field: Option<Field>,
    /// What is wrong.
    pub(crate) what: String,
    /// What to do.
    pub(crate) fix: String,
}

/// A document and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Its text.
    pub(crate) text: String,
    /// All that is wrong.
    pub(crate) complaints: Vec<Complaint>,
}

impl Judged {
    /// What is wrong with an answer.
    pub(crate) fn about(&self, field: Field) -> impl Iterator<Item = &Complaint> {
        self.complaints.iter().filter(move |complaint| complaint.field == Some(field))
    }
}

/// Writes the document of `answers` with this revision, anew or as a change of `base`, and has it checked.
pub(crate) fn checked(answers: &Answers, revision: u64, base: Option<&Base>) -> Judged {
    let (draft, verdict) = read(answers, revision, base);
    let complaints = verdict.err().unwrap_or_default();
    Judged { text: draft.text, complaints }
}

/// The same, and has every member's plan judged for packets that loop.
pub(crate) fn proved(answers: &Answers, revision: u64, base: Option<&Base>) -> Judged {
    let (draft, verdict) = read(answers, revision, base);
    let complaints = match verdict {
        Err(complaints) => complaints,
        Ok(config) => {
            let field = Some(Field::Storm).filter(|field| answers.contains_key(field));
            let found = judge(&config).into_iter();
            found.map(|problem| Complaint { field, what: problem.what, fix: problem.fix }).collect()
        }
    };
    Judged { text: draft.text, complaints }
}

fn read(
    answers: &Answers,
    revision: u64,
    base: Option<&Base>,
) -> (Draft, Result<Box<Config>, Vec<Complaint>>) {
    let draft = match base {
        Some(base) => base.write(answers, revision),
        None => write(answers, revision),
    };
    let verdict = check(&draft.text).map(Box::new).map_err(|problems| {
        let complaint = |problem: halcyon_core::config::check::Problem| Complaint {
            field: draft.field(&problem.path).filter(|field| answers.contains_key(field)),
            what: problem.what,
            fix: problem.fix,
        };
        problems.into_iter().map(complaint).collect()
    });
    (draft, verdict)
}

impl Draft {
    /// Whose answer stands at `path`, or nearest above it.
    fn field(&self, path: &str) -> Option<Field> {
        let within = |place: &str| {
            path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let nearest =
            self.places.iter().filter(|(place, _)| within(place)).max_by_key(|(place, _)| place.len());
        // A section's own complaint is its first answer's.
        let first = || self.places.iter().find(|(place, _)| place.starts_with(&format!("{path}.")));
        nearest.or_else(first).map(|(_, field)| *field)
    }

    fn section(&mut self, heading: &str) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        writeln!(self.text, "{gap}{heading}").expect("a String takes everything");
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// `key = value`, which is a field's answer.
    fn answer(&mut self, section: &str, key: &str, value: &str, field: Field) {
        self.line(&format!("{key} = {value}"));
        self.places.push((format!("{section}.{key}"), field));
    }
}

/// `text` as TOML quotes it.
fn string(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// What was typed in a field for numbers; nothing counts as 0, which is in no field's range.
fn number(text: &str) -> String {
    text.parse::<u32>().unwrap_or(0).to_string()
}

/// A box as the document has it.
struct Member {
    name: Field,
    mac: Field,
    address: Field,
    roles: &'static str,
    priority: u8,
}

/// By name, so that the same answers given at either box make the same document.
fn members(answers: &Answers) -> [Member; 2] {
    let (here, there) = match answer(answers, Field::Role) {
        "directors" => ("[\"director\"]", "[\"director\"]"),
        "server" => ("[\"real-server\"]", "[\"director\"]"),
        _ => ("[\"director\", \"real-server\"]", "[\"director\", \"real-server\"]"),
    };
    let (mine, theirs) = if answer(answers, Field::Preferred) == "peer" { (99, 100) } else { (100, 99) };
    let mut members = [
        Member { name: Field::Name, mac: Field::Port, address: Field::Address, roles: here, priority: mine },
        Member {
            name: Field::PeerName,
            mac: Field::PeerMac,
            address: Field::PeerAddress,
            roles: there,
            priority: theirs,
        },
    ];
    members.sort_by_key(|member| answer(answers, member.name).trim());
    members
}

fn write(answers: &Answers, revision: u64) -> Draft {
    let given = |field| answer(answers, field).trim();
    let mut draft = Draft::default();
    draft.line("schema = 1");
    draft.section("[cluster]");
    draft.answer("cluster", "name", &string(given(Field::Site)), Field::Site);
    draft.line(&format!("revision = {revision}"));
    let storm = if given(Field::Role) == "server" { "weights" } else { given(Field::Storm) };
    draft.answer("cluster", "storm", &string(storm), Field::Storm);
    if !given(Field::Password).is_empty() {
        draft.section("[admin]");
        draft.answer("admin", "password", &string(given(Field::Password)), Field::Password);
    }
    for (index, member) in members(answers).iter().enumerate() {
        let section = format!("member[{index}]");
        draft.section("[[member]]");
        draft.answer(&section, "name", &string(given(member.name)), member.name);
        draft.answer(&section, "roles", member.roles, Field::Role);
        draft.answer(&section, "priority", &member.priority.to_string(), Field::Preferred);
        let section = format!("{section}.interface[0]");
        draft.section("[[member.interface]]");
        draft.line("name = \"lan\"");
        draft.answer(&section, "mac", &string(given(member.mac)), member.mac);
        draft.answer(&section, "addresses", &format!("[{}]", string(given(member.address))), member.address);
        if !given(Field::Gateway).is_empty() {
            draft.answer(&section, "gateway", &string(given(Field::Gateway)), Field::Gateway);
        }
    }
    draft.section("[[vrrp]]");
    draft.answer("vrrp[0]", "id", &number(given(Field::Vrid)), Field::Vrid);
    draft.line("interface = \"lan\"");
    draft.answer("vrrp[0]", "version", &number(given(Field::Version)), Field::Version);
    draft.answer("vrrp[0]", "advert-interval", &string(given(Field::Interval)), Field::Interval);
    draft.answer("vrrp[0]", "virtual-addresses", &format!("[{}]", string(given(Field::Vip))), Field::Vip);
    if given(Field::Preset) != "none" {
        service(&mut draft, answers);
    }
    draft
}

fn service(draft: &mut Draft, answers: &Answers) {
    let given = |field| answer(answers, field).trim();
    let vip = given(Field::Vip);
    let bare = vip.split_once('/').map_or(vip, |(address, _)| address);
    draft.section("[[service]]");
    draft.answer("service[0]", "name", &string(given(Field::Service)), Field::Service);
    draft.answer("service[0]", "address", &string(bare), Field::Vip);
    draft.answer("service[0]", "port", &number(given(Field::ServicePort)), Field::ServicePort);
    draft.answer("service[0]", "protocol", &string(given(Field::Protocol)), Field::Protocol);
    draft.line("forwarding = \"direct\"");
    draft.answer("service[0]", "scheduler", &string(given(Field::Scheduler)), Field::Scheduler);
    if !given(Field::Persistence).is_empty() {
        draft.answer("service[0]", "persistence", &string(given(Field::Persistence)), Field::Persistence);
    }
    draft.section("[service.check]");
    draft.answer("service[0].check", "kind", &string(given(Field::Check)), Field::Check);
    let mut index = 0;
    let mut server = |draft: &mut Draft, key: &str, value: &str, by: Field, weight: Option<Field>| {
        let section = format!("service[0].server[{index}]");
        draft.section("[[service.server]]");
        draft.answer(&section, key, &string(value), by);
        if let Some(weight) = weight {
            draft.answer(&section, "weight", &number(given(weight)), weight);
        }
        index += 1;
    };
    match given(Field::Role) {
        "directors" => {
            let list = given(Field::Servers);
            let addresses = list.split([' ', ',', ';']).filter(|address| !address.is_empty());
            // None is written as one that is empty, so that check has something to refuse.
            let addresses: Vec<&str> = addresses.collect();
            for address in if addresses.is_empty() { &[""][..] } else { &addresses } {
                server(draft, "address", address, Field::Servers, None);
            }
        }
        role => {
            for member in members(answers) {
                let weight = match member.name {
                    Field::Name => Field::WeightHere,
                    _ if role == "both" => Field::WeightPeer,
                    _ => continue,
                };
                server(draft, "member", given(member.name), member.name, Some(weight));
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
