//! From the bytes of a document to a [`Config`], or to all its problems at once. [`draft`] reads the
//! single values; the modules below decide what the parts may say about each other; [`resolve`] then only copies.

mod dhcp;
mod links;
mod members;
mod outside;
mod resolve;
mod routers;
mod services;
mod storm;

use std::collections::BTreeMap;
use std::fmt;

use super::Config;
use super::Protocol;
use super::draft::{self, ClusterDraft, Draft, Field, InterfaceDraft, MemberDraft, ObserveDraft, Role};
pub use super::problem::Problem;
use super::problem::{Place, Problems, Written};
use super::types::{Family, LinkName, MemberName};

/// The largest document that is read, in bytes.
pub const LARGEST: usize = 1 << 20;

/// Checks a document as it came, in bytes.
///
/// # Errors
/// All problems, in the document's order; never an empty list.
pub fn check_bytes(document: &[u8]) -> Result<Config, Vec<Problem>> {
    check(text(document)?)
}

/// Checks a document.
///
/// # Errors
/// All problems, in the document's order; never an empty list.
pub fn check(document: &str) -> Result<Config, Vec<Problem>> {
    match read(document)? {
        (config, unknown) if unknown.is_empty() => Ok(config),
        (_, unknown) => Err(unknown),
    }
}

/// Checks a document that this box keeps already. A version that came later, and was left again, may have taken keys
/// that this one does not know: they are no reason to serve nothing, and come back as problems to be told.
///
/// # Errors
/// All problems, in the document's order, unless there is none but unknown keys; never an empty list.
pub fn check_kept(document: &[u8]) -> Result<(Config, Vec<Problem>), Vec<Problem>> {
    read(text(document)?)
}

fn text(document: &[u8]) -> Result<&str, Vec<Problem>> {
    std::str::from_utf8(document).map_err(|error| {
        let line = document[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        vec![Problem {
            path: format!("line {line}"),
            line: None,
            what: "is not UTF-8 text".to_owned(),
            fix: "save the document as plain text in UTF-8".to_owned(),
        }]
    })
}

/// What the document says, and the keys in it that this version does not know.
fn read(document: &str) -> Result<(Config, Vec<Problem>), Vec<Problem>> {
    let whole = |what: String, fix: &str| {
        vec![Problem { path: "document".to_owned(), line: None, what, fix: fix.to_owned() }]
    };
    if document.len() > LARGEST {
        return Err(whole(format!("has {} bytes, more than {LARGEST}", document.len()), "make it smaller"));
    }
    let mut problems = Problems::default();
    let Some(draft) = draft::read(document, &mut problems) else {
        return Err(problems.into_sorted());
    };
    members::check(&draft, &mut problems);
    links::check(&draft, &mut problems);
    dhcp::check(&draft, &mut problems);
    routers::check(&draft, &mut problems);
    services::check(&draft, &mut problems);
    if let Some(cluster) = &draft.cluster {
        sync(&draft, cluster, &mut problems);
        storm::check(&draft, cluster, &mut problems);
    }
    if let Some(observe) = &draft.observe {
        observed(&draft, observe, &mut problems);
    }
    outside::check(&draft, &mut problems);
    let unknown = problems.only_unknown()?;
    // Every gap in a draft was told; a document is not taken on the strength of that.
    let config = resolve::config(&draft);
    config.map(|config| (config, unknown)).ok_or_else(|| whole("is not understood".to_owned(), "report it"))
}

/// Connection synchronisation runs between directors.
fn sync(draft: &Draft, cluster: &ClusterDraft, problems: &mut Problems) {
    let Some(name) = &cluster.sync_interface else { return };
    for member in draft.members.iter().filter(|member| member.is(Role::Director)) {
        addressed(member, name, "a director", problems);
    }
}

/// `[observe]` is the same on every box, and in nobody's way.
fn observed(draft: &Draft, observe: &ObserveDraft, problems: &mut Problems) {
    if let Some(name) = &observe.interface {
        for member in &draft.members {
            addressed(member, name, "a member", problems);
        }
    }
    let Some(port) = &observe.port else { return };
    for service in &draft.services {
        let same = service.port.as_ref().is_some_and(|own| own.value == port.value);
        let tcp = service.protocol.as_ref().is_some_and(|own| own.value == Protocol::Tcp);
        if same && tcp && service.servers.iter().any(|server| server.member.is_some()) {
            problems.add(
                &port.at,
                format!("{} is the port of {}, which members serve", port.value, service.at.path),
                "write another port",
            );
        }
    }
}

/// Tells when `member` has no interface called `name`, or no address there. Says nothing where the draft has a gap that
/// was told already.
fn addressed(member: &MemberDraft, name: &Written<LinkName>, as_what: &str, problems: &mut Problems) {
    let who = member.shown();
    match member.interface(&name.value) {
        Lookup::Found(interface) if interface.has_no_address() => {
            problems.add(
                &name.at,
                format!("{who}, {as_what}, has no address on \"{}\"", name.value),
                format!("write addresses in {}", interface.at.path),
            );
        }
        Lookup::Missing => problems.add(
            &name.at,
            format!("{who}, {as_what}, has no interface \"{}\"", name.value),
            "write a [[member.interface]] section of that name there, or another name here",
        ),
        Lookup::Found(_) | Lookup::Unclear => {}
    }
}

/// Tells when `member` has addresses on `name`, and none of `family`.
fn of_family(
    member: &MemberDraft,
    name: &LinkName,
    family: Family,
    at: &Place,
    as_what: &str,
    problems: &mut Problems,
) {
    let Lookup::Found(interface) = member.interface(name) else { return };
    let own = &interface.addresses;
    let fits = own.items.iter().any(|address| Family::of(address.value.address()) == family);
    if !fits && own.complete && !own.items.is_empty() {
        problems.add(
            at,
            format!("{}, {as_what}, has no {family} address on \"{name}\"", member.shown()),
            format!("write one in {}", interface.at.path),
        );
    }
}

/// What came of looking for a name in a draft.
enum Lookup<T> {
    /// It is there.
    Found(T),
    /// It is not there.
    Missing,
    /// It may be one of those that were refused.
    Unclear,
}

impl<'d, T> Lookup<&'d T> {
    /// Looks among `all` for the one that `name_of` names so. An empty list was told as such, and lacks nothing in particular.
    fn among<N: PartialEq>(all: &'d [T], name: &N, name_of: impl Fn(&T) -> &Field<N>) -> Self {
        let named = |one: &&T| name_of(one).as_ref().is_some_and(|written| written.value == *name);
        match all.iter().find(named) {
            Some(found) => Self::Found(found),
            None if !all.is_empty() && all.iter().all(|one| name_of(one).is_some()) => Self::Missing,
            None => Self::Unclear,
        }
    }
}

impl Draft {
    fn member(&self, name: &MemberName) -> Lookup<&MemberDraft> {
        Lookup::among(&self.members, name, |member| &member.name)
    }
}

impl MemberDraft {
    fn interface(&self, name: &LinkName) -> Lookup<&InterfaceDraft> {
        Lookup::among(&self.interfaces, name, |interface| &interface.name)
    }

    fn is(&self, role: Role) -> bool {
        self.roles.items.iter().any(|written| written.value == role)
    }

    /// Its name, or its place when it has none.
    fn shown(&self) -> String {
        self.name.as_ref().map_or_else(|| self.at.path.clone(), |name| name.value.to_string())
    }
}

impl InterfaceDraft {
    /// A DHCP server gives it one.
    fn by_dhcp(&self) -> bool {
        self.dhcp.as_ref().is_some_and(|dhcp| dhcp.value)
    }

    fn has_no_address(&self) -> bool {
        self.addresses.items.is_empty() && self.addresses.complete && !self.by_dhcp()
    }
}

/// Values that may be written once, and where each was.
struct Once<T>(BTreeMap<T, Place>);

impl<T: Ord + fmt::Display> Once<T> {
    fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Takes `value`; tells when it was taken before, with `fix`.
    fn take(&mut self, value: T, at: &Place, fix: &str, problems: &mut Problems) {
        match self.0.get(&value) {
            Some(first) => problems.add(at, format!("{value} is at {} already", first.path), fix),
            None => {
                self.0.insert(value, at.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
