//! A password in a document leaves by no output but the document itself: it is planted, and everything that a box says of
//! a document, good or bad, is searched for it.

use std::collections::BTreeMap;

use halcyon_core::config::check::{check, check_bytes, check_kept};
use halcyon_core::config::difference::difference;
use halcyon_core::config::redact::redacted;
use halcyon_core::config::seal::{Current, digest};
use halcyon_core::config::types::PasswordHash;
use halcyon_core::moment::Moment;
use halcyon_core::node::Node;
use halcyon_core::plan::{View, plan};
use halcyon_kernel::Counters;
use halcyond::metrics;
use halcyond::provision::Document;
use halcyond::status::{Facts, status};

const SECRET: &str = "pl4nted!";
/// The salt of the hash that is planted, and what stands for it there (base64).
const SALTED: &[u8; 16] = b"pl4nted!pl4nted!";
const SALT: &str = "cGw0bnRlZCFwbDRudGVkI";
const PAIR: &str = include_str!("../../../examples/pair.toml");

fn document() -> String {
    let hash = PasswordHash::make("whatever", SALTED).expect("it is short");
    format!("{}\n[admin]\npassword = \"{hash}\"\n", with_router())
}

fn with_router() -> String {
    let router = format!("version = 2\nauthentication = \"{SECRET}\"");
    PAIR.replacen("version = 3", &router, 1).replacen("\"100ms\"", "\"1s\"", 1)
}

/// Documents that are wrong where the secret stands, or near.
fn broken() -> Vec<String> {
    let good = document();
    let quoted = format!("\"{SECRET}\"");
    let instead = |text: &str| good.replacen(&quoted, text, 1);
    vec![
        instead(&format!("\"{SECRET}{SECRET}\"")),
        instead(&format!("\"{SECRET}")),
        instead(&format!("{SECRET}\"")),
        instead(&format!("[\"{SECRET}\"]")),
        instead(&format!("{{ x = \"{SECRET}\" }}")),
        instead(&format!("\"{SECRET}\" {SECRET}")),
        instead(&format!("\"{SECRET}\"\nauthentication = \"{SECRET}\"")),
        instead(&format!("\"\\q{SECRET}\"")),
        good.replacen("authentication", "authentification", 1),
        good.replacen("version = 2", "version = 3", 1),
        format!("{}\n[admin]\npassword = \"{SECRET}\"\n", with_router()),
        good.replacen("argon2id", "argon2i", 1),
        good.replacen("password = \"", "password = \"!", 1),
        format!("{good}\n[mail]\napi-token = \"{SECRET}\"\n"),
    ]
}

fn clean(what: &str, text: &str) {
    assert!(!text.contains(SECRET) && !text.contains(SALT), "{what}:\n{text}");
}

#[test]
fn a_secret_leaves_by_no_output_but_the_document() {
    let text = document();
    let config = check(&text).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert!(text.contains(SALT), "{text}");
    clean("the configuration, for debugging", &format!("{:?}", config.admin));
    clean("config show", &redacted(text.as_bytes()));
    let before = text.replacen(SECRET, "0ther!!!", 1).replacen("revision = 1", "revision = 0", 1);
    let changed = difference(&redacted(before.as_bytes()), &redacted(text.as_bytes()));
    assert!(changed.contains("revision"), "{changed}");
    clean("config diff", &changed);
    for member in config.members.keys() {
        clean("plan", &format!("{:#?}", plan(&config, member, &View::default())));
    }
    let mark = Current { revision: 1, sha256: digest(text.as_bytes()) };
    let kept = Document {
        config: config.clone(),
        bytes: text.into(),
        signature: Vec::new(),
        mark,
        unknown: Vec::new(),
    };
    let mut node = Node::new(1);
    let me = config.members.keys().next().expect("a pair has members").clone();
    node.configure(config, me, Moment::ZERO);
    let (plan, alarms) = (node.plan(), vec!["an alarm".to_owned()]);
    let facts = Facts {
        document: Some((&kept, 1)),
        unconfigured: None,
        plan: &plan,
        entered: &BTreeMap::new(),
        counters: Counters::default(),
        unmet: &[],
        reconciled: true,
        store: "",
        trial_left: None,
        alarms,
        clock: None,
        kernel_writes: 0,
        uptime: 0,
        image: ("", ""),
    };
    let status = status(&node, &facts);
    clean("status", &serde_json::to_string(&status).expect("a status is JSON"));
    clean("metrics", &metrics::render(&status));
}

#[test]
fn what_is_wrong_with_a_document_is_told_without_its_secret() {
    for text in broken() {
        let problems = check_bytes(text.as_bytes()).expect_err("it is wrong");
        // These go to the log, to the console, to status as alarms, and to the report tty.
        problems.iter().for_each(|problem| clean("a problem", &problem.to_string()));
        if let Ok((_, unknown)) = check_kept(text.as_bytes()) {
            unknown.iter().for_each(|problem| clean("an alarm", &problem.to_string()));
        }
        clean("config show", &redacted(text.as_bytes()));
    }
}
