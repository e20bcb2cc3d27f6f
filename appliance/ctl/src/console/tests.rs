//! The line as a person types at it.

use super::*;

fn typed(power: Power, keys: &[u8]) -> String {
    let mut console = Console { line: Line::default(), pasting: None, question: None, headline: None, power };
    let mut out = Vec::new();
    console.take(keys, true, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn an_unknown_verb_is_one_clear_line() {
    assert_eq!(
        typed(Power::View, b"sh -c id\n"),
        "sh -c id\nthere is no verb \"sh\"; \"help\" lists the verbs\nhalctl> "
    );
}

#[test]
fn a_console_without_a_password_only_shows() {
    let config =
        ["config confirm", "config rollback 1", "config apply /tmp/x", "config apply -", "key rotate"];
    for verb in ["failover", "failover release", "reboot", "poweroff"].into_iter().chain(config) {
        let shown = typed(Power::View, format!("{verb}\n").as_bytes());
        assert!(shown.contains("this console only shows, for no admin password was given"), "{shown}");
    }
    for verb in [&b"failover\n"[..], b"failover release\n"] {
        let shown = typed(Power::Full, verb);
        assert!(!shown.contains("only shows") && !shown.contains("does not take that"), "{shown}");
    }
}

#[test]
fn a_pasted_document_is_not_echoed_and_the_line_comes_back() {
    let shown = typed(Power::Full, b"config apply -\nauthentication = \"1111\"\n.\nhelp\n");
    assert!(!shown.contains("1111"), "{shown}");
    assert!(shown.contains("there is no signature behind the document"), "{shown}");
    assert!(shown.ends_with(&format!("{HELP}\n{PROMPT}")), "{shown}");
    let given_up = typed(Power::Full, b"config apply - --confirm-within 60s\nx\x03");
    assert!(given_up.ends_with(&format!("nothing was done\n{PROMPT}")), "{given_up}");
}

#[test]
fn a_reset_takes_another_word_and_any_other_line_is_no() {
    let shown = typed(Power::View, b"factory-reset\nstatus\nhelp\n");
    assert!(shown.contains("Type forget to start as new: status\n"), "{shown}");
    assert!(shown.contains("that was not \"forget\"; nothing was done\nhalctl> help"), "{shown}");
    let shown = typed(Power::View, b"factory-reset\n\x03help\n");
    assert!(shown.contains("^C\nhalctl> help\n") && !shown.contains("nothing was done"), "{shown}");
}

#[test]
fn a_verb_with_words_too_many_is_told_so() {
    assert!(typed(Power::Full, b"reboot now\n").contains("reboot does not take that"));
    assert!(typed(Power::Full, b"failover castor\n").contains("failover does not take that"));
    assert!(typed(Power::View, b"logs all\n").contains("logs takes a number"));
    assert!(typed(Power::View, b"help\n").contains("poweroff"));
}

/// Line noise in any amount leaves a console that answers.
#[test]
fn after_any_noise_the_console_answers() {
    let mut seed = 0x0417_u64;
    for _ in 0..300 {
        let mut console = Console {
            line: Line::default(),
            pasting: None,
            question: None,
            headline: None,
            power: Power::View,
        };
        let mut noise = Vec::new();
        for _ in 0..seed % 2000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            noise.push((seed >> 56) as u8);
        }
        seed = seed.rotate_left(7) ^ 0x9e37;
        console.take(&noise, true, &mut io::sink()).unwrap();
        let mut out = Vec::new();
        console.take(b"\x1b\x1b[A\x03help\n", true, &mut out).unwrap();
        let shown = String::from_utf8(out).unwrap();
        assert!(shown.contains("the newest lines of the log") && shown.ends_with(PROMPT), "{shown:?}");
    }
}
