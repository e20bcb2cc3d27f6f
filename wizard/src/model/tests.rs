//! The wizard by intents alone.

use halcyon_core::control::{Request, Typed};
use halcyon_core::status::Status;
use proptest::prelude::*;

use super::*;

fn fresh() -> Intent {
    let port = |name: &str, mac: &str, carrier| Port {
        name: name.into(),
        mac: mac.into(),
        carrier,
        ..Port::default()
    };
    let ports = vec![port("eth0", "52:54:00:00:00:1a", false), port("eth1", "52:54:00:00:00:0a", true)];
    Intent::Seen(Some(Box::new(Seen { status: Status::default(), ports })))
}

fn at_a_fresh_box() -> Wizard {
    let mut wizard = Wizard::new(Kept::default(), "ttyS0".into(), false);
    wizard.update(fresh());
    wizard
}

fn presses(wizard: &mut Wizard, presses: &[Press]) -> Vec<Effect> {
    presses.iter().flat_map(|press| wizard.update(Intent::Press(*press))).collect()
}

fn types(wizard: &mut Wizard, text: &str) {
    text.chars().for_each(|key| drop(wizard.update(Intent::Press(Press::Char(key)))));
}

#[test]
fn the_port_with_a_cable_is_proposed_and_a_choice_stays() {
    let mut wizard = at_a_fresh_box();
    assert_eq!(wizard.given(Field::Port), "52:54:00:00:00:0a");
    wizard.go_to(Step::ThisBox, 2);
    types(&mut wizard, "1");
    assert_eq!(wizard.given(Field::Port), "52:54:00:00:00:1a");
    wizard.update(fresh());
    assert_eq!(wizard.given(Field::Port), "52:54:00:00:00:1a");
}

#[test]
fn a_step_is_not_left_forward_with_a_wrong_answer_and_backward_always() {
    let mut wizard = at_a_fresh_box();
    wizard.go_to(Step::Network, 0);
    types(&mut wizard, "192.168.0.236");
    presses(&mut wizard, &[Press::Next, Press::Next, Press::Enter]);
    assert_eq!((wizard.kept.step, wizard.focused()), (Step::Network, Some(Item::Field(Field::Address))));
    presses(&mut wizard, &[Press::Back]);
    assert_eq!(wizard.kept.step, Step::ThisBox);
    assert_eq!(wizard.given(Field::Address), "192.168.0.236");
}

#[test]
fn typing_corrects_in_the_middle() {
    let mut wizard = at_a_fresh_box();
    wizard.go_to(Step::Network, 0);
    types(&mut wizard, "1x2");
    presses(&mut wizard, &[Press::Left, Press::Erase, Press::Char('9'), Press::Home, Press::Delete]);
    assert_eq!(wizard.given(Field::Address), "92");
}

#[test]
fn a_number_takes_digits_only_and_no_more_than_fit() {
    let mut wizard = at_a_fresh_box();
    wizard.go_to(Step::Virtual, 1);
    types(&mut wizard, "x-7 9999");
    assert_eq!(wizard.given(Field::Vrid), "517");
}

#[test]
fn another_kind_of_service_fills_in_its_usual_values_and_the_same_one_keeps_what_was_typed() {
    let mut wizard = at_a_fresh_box();
    wizard.go_to(Step::Service, 0);
    types(&mut wizard, "2");
    assert_eq!((wizard.given(Field::ServicePort), wizard.given(Field::Scheduler)), ("3306", "fo"));
    wizard.kept.answers.insert(Field::ServicePort, "3307".into());
    types(&mut wizard, "2");
    assert_eq!(wizard.given(Field::ServicePort), "3307");
}

#[test]
fn the_review_leads_to_what_is_wrong() {
    let mut wizard = at_a_fresh_box();
    wizard.kept.answers = document::tests::answered();
    wizard.kept.answers.insert(Field::Vrid, "0".into());
    wizard.kept.step = Step::Review;
    wizard.judge();
    assert_eq!(wizard.items(), [Item::Jump(Field::Vrid), Item::Button(Button::Back)]);
    presses(&mut wizard, &[Press::Enter]);
    assert_eq!((wizard.kept.step, wizard.focused()), (Step::Virtual, Some(Item::Field(Field::Vrid))));
}

#[test]
fn a_refusal_is_shown_and_what_was_typed_stays() {
    let mut wizard = at_a_fresh_box();
    wizard.kept.answers = document::tests::answered();
    wizard.go_to(Step::Review, 0);
    wizard.judge();
    let effects = presses(&mut wizard, &[Press::Enter, Press::Enter]);
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::Ask(_))).count(), 1, "{effects:?}");
    wizard.update(Intent::Answered(Ok(Response::Refused("no".into()))));
    assert_eq!((wizard.said.clone(), wizard.kept.mine), (Some(Err("no".into())), false));
    assert_eq!(wizard.kept.answers, document::tests::answered());
}

#[test]
fn a_trial_of_others_cannot_be_kept_here() {
    let mut wizard = at_a_fresh_box();
    let status = Status { on_trial: true, trial_left: Some(9), revision: 1, ..Status::default() };
    wizard.update(Intent::Seen(Some(Box::new(Seen { status, ports: Vec::new() }))));
    assert_eq!(wizard.items(), [Item::Button(Button::CommandLine)]);
}

#[test]
fn a_trial_that_was_undone_leads_back_to_the_review() {
    let mut wizard = at_a_fresh_box();
    wizard.kept.answers = document::tests::answered();
    wizard.go_to(Step::Review, 0);
    wizard.judge();
    presses(&mut wizard, &[Press::Enter]);
    let status = Status { on_trial: true, trial_left: Some(9), revision: 1, ..Status::default() };
    wizard.update(Intent::Seen(Some(Box::new(Seen { status, ports: Vec::new() }))));
    assert_eq!(wizard.items(), [Item::Button(Button::Keep), Item::Button(Button::Undo)]);
    wizard.update(Intent::Seen(None));
    wizard.update(fresh());
    assert_eq!((wizard.scene(), wizard.kept.step), (Scene::SetUp, Step::Review));
    assert_eq!(wizard.items()[0], Item::Button(Button::Try));
}

#[test]
fn one_console_answers_and_another_can_take_over() {
    let mut first = at_a_fresh_box();
    let effects = presses(&mut first, &[Press::Next, Press::Enter]);
    assert_eq!(effects.iter().filter(|effect| **effect == Effect::Hold).count(), 1, "{effects:?}");
    first.go_to(Step::ThisBox, 0);
    types(&mut first, "-0417");
    let mut second = Wizard::new(Kept::default(), "tty1".into(), false);
    second.update(fresh());
    second.update(Intent::Held(Some("ttyS0".into())));
    assert_eq!(second.scene(), Scene::Elsewhere);
    assert_eq!(presses(&mut second, &[Press::Enter]), [Effect::TakeOver]);
    second.update(Intent::TakenOver(Box::new(first.kept.clone())));
    assert_eq!((second.scene(), second.given(Field::Site)), (Scene::SetUp, "site-0417"));
    first.update(Intent::Held(Some("tty1".into())));
    assert_eq!(first.scene(), Scene::Elsewhere);
    types(&mut first, "x");
    assert_eq!(first.given(Field::Site), "site-0417", "keys mean nothing there any more");
}

fn any_press() -> impl Strategy<Value = Press> {
    prop_oneof![
        4 => any::<char>().prop_map(Press::Char),
        4 => "[0-9a-f:./ ]".prop_map(|text| Press::Char(text.chars().next().unwrap())),
        1 => prop_oneof![
            Just(Press::Enter), Just(Press::Next), Just(Press::Previous), Just(Press::Up), Just(Press::Down),
            Just(Press::Left), Just(Press::Right), Just(Press::Home), Just(Press::End), Just(Press::Erase),
            Just(Press::Delete), Just(Press::Clear), Just(Press::Back),
        ],
    ]
}

proptest! {
    /// Whatever is pressed: the focus is on something, what was kept is all there is, and a page can be drawn.
    #[test]
    fn no_keys_break_anything(keys in proptest::collection::vec(any_press(), 0..120), width in 20usize..200) {
        let mut wizard = at_a_fresh_box();
        let mut kept = wizard.kept.clone();
        for key in keys {
            for effect in wizard.update(Intent::Press(key)) {
                if let Effect::Keep(now) = effect {
                    kept = *now;
                }
            }
            prop_assert!(wizard.focused().is_some());
        }
        prop_assert_eq!(&kept, &wizard.kept);
        page::page(&wizard, &crate::texts::Texts::english(), width);
    }

    /// Back and forth never loses what was typed.
    #[test]
    fn back_loses_nothing(steps in 0usize..9, backs in 1usize..9) {
        let mut wizard = at_a_fresh_box();
        wizard.kept.answers = document::tests::answered();
        let answers = wizard.kept.answers.clone();
        for _ in 0..steps {
            wizard.go_on();
        }
        presses(&mut wizard, &vec![Press::Back; backs]);
        prop_assert_eq!(answers, wizard.kept.answers);
    }
}

fn at_work(revision: u64, on_trial: bool) -> Intent {
    let status = Status {
        member: Some("castor".into()),
        revision,
        on_trial,
        trial_left: on_trial.then_some(9),
        password: true,
        ..Status::default()
    };
    Intent::Seen(Some(Box::new(Seen { status, ports: Vec::new() })))
}

fn asked(effects: &[Effect]) -> Vec<&Ask> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Ask(ask) => Some(ask),
            _ => None,
        })
        .collect()
}

/// A box at work, its menu open.
fn at_the_menu() -> Wizard {
    let mut wizard = Wizard::new(Kept::default(), "ttyS0".into(), false);
    wizard.update(at_work(1, false));
    presses(&mut wizard, &[Press::Char('m'), Press::Char('x')]);
    let effects = presses(&mut wizard, &[Press::Enter]);
    assert_eq!(asked(&effects), [&Ask::Engine(Request::Unlock { password: Typed("x".into()) })]);
    wizard.update(Intent::Answered(Ok(Response::Done("unlocked".into()))));
    assert_eq!(wizard.scene(), Scene::Menu);
    wizard
}

#[test]
fn nothing_is_done_at_a_box_with_a_password_before_it_was_given() {
    for key in ['m', 'c'] {
        let mut wizard = Wizard::new(Kept::default(), "ttyS0".into(), false);
        wizard.update(at_work(1, false));
        assert_eq!(presses(&mut wizard, &[Press::Char(key)]), []);
        assert_eq!(wizard.scene(), Scene::Unlock);
        types(&mut wizard, "wrong");
        presses(&mut wizard, &[Press::Enter]);
        let effects = wizard.update(Intent::Answered(Ok(Response::Refused("no".into()))));
        assert_eq!((effects, wizard.scene(), wizard.given(Field::Unlock)), (vec![], Scene::Unlock, ""));
        types(&mut wizard, "right");
        presses(&mut wizard, &[Press::Enter]);
        let effects = wizard.update(Intent::Answered(Ok(Response::Done("unlocked".into()))));
        assert_eq!(effects.contains(&Effect::CommandLine { full: true }), key == 'c', "{effects:?}");
    }
}

#[test]
fn without_a_password_the_line_only_shows_and_there_is_no_menu() {
    let mut wizard = Wizard::new(Kept::default(), "ttyS0".into(), false);
    let status = Status { member: Some("castor".into()), revision: 1, ..Status::default() };
    wizard.update(Intent::Seen(Some(Box::new(Seen { status, ports: Vec::new() }))));
    presses(&mut wizard, &[Press::Char('m')]);
    assert_eq!(wizard.scene(), Scene::Dashboard);
    assert_eq!(presses(&mut wizard, &[Press::Char('c')]), [Effect::CommandLine { full: false }]);
}

#[test]
fn when_nobody_types_the_password_is_asked_for_again() {
    let mut wizard = at_the_menu();
    wizard.update(Intent::Idle);
    assert_eq!((wizard.scene(), wizard.may_change()), (Scene::Dashboard, false));
    presses(&mut wizard, &[Press::Char('m')]);
    assert_eq!(wizard.scene(), Scene::Unlock);
}

#[test]
fn what_cannot_be_taken_back_is_asked_first() {
    let mut wizard = at_the_menu();
    assert_eq!(presses(&mut wizard, &[Press::Char('5')]), []);
    assert_eq!(wizard.scene(), Scene::Sure);
    assert_eq!(presses(&mut wizard, &[Press::Enter]), [], "the first button is the way back");
    assert_eq!(wizard.scene(), Scene::Menu);
    let effects = presses(&mut wizard, &[Press::Char('5'), Press::Next, Press::Enter]);
    assert_eq!(asked(&effects), [&Ask::Power(halcyon_core::supervise::control::Request::Reboot)]);
}

#[test]
fn a_change_begins_with_what_is_in_force_and_anew_when_that_is_another() {
    let document = include_str!("../../../examples/pair.toml");
    let mut wizard = at_the_menu();
    let effects = presses(&mut wizard, &[Press::Char('1')]);
    assert_eq!(asked(&effects), [&Ask::Engine(Request::ConfigDocument)]);
    let effects = wizard.update(Intent::Answered(Ok(Response::Text(document.into()))));
    assert!(effects.contains(&Effect::Hold), "{effects:?}");
    assert_eq!((wizard.scene(), wizard.kept.step), (Scene::SetUp, Step::Password));
    wizard.go_to(Step::Virtual, 1);
    presses(&mut wizard, &[Press::Clear]);
    types(&mut wizard, "77");
    assert!(wizard.judged.text.contains("id = 77") && wizard.judged.text.contains("revision = 2"));
    // On the way back and forth, and on trial and undone, the draft stays.
    wizard.leave_room();
    presses(&mut wizard, &[Press::Char('1')]);
    assert_eq!((wizard.scene(), wizard.given(Field::Vrid)), (Scene::SetUp, "77"));
    wizard.go_to(Step::Review, 0);
    wizard.judge();
    let effects = presses(&mut wizard, &[Press::Enter]);
    assert!(matches!(asked(&effects)[..], [Ask::Engine(Request::SetUp { .. })]), "{effects:?}");
    wizard.update(Intent::Answered(Ok(Response::Done("on trial".into()))));
    wizard.update(at_work(2, true));
    assert_eq!(wizard.items(), [Item::Button(Button::Keep), Item::Button(Button::Undo)]);
    wizard.update(at_work(1, false));
    assert_eq!(
        (wizard.scene(), wizard.kept.step, wizard.given(Field::Vrid)),
        (Scene::SetUp, Step::Review, "77")
    );
    // Somebody else's change takes its place: the draft is about nothing any more.
    wizard.update(at_work(3, false));
    assert_eq!((wizard.scene(), wizard.kept.base.is_none()), (Scene::Menu, true));
}

#[test]
fn a_password_is_hashed_before_it_is_kept() {
    let mut wizard = at_a_fresh_box();
    wizard.go_to(Step::Password, 0);
    types(&mut wizard, "correct horse");
    presses(&mut wizard, &[Press::Enter]);
    types(&mut wizard, "correct horsf");
    presses(&mut wizard, &[Press::Enter, Press::Enter]);
    assert_eq!(
        (wizard.kept.step, wizard.focused()),
        (Step::Password, Some(Item::Field(Field::PasswordAgain)))
    );
    presses(&mut wizard, &[Press::Erase, Press::Char('e'), Press::Enter]);
    let effects = presses(&mut wizard, &[Press::Enter]);
    assert_eq!(asked(&effects), [&Ask::Hash(Typed("correct horse".into()))]);
    assert!(!serde_json::to_string(&wizard.kept).unwrap().contains("correct"));
    wizard.update(Intent::Hashed(Some("$argon2id$…".into())));
    assert_eq!((wizard.kept.step, wizard.secrets.len()), (Step::ThisBox, 0));
    assert!(wizard.judged.text.contains("[admin]\npassword = \"$argon2id$…\""), "{}", wizard.judged.text);
}
