//! What is behind the admin password, and the life of a box from its set-up to a change that is kept.

use super::*;

fn behind_a_password() -> Seen {
    let mut seen = at_work();
    seen.status.password = true;
    seen
}

const IN_FORCE: &str = include_str!("../../../../examples/pair.toml");

#[test]
fn every_screen_behind_the_password() {
    let mut person = Person::before(Charset::Utf8);
    person.learn(behind_a_password());
    insta::assert_snapshot!("dashboard-with-menu", person.screen());
    person.types("m");
    person.types("hunter2");
    insta::assert_snapshot!("unlock", person.screen());
    assert!(!person.screen().contains("hunter2"), "it is never shown");
    person.types("\n");
    person.hand(Intent::Answered(Ok(Response::Refused("that is not the admin password".into()))));
    person.sees("! that is not the admin password");
    person.types("hunter3\n");
    person.hand(Intent::Answered(Ok(Response::Done("unlocked".into()))));
    insta::assert_snapshot!("menu", person.screen());
    person.types("5");
    insta::assert_snapshot!("sure", person.screen());
}

#[test]
fn a_change_shows_the_difference_and_no_secret() {
    let mut person = Person::before(Charset::Utf8);
    person.learn(behind_a_password());
    person.types("mx\n");
    person.hand(Intent::Answered(Ok(Response::Done("unlocked".into()))));
    person.types("1");
    let secret = IN_FORCE.replacen("version = 3", "version = 2\nauthentication = \"hidden!\"", 1).replacen(
        "\"100ms\"",
        "\"1s\"",
        1,
    );
    person.hand(Intent::Answered(Ok(Response::Text(secret))));
    for step in 0.. {
        assert!(step < 40, "there is no review:\n{}", person.screen());
        if person.screen().contains("Try it") {
            break;
        }
        if person.screen().contains("Router id") {
            person.types("\t<<<77");
        }
        for _ in 0..12 {
            if !person.screen().contains("›Continue‹") {
                person.types("\t");
            }
        }
        person.types("\n");
    }
    insta::assert_snapshot!("change-review", person.screen());
    person.effects();
    person.types("\n");
    let effects = person.effects();
    let document = effects.iter().find_map(|effect| match effect {
        Effect::Ask(Ask::Engine(Request::SetUp { document, .. })) => Some(document.clone()),
        _ => None,
    });
    let document = document.unwrap_or_else(|| panic!("{effects:?}\n{}", person.screen()));
    assert!(document.contains("authentication = \"hidden!\"") && document.contains("revision = 2"));
    assert!(!person.screen().contains("hidden!"));
}

/// The whole life of a box by keys: set up with a password, kept, changed, and kept again.
#[test]
fn what_was_set_up_here_is_changed_here() {
    let mut person = Person::at_a_fresh_box(Charset::Ascii);
    person.types("\t\n");
    person.sees("step 2 of 10");
    person.types("12345678\n12345679\n\n");
    person.sees("the two are not the same");
    person.sees("it can be guessed");
    let clear = |person: &mut Person| {
        person.runner.on_event(Event::CtrlChar('u'));
    };
    clear(&mut person);
    person.types("correct horse battery\n");
    clear(&mut person);
    person.types("correct horse battery\n\n");
    let hash = halcyon_core::config::types::PasswordHash::make("correct horse battery", &[7; 16]);
    person.hand(Intent::Hashed(hash.map(|hash| hash.to_string())));
    person.sees("step 3 of 10");
    for (_, keys) in SET_UP.iter().skip(2) {
        person.types(keys);
    }
    person.sees("password = \"(not shown)\"");
    person.effects();
    person.types("\n");
    let document = person.effects().iter().find_map(|effect| match effect {
        Effect::Ask(Ask::Engine(Request::SetUp { document, .. })) => Some(document.clone()),
        _ => None,
    });
    let trial = |revision| {
        let mut seen = behind_a_password();
        (seen.status.on_trial, seen.status.trial_left, seen.status.revision) = (true, Some(9), revision);
        seen
    };
    person.hand(Intent::Answered(Ok(Response::Done("on trial".into()))));
    person.learn(trial(1));
    person.types("\n");
    person.hand(Intent::Answered(Ok(Response::Done("kept".into()))));
    person.learn(behind_a_password());
    person.types("m");
    person.sees("Admin password");
    person.types("correct horse battery\n");
    person.hand(Intent::Answered(Ok(Response::Done("unlocked".into()))));
    person.sees("Change the configuration");
    person.types("1");
    person.hand(Intent::Answered(Ok(Response::Text(document.expect("it was asked for")))));
    for (step, keys) in
        [(1, "\n\n\n"), (2, "\n\n"), (3, "\n\n\n"), (4, "\n\n\n"), (5, "\n\n\n\n\n"), (6, "\n\n\n")]
    {
        person.sees(&format!("step {step} of 8"));
        person.types(keys);
    }
    person.presses(Key::Right);
    person.types("\n\n\n\n\n\n");
    person.sees("step 7 of 8");
    person.types("\n\n");
    person.sees("step 8 of 8");
    person.sees("+scheduler = \"wrr\"");
    person.types("\n");
    person.hand(Intent::Answered(Ok(Response::Done("on trial".into()))));
    person.learn(trial(2));
    person.sees("seconds left");
    person.types("\n");
    person.hand(Intent::Answered(Ok(Response::Done("kept".into()))));
    let mut after = behind_a_password();
    after.status.revision = 2;
    person.learn(after);
    person.sees("Change the configuration");
    person.presses(Key::Esc);
    person.sees("document revision 2,");
}
