//! Screens as a terminal shows them, as files; and the wizard driven by keys as a person drives it.

mod behind_password;

use std::cell::RefCell;
use std::num::NonZeroU16;
use std::rc::Rc;

use cursive::CursiveRunner;
use cursive::backend::Backend;
use cursive::style::{ColorPair, Effect as Shown};
use halcyon_core::control::{Port, Request, Response};
use halcyon_core::plan::VrrpState;
use halcyon_core::status::{Guard, Instance, Server, Service, Status};

use super::*;
use crate::console::paint::{Charset, Painter};
use crate::model::{Ask, Kept, Scene, Seen};

/// A terminal of 80 × 24 without a line to it: what the painter sends is shown at once.
struct Paper(Rc<RefCell<Shown24>>);

struct Shown24 {
    painter: Painter,
    parser: vt100::Parser,
    /// Bytes of the last screen.
    sent: usize,
    whole: bool,
}

impl Backend for Paper {
    fn poll_event(&mut self) -> Option<Event> {
        None
    }
    fn set_title(&mut self, _: String) {}
    fn refresh(&mut self) {
        let mut shown = self.0.borrow_mut();
        let bytes = shown.painter.take();
        shown.parser.process(&bytes);
        shown.sent = bytes.len();
        shown.whole = false;
    }
    fn has_colors(&self) -> bool {
        true
    }
    fn screen_size(&self) -> Vec2 {
        Vec2::new(80, 24)
    }
    fn move_to(&self, position: Vec2) {
        self.0.borrow_mut().painter.move_to(position.x, position.y);
    }
    fn print(&self, text: &str) {
        self.0.borrow_mut().painter.print(text);
    }
    fn clear(&self, _: Color) {
        self.0.borrow_mut().whole = true;
    }
    fn set_color(&self, colours: ColorPair) -> ColorPair {
        self.0.borrow_mut().painter.colour(colours)
    }
    fn set_effect(&self, effect: Shown) {
        self.0.borrow_mut().painter.effect(effect, true);
    }
    fn unset_effect(&self, effect: Shown) {
        self.0.borrow_mut().painter.effect(effect, false);
    }
    fn is_persistent(&self) -> bool {
        !self.0.borrow().whole
    }
}

/// A person before a terminal.
struct Person {
    runner: CursiveRunner<Cursive>,
    paper: Rc<RefCell<Shown24>>,
}

impl Person {
    fn before(charset: Charset) -> Self {
        let size = |count| NonZeroU16::new(count).unwrap();
        let shown = Shown24 {
            painter: Painter::new(charset, 80),
            parser: vt100::Parser::new(size(24), size(80), 0),
            sent: 0,
            whole: true,
        };
        let paper = Rc::new(RefCell::new(shown));
        let root = root(Wizard::new(Kept::default(), "ttyS0".into(), false), Texts::english());
        let runner = CursiveRunner::new(root, Box::new(Paper(Rc::clone(&paper))));
        let mut person = Self { runner, paper };
        person.runner.refresh();
        person
    }

    /// The same with a factory-fresh box of two ports.
    fn at_a_fresh_box(charset: Charset) -> Self {
        let mut person = Self::before(charset);
        person.learn(fresh());
        person
    }

    fn learn(&mut self, seen: Seen) {
        self.hand(Intent::Seen(Some(Box::new(seen))));
    }

    fn hand(&mut self, intent: Intent) {
        self.runner.call_on_name(NAME, |screen: &mut Screen| screen.hand(intent)).unwrap();
        self.runner.refresh();
    }

    /// Types: a line end is Enter, a tab is Tab, `<` erases.
    fn types(&mut self, text: &str) {
        for key in text.chars() {
            self.runner.on_event(match key {
                '\n' => Event::Key(Key::Enter),
                '\t' => Event::Key(Key::Tab),
                '<' => Event::Key(Key::Backspace),
                key => Event::Char(key),
            });
            self.runner.refresh();
        }
    }

    fn presses(&mut self, key: Key) {
        self.runner.on_event(Event::Key(key));
        self.runner.refresh();
    }

    fn screen(&self) -> String {
        let contents = self.paper.borrow().parser.screen().contents();
        contents.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    fn sent(&self) -> usize {
        self.paper.borrow().sent
    }

    fn effects(&mut self) -> Vec<Effect> {
        self.runner.call_on_name(NAME, |screen: &mut Screen| std::mem::take(&mut screen.effects)).unwrap()
    }

    fn scene(&mut self) -> Scene {
        self.runner.call_on_name(NAME, |screen: &mut Screen| screen.wizard.scene()).unwrap()
    }

    #[track_caller]
    fn sees(&self, text: &str) {
        assert!(self.screen().contains(text), "no “{text}” on\n{}", self.screen());
    }
}

fn port(name: &str, mac: &str, carrier: bool) -> Port {
    Port {
        name: name.into(),
        mac: mac.into(),
        driver: Some("virtio_net".into()),
        path: Some("0000:00:02.0".into()),
        carrier,
        speed: None,
    }
}

fn fresh() -> Seen {
    Seen {
        status: Status {
            version: "0.1.0".into(),
            unconfigured: Some("no configuration yet".into()),
            ..Status::default()
        },
        ports: vec![port("eth0", "52:54:00:00:00:1a", false), port("eth1", "52:54:00:00:00:0a", true)],
    }
}

fn at_work() -> Seen {
    let server = |name: &str, address: &str, healthy: bool| Server {
        name: name.into(),
        address: address.into(),
        port: 8898,
        weight: u16::from(healthy),
        healthy,
        health: if healthy { "up" } else { "down" }.into(),
        why: (!healthy).then(|| "no answer within 10 s".into()),
    };
    Seen {
        status: Status {
            member: Some("castor".into()),
            cluster: "store-0417".into(),
            generation: 1,
            revision: 1,
            slot: "A".into(),
            uptime: 3_725,
            reconciled: true,
            store: "/dev/sda5, device 0123456789abcdef".into(),
            vrrp: vec![Instance {
                id: 51,
                interface: "lan".into(),
                state: VrrpState::Master,
                priority: 100,
                addresses: vec!["192.168.0.239".into()],
                why: "192.168.0.238 fell silent".into(),
                since: 3_700,
            }],
            services: vec![Service {
                name: "pos".into(),
                address: "192.168.0.239".into(),
                port: 8898,
                protocol: "tcp".into(),
                scheduler: "rr".into(),
                servers: vec![
                    server("castor", "192.168.0.236", true),
                    server("pollux", "192.168.0.238", false),
                ],
            }],
            guard: Guard {
                delivered: 12,
                peers: vec!["52:54:00:00:00:0b on lan".into()],
                ..Guard::default()
            },
            ..Status::default()
        },
        ports: vec![port("lan", "52:54:00:00:00:0a", true)],
    }
}

/// What a person types from the first screen to the review of a pair.
const SET_UP: [(&str, &str); 9] = [
    ("welcome", "\t\n"),
    ("password", "\n\n\n"),
    ("this-box", "<<<<store-0417\n\n\n\n"),
    ("network", "192.168.0.236/24\n192.168.0.1\n\n"),
    ("role", "\n\n"),
    ("peer", "\n52:54:00:00:00:0b\n192.168.0.238/24\n\n\n"),
    ("virtual", "192.168.0.239/24\n\n\n\n\n"),
    ("service", "\n\n\n\n\n\n\n\n\n\n"),
    ("storm", "\n\n"),
];

#[test]
fn every_screen_of_the_set_up() {
    for (charset, name) in [(Charset::Utf8, "utf8"), (Charset::Ascii, "ascii")] {
        let mut person = Person::at_a_fresh_box(charset);
        for (step, keys) in SET_UP {
            insta::assert_snapshot!(format!("{step}-{name}"), person.screen());
            person.types(keys);
        }
        insta::assert_snapshot!(format!("review-{name}"), person.screen());
    }
}

#[test]
fn every_other_screen() {
    let mut person = Person::before(Charset::Utf8);
    insta::assert_snapshot!("waiting", person.screen());
    person.learn(fresh());
    person.hand(Intent::Held(Some("tty1".into())));
    insta::assert_snapshot!("elsewhere", person.screen());
    person.learn(at_work());
    insta::assert_snapshot!("dashboard", person.screen());
    let mut trial = at_work();
    (trial.status.on_trial, trial.status.trial_left) = (true, Some(117));
    person.learn(trial);
    insta::assert_snapshot!("trial-of-others", person.screen());
}

#[test]
fn from_factory_fresh_to_a_document_that_is_tried_and_kept() {
    let mut person = Person::at_a_fresh_box(Charset::Ascii);
    for (_, keys) in SET_UP {
        person.types(keys);
    }
    person.sees("Try it for 120 seconds");
    person.effects();
    person.types("\n\n");
    let asked: Vec<Effect> = person.effects().into_iter().filter(|e| matches!(e, Effect::Ask(_))).collect();
    let [Effect::Ask(Ask::Engine(Request::SetUp { document, confirm_within: Some(120) }))] = &asked[..]
    else {
        panic!("asked once: {asked:?}");
    };
    let config = halcyon_core::config::check::check(document).unwrap();
    assert_eq!((config.cluster.name.as_str(), config.members.len()), ("store-0417", 2));
    let mut trial = at_work();
    (trial.status.on_trial, trial.status.trial_left) = (true, Some(119));
    person.hand(Intent::Answered(Ok(Response::Done("on trial".into()))));
    person.learn(trial);
    person.sees("119 seconds left");
    person.effects();
    person.types("\n");
    assert_eq!(person.effects(), [Effect::Ask(Ask::Engine(Request::ConfigConfirm))]);
    person.learn(at_work());
    assert_eq!(person.scene(), Scene::Dashboard);
}

/// 115200 baud carry 11 bytes in a millisecond.
#[test]
fn a_screen_costs_a_serial_line_little() {
    let mut person = Person::at_a_fresh_box(Charset::Ascii);
    person.types("\t\n\n\n\n");
    person.types("x");
    let (key, mut most) = (person.sent(), 0);
    assert!(key <= 30, "a key costs {key} bytes");
    person.presses(Key::Esc);
    for (_, keys) in SET_UP {
        for key in keys.chars() {
            person.types(&key.to_string());
            most = most.max(person.sent());
        }
    }
    assert!(most <= 2_500, "a screen costs {most} bytes");
    person.learn(at_work());
    person.learn(at_work());
    assert_eq!(person.sent(), 0, "the same screen again");
}
