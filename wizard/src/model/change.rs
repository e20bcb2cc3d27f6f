//! A change of the document that is in force: which places in it are which question's answer, and the document with those
//! places written anew. Whatever nobody asks about stays as it is, byte by byte: sections, keys and remarks.

use serde::{Deserialize, Serialize};
use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

use super::document::Draft;
use super::field::{Answers, Field, Kind, answer};

/// What a change begins with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Base {
    /// The document in force, with its secrets.
    text: String,
    /// Which of its members this box is.
    me: String,
    /// Its revision.
    pub(super) revision: u64,
}

/// It holds secrets.
impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Base(revision {})", self.revision)
    }
}

/// Where an answer stands.
struct Place {
    field: Field,
    /// The table's path, as check writes paths.
    table: String,
    key: &'static str,
    /// What a document without the key means; `None`: it is not asked about then.
    default: Option<&'static str>,
}

impl Base {
    /// `text` is in force, and this box is `me` in it.
    pub(crate) fn new(text: String, me: String, revision: u64) -> Self {
        Self { text, me, revision }
    }

    /// The document in force.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What the document answers; a question whose answer is not in it, or is more than one value, is not asked.
    pub(super) fn answers(&self) -> Answers {
        let Ok(document) = self.text.parse::<DocumentMut>() else { return Answers::new() };
        let mut answers: Answers = places(&document, &self.me)
            .into_iter()
            .filter_map(|place| Some((place.field, written(&document, &place)?)))
            .filter(|(field, value)| match field.kind() {
                Kind::List(words) | Kind::Inline(words) => words.contains(&value.as_str()),
                _ => true,
            })
            .collect();
        if answers.contains_key(&Field::Password) {
            answers.insert(Field::PasswordAgain, String::new());
        }
        answers
    }

    /// The document with what was answered otherwise, and this revision.
    pub(super) fn write(&self, answers: &Answers, revision: u64) -> Draft {
        let mut draft = Draft::default();
        let Ok(mut document) = self.text.parse::<DocumentMut>() else { return draft };
        for place in places(&document, &self.me) {
            draft.places.push((format!("{}.{}", place.table, place.key), place.field));
            let Some(before) = written(&document, &place) else { continue };
            let after = answer(answers, place.field).trim();
            if !answers.contains_key(&place.field) || after == before {
                continue;
            }
            if place.field == Field::Vip {
                follow(&mut document, bare(&before), bare(after));
            }
            if place.field == Field::Password && document.get("admin").is_none() {
                document.insert("admin", Item::Table(Table::new()));
            }
            if let Some(table) = table_mut(&mut document, &place.table) {
                put(table, place.key, after, place.field);
            }
        }
        let revision = Value::from(i64::try_from(revision).unwrap_or(i64::MAX));
        if let Some(cluster) = table_mut(&mut document, "cluster") {
            set(cluster, "revision", revision);
        }
        draft.text = document.to_string();
        draft
    }
}

/// An address without its prefix length.
fn bare(address: &str) -> &str {
    address.split_once('/').map_or(address, |(address, _)| address)
}

/// Where the answers stand in `document`, for the member `me`: its and one other's port on the first virtual router's
/// segment, that router, and the first service.
fn places(document: &DocumentMut, me: &str) -> Vec<Place> {
    let mut places = Vec::new();
    let mut at = |field, table: &str, key, default| {
        places.push(Place { field, table: table.to_owned(), key, default });
    };
    at(Field::Password, "admin", "password", Some(""));
    at(Field::Site, "cluster", "name", None);
    at(Field::Storm, "cluster", "storm", Some("weights"));
    let root = document.as_table();
    let segment = element(root, "vrrp", 0).and_then(|router| text(router, "interface"));
    let is_me = |member: &dyn TableLike| text(member, "name").as_deref() == Some(me);
    let members = (0..).map_while(|index| Some((index, element(root, "member", index)?)));
    let (mine, theirs): (Vec<_>, Vec<_>) = members.partition(|(_, member)| is_me(*member));
    let port = |member: &dyn TableLike| {
        let mut ports = (0..).map_while(|index| Some((index, element(member, "interface", index)?)));
        ports.find(|(_, port)| segment.is_none() || text(*port, "name") == segment).map(|(index, _)| index)
    };
    if let [(index, member)] = mine[..]
        && let Some(port) = port(member)
    {
        let table = format!("member[{index}].interface[{port}]");
        at(Field::Address, &table, "addresses", None);
        at(Field::Gateway, &table, "gateway", Some(""));
    }
    let mut peer = None;
    if let [(index, member)] = theirs[..]
        && let Some(port) = port(member)
    {
        let table = format!("member[{index}].interface[{port}]");
        at(Field::PeerMac, &table, "mac", None);
        at(Field::PeerAddress, &table, "addresses", None);
        peer = text(member, "name");
    }
    if segment.is_some() {
        at(Field::Vip, "vrrp[0]", "virtual-addresses", None);
        at(Field::Vrid, "vrrp[0]", "id", None);
        at(Field::Version, "vrrp[0]", "version", Some("3"));
        at(Field::Interval, "vrrp[0]", "advert-interval", Some("1s"));
    }
    let Some(service) = element(root, "service", 0) else { return places };
    at(Field::Service, "service[0]", "name", None);
    at(Field::ServicePort, "service[0]", "port", None);
    at(Field::Protocol, "service[0]", "protocol", Some("tcp"));
    at(Field::Scheduler, "service[0]", "scheduler", Some("rr"));
    at(Field::Persistence, "service[0]", "persistence", Some(""));
    at(Field::Check, "service[0].check", "kind", None);
    for (index, server) in (0..).map_while(|index| Some((index, element(service, "server", index)?))) {
        let field = match text(server, "member") {
            Some(name) if name == me => Field::WeightHere,
            Some(name) if Some(&name) == peer.as_ref() => Field::WeightPeer,
            _ => continue,
        };
        at(field, &format!("service[0].server[{index}]"), "weight", Some("1"));
    }
    places
}

/// The element of an array of tables, whichever of TOML's two forms it has.
fn element<'a>(table: &'a dyn TableLike, key: &str, index: usize) -> Option<&'a dyn TableLike> {
    match table.get(key)? {
        Item::ArrayOfTables(tables) => tables.get(index).map(|table| table as &dyn TableLike),
        Item::Value(Value::Array(array)) => {
            array.get(index)?.as_inline_table().map(|table| table as &dyn TableLike)
        }
        _ => None,
    }
}

fn text(table: &dyn TableLike, key: &str) -> Option<String> {
    table.get(key)?.as_str().map(ToOwned::to_owned)
}

/// What stands at a place, as a person would type it.
fn written(document: &DocumentMut, place: &Place) -> Option<String> {
    let default = place.default.map(ToOwned::to_owned);
    let Some(table) = table(document, &place.table) else {
        return default.filter(|_| place.field == Field::Password);
    };
    let Some(item) = table.get(place.key) else { return default };
    match item.as_value()? {
        Value::String(text) => Some(text.value().clone()),
        Value::Integer(number) => Some(number.value().to_string()),
        Value::Array(one) if one.len() == 1 => one.get(0)?.as_str().map(ToOwned::to_owned),
        _ => None,
    }
}

/// `member[0].interface[1]`: its parts with their numbers.
fn parts(path: &str) -> impl Iterator<Item = (&str, Option<usize>)> {
    path.split('.').map(|part| match part.strip_suffix(']').and_then(|part| part.split_once('[')) {
        Some((key, index)) => (key, index.parse().ok()),
        None => (part, None),
    })
}

fn table<'a>(document: &'a DocumentMut, path: &str) -> Option<&'a dyn TableLike> {
    let mut table: &dyn TableLike = document.as_table();
    for (key, index) in parts(path) {
        table = match index {
            Some(index) => element(table, key, index)?,
            None => table.get(key)?.as_table_like()?,
        };
    }
    Some(table)
}

fn table_mut<'a>(document: &'a mut DocumentMut, path: &str) -> Option<&'a mut dyn TableLike> {
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for (key, index) in parts(path) {
        table = match (index, table.get_mut(key)?) {
            (None, item) => item.as_table_like_mut()?,
            (Some(index), Item::ArrayOfTables(tables)) => tables.get_mut(index)?,
            (Some(index), Item::Value(Value::Array(array))) => array.get_mut(index)?.as_inline_table_mut()?,
            _ => return None,
        };
    }
    Some(table)
}

/// Writes an answer, in the form that stands there. An answer that was taken back leaves no key.
fn put(table: &mut dyn TableLike, key: &str, answer: &str, field: Field) {
    if answer.is_empty() && matches!(field, Field::Gateway | Field::Persistence | Field::Password) {
        table.remove(key);
        return;
    }
    let value = match field {
        Field::Vrid | Field::Version | Field::ServicePort | Field::WeightHere | Field::WeightPeer => {
            // Nothing counts as 0, which check refuses wherever it is wrong.
            Value::from(answer.parse::<i64>().unwrap_or(0))
        }
        _ => Value::from(answer),
    };
    match table.get_mut(key).and_then(Item::as_array_mut) {
        Some(array) => {
            array.replace(0, value);
        }
        None => set(table, key, value),
    }
}

/// Sets a value, and leaves the remark behind it.
fn set(table: &mut dyn TableLike, key: &str, mut value: Value) {
    if let Some(old) = table.get(key).and_then(Item::as_value) {
        *value.decor_mut() = old.decor().clone();
    }
    table.insert(key, Item::Value(value));
}

/// Services at the shared address move with it.
fn follow(document: &mut DocumentMut, before: &str, after: &str) {
    for index in 0.. {
        let path = format!("service[{index}]");
        let Some(service) = table_mut(document, &path) else { return };
        if text(service, "address").as_deref() == Some(before) {
            set(service, "address", Value::from(after));
        }
    }
}

#[cfg(test)]
mod tests {
    use halcyon_core::config::check::check;
    use halcyon_core::config::difference::difference;

    use super::*;

    const PAIR: &str = include_str!("../../../examples/pair.toml");

    fn base(text: &str) -> Base {
        Base::new(text.to_owned(), "castor".to_owned(), 1)
    }

    fn changed(text: &str, with: &[(Field, &str)]) -> String {
        let base = base(text);
        let mut answers = base.answers();
        for (field, value) in with {
            assert!(answers.contains_key(field), "{field:?} is not asked");
            answers.insert(*field, (*value).to_owned());
        }
        base.write(&answers, 2).text
    }

    #[test]
    fn what_is_not_changed_stays_byte_by_byte() {
        let lines = difference(PAIR, &changed(PAIR, &[]));
        assert_eq!(lines.lines().count(), 2, "{lines}");
        assert!(lines.contains("revision = 2"), "{lines}");
    }

    #[test]
    fn every_question_of_the_example_is_answered_by_it() {
        let answers = base(PAIR).answers();
        for field in [
            Field::Site,
            Field::Storm,
            Field::Address,
            Field::PeerAddress,
            Field::Vip,
            Field::Vrid,
            Field::ServicePort,
            Field::Scheduler,
            Field::WeightHere,
            Field::WeightPeer,
        ] {
            assert!(!answer(&answers, field).is_empty(), "{field:?}: {answers:?}");
        }
        for field in [Field::Way, Field::Name, Field::PeerName, Field::Role, Field::Preset, Field::Port] {
            assert!(!answers.contains_key(&field), "{field:?}");
        }
    }

    #[test]
    fn a_change_touches_its_place_and_what_refers_to_it() {
        let text = changed(PAIR, &[(Field::ServicePort, "8899"), (Field::Scheduler, "wlc")]);
        let config = check(&text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
        let service = config.services.values().next().unwrap();
        assert_eq!((service.port, config.cluster.revision), (8899, 2));
        let vip = answer(&base(PAIR).answers(), Field::Vip).to_owned();
        let moved = changed(PAIR, &[(Field::Vip, "192.168.0.240/24")]);
        assert!(!moved.contains(bare(&vip)) || PAIR.matches(bare(&vip)).count() > 2, "{moved}");
        assert!(check(&moved).is_ok(), "{moved}");
    }

    #[test]
    fn keys_that_nobody_asks_about_and_secrets_are_kept() {
        let text = PAIR
            .replacen("version = 3", "version = 2 # old peers\nauthentication = \"1111\"", 1)
            .replacen("\"100ms\"", "\"1s\"", 1);
        let after = changed(&text, &[(Field::Vrid, "77")]);
        assert!(after.contains("authentication = \"1111\"") && after.contains("# old peers"), "{after}");
        assert!(after.contains("id = 77"), "{after}");
    }

    #[test]
    fn a_password_makes_its_section_and_a_wrong_answer_is_still_written() {
        let after =
            changed(PAIR, &[(Field::Password, "$x"), (Field::Vrid, ""), (Field::Address, "nonsense")]);
        assert!(after.contains("[admin]\npassword = \"$x\""), "{after}");
        let problems = check(&after).unwrap_err();
        assert!(problems.len() >= 3, "{problems:?}");
    }

    #[test]
    fn what_cannot_be_read_asks_nothing() {
        assert_eq!(base("[[[").answers(), Answers::new());
        assert_eq!(base("").answers().keys().collect::<Vec<_>>(), [&Field::Password, &Field::PasswordAgain]);
    }
}
