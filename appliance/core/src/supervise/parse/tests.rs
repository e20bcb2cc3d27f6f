//! Unit files, right and wrong.

use super::*;
use crate::supervise::unit::{NOBODY, Restart};

fn files(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn problems(list: &[(&str, &str)]) -> Vec<String> {
    parse(&files(list)).1.iter().map(Problem::to_string).collect()
}

#[test]
fn every_promised_key_is_taken() {
    let text = r#"
        exec = ["/opt/pos/gateway", "--port", "8898"]
        after = ["engine"]
        notify = false
        restart = "on-failure"
        user = 1000
        capabilities = ["net_bind_service"]
        memory-max = "512M"
        environment = { LANG = "C.UTF-8" }
    "#;
    let (units, problems) = parse(&files(&[("gateway", text)]));
    assert_eq!(problems, []);
    let unit = &units[0];
    assert_eq!(unit.exec, ["/opt/pos/gateway", "--port", "8898"]);
    assert_eq!(unit.after, BTreeSet::from(["engine".to_owned()]));
    assert_eq!((unit.notify, unit.restart, unit.user), (false, Restart::OnFailure, 1000));
    assert_eq!(unit.capabilities.iter().map(ToString::to_string).collect::<Vec<_>>(), ["net_bind_service"]);
    assert_eq!(unit.memory_max, Some(512 << 20));
    assert_eq!(unit.environment["LANG"], "C.UTF-8");
}

#[test]
fn what_is_not_stated_is_the_least_privileged() {
    let (units, _) = parse(&files(&[("app", r#"exec = ["/bin/app"]"#)]));
    assert_eq!(units[0], Unit::new("app", vec!["/bin/app".to_owned()]));
    assert_eq!(units[0].user, NOBODY);
    assert!(units[0].capabilities.is_empty());
    assert_eq!(units[0].restart, Restart::Always);
}

#[test]
fn each_mistake_is_told_with_its_path_and_advice() {
    for (text, expected) in [
        ("", "app.toml: exec: missing; write the program and its arguments, e.g. [\"/opt/app/server\"]"),
        ("exec = []", "app.toml: exec: empty; write the program and its arguments"),
        ("exec = \"/bin/app\"", "app.toml: exec: string is not a list; write [\"…\"]"),
        ("exec = [\"app\"]", "app.toml: exec: \"app\" is not an absolute path; there is no search path"),
        ("exec = [\"/a\", 1]", "app.toml: exec[1]: integer is not a string; put it in quotes"),
        ("exec = [\"/a\"]\nexce = 1", "app.toml: exce: unknown key; remove it or correct its spelling"),
        (
            "exec = [\"/a\"]\nnotify = \"yes\"",
            "app.toml: notify: string is not a boolean; write true or false",
        ),
        (
            "exec = [\"/a\"]\nrestart = \"often\"",
            "app.toml: restart: \"often\" is none of always, on-failure, never; write one of them",
        ),
        ("exec = [\"/a\"]\nuser = -1", "app.toml: user: -1 is not a number from 0 to 4294967294; write one"),
        (
            "exec = [\"/a\"]\ncapabilities = [\"root\"]",
            "app.toml: capabilities[0]: the kernel has no capability \"root\"; write e.g. \"net_bind_service\"",
        ),
        (
            "exec = [\"/a\"]\nmemory-max = \"12X\"",
            "app.toml: memory-max: \"12X\" is not a size; write e.g. \"512M\" (K, M, G: powers of 1024)",
        ),
        (
            "exec = [\"/a\"]\nmemory-max = \"+5M\"",
            "app.toml: memory-max: \"+5M\" is not a size; write e.g. \"512M\" (K, M, G: powers of 1024)",
        ),
        (
            "exec = [\"/a\"]\nmemory-max = \"512K\"",
            "app.toml: memory-max: \"512K\" is less than 1M, in which no program can start; write more",
        ),
        (
            "exec = [\"/a\"]\nenvironment = { A = 1 }",
            "app.toml: environment.A: integer is not a string; put it in quotes",
        ),
        (
            "exec = [\"/a\"]\nafter = [\"engin\"]",
            "app.toml: after: there is no unit \"engin\"; write the name of a file in units/ without .toml",
        ),
        (
            "exec = [\"/a\"]\nafter = [\"app\"]",
            "app.toml: after: starts after itself, by way of the units it names; remove one of them",
        ),
        (
            "exec = [\"/a\"]\nheartbeat = \"1h\"",
            "app.toml: heartbeat: \"1h\" is not a time from 100ms to 3600s; write e.g. \"5s\"",
        ),
        (
            "exec = [\"/a\"]\nsockets = [{ kind = \"raw\", path = \"/run/a\" }]",
            "app.toml: sockets[0]: kind is neither \"datagram\" nor \"stream\"; write one of them",
        ),
    ] {
        assert_eq!(problems(&[("app", text)]), [expected], "{text}");
    }
}

#[test]
fn all_problems_of_all_files_come_at_once_and_good_files_stay() {
    let list = [
        ("bad", "exec = 1\nuser = \"root\"\ncolour = \"red\""),
        ("good", "exec = [\"/a\"]\nafter = [\"bad\"]"),
        ("ring-a", "exec = [\"/a\"]\nafter = [\"ring-b\"]"),
        ("ring-b", "exec = [\"/a\"]\nafter = [\"ring-a\"]"),
        ("torn", "exec = [\"/a\""),
    ];
    let (units, problems) = parse(&files(&list));
    assert_eq!(units.iter().map(|unit| unit.name.as_str()).collect::<Vec<_>>(), ["good"]);
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "bad.toml: colour",
            "bad.toml: exec",
            "bad.toml: user",
            "ring-a.toml: after",
            "ring-b.toml: after",
            "torn.toml: line 1"
        ]
    );
}

#[test]
fn a_unit_that_only_leads_into_a_cycle_is_kept() {
    let list = [
        ("app", "exec = [\"/a\"]\nafter = [\"ring-a\"]"),
        ("ring-a", "exec = [\"/a\"]\nafter = [\"ring-b\"]"),
        ("ring-b", "exec = [\"/a\"]\nafter = [\"ring-a\"]"),
    ];
    let (units, _) = parse(&files(&list));
    assert_eq!(units.iter().map(|unit| unit.name.as_str()).collect::<Vec<_>>(), ["app"]);
}

proptest::proptest! {
    #[test]
    fn no_text_panics_and_a_unit_is_given_only_without_a_problem(text in "(?s)[a-z\\-= \"\\[\\]{}/0-9\n]{0,200}") {
        let (units, problems) = parse(&files(&[("app", &text)]));
        proptest::prop_assert_eq!(units.is_empty(), !problems.is_empty());
    }
}
