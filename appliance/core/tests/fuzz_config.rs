//! No bytes make the checker panic, leave a refusal unexplained or let a configuration through that contradicts itself.
//! [`fuzz`] is a plain function of bytes, so a coverage-guided fuzzer can drive it too; here a seeded generator does.

mod chance;

use chance::Chance;
use halcyon_core::config::check::{LARGEST, check, check_bytes};
use halcyon_core::config::{Config, seal};
use halcyon_core::plan::{View, plan};

const PAIR: &str = include_str!("../../../examples/pair.toml");
const CASES: u32 = 20_000;
const SEED: u64 = 0x5eed_0417;

/// What may be written in place of anything.
const WORDS: [&str; 40] = [
    "0",
    "-1",
    "1",
    "255",
    "256",
    "65536",
    "9223372036854775808",
    "1.5",
    "nan",
    "true",
    "\"\"",
    "\"lan\"",
    "\"castor\"",
    "\"pollux\"",
    "[]",
    "{}",
    "[[]]",
    "[\"192.168.0.239/24\"]",
    "\"192.168.0.239\"",
    "\"0s\"",
    "\"99999999999h\"",
    "1979-05-27",
    "[[member]]",
    "[[vrrp]]",
    "[[service]]",
    "[[service.server]]",
    "[observe]",
    "[cluster]",
    "name",
    "member",
    "address",
    "port",
    "=",
    ".",
    "\n",
    "#",
    "'''",
    "\"\"\"",
    "\\u0000",
    "ä€🙂",
];

fn fuzz(data: &[u8]) {
    match check_bytes(data) {
        Ok(config) => sound(&config),
        Err(problems) => {
            assert!(!problems.is_empty(), "a refusal without a reason");
            for problem in problems {
                let complete =
                    [&problem.path, &problem.what, &problem.fix].iter().all(|part| !part.is_empty());
                assert!(complete, "{problem:?}");
                assert!(!problem.to_string().contains('\n'), "{problem:?} is more than one line");
            }
        }
    }
}

/// What the planner takes for granted.
fn sound(config: &Config) {
    for service in config.services.values() {
        let router = config
            .vrrp
            .values()
            .find(|router| router.addresses.iter().any(|own| own.address() == service.address))
            .expect("a service's address is a virtual router's");
        assert!(service.servers.values().any(|server| server.weight.0 > 0));
        for server in service.servers.values() {
            let Some(name) = &server.member else { continue };
            let member = &config.members[name];
            let own = &member.interfaces[&router.id.interface].addresses;
            assert!(member.real_server && own.iter().any(|own| own.address() == server.address));
        }
    }
    for router in config.vrrp.values() {
        assert!(!router.addresses.is_empty() && !router.priorities.is_empty());
        assert!(router.priorities.keys().all(|name| config.members[name].director));
    }
    for name in config.members.keys() {
        plan(config, name, &View::default());
    }
}

#[test]
fn mutated_documents_are_taken_or_refused_with_reasons() {
    let mut chance = Chance(SEED);
    let (mut taken, mut refused) = (0, 0);
    for case in 0..CASES {
        let document = mutated(&mut chance);
        let before = std::panic::catch_unwind(|| fuzz(&document));
        assert!(before.is_ok(), "case {case} of seed {SEED:#x}:\n{}", String::from_utf8_lossy(&document));
        match check_bytes(&document) {
            Ok(_) => taken += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(
        taken > CASES / 100 && refused > CASES / 4,
        "{taken} taken, {refused} refused: the mutations are lopsided"
    );
}

#[test]
fn any_bytes_are_refused_with_reasons() {
    let mut chance = Chance(SEED);
    for _ in 0..CASES {
        let length = chance.below(200);
        let bytes: Vec<u8> = (0..length).map(|_| chance.next() as u8).collect();
        fuzz(&bytes);
        let trusted = [String::from_utf8_lossy(&bytes).into_owned()];
        assert!(seal::verify(&bytes, Some(&trusted[0]), &trusted).is_err());
    }
}

/// Shapes that cost a careless reader its stack or its patience.
#[test]
fn hostile_shapes_are_refused() {
    let n = 200_000;
    for document in [
        "[".repeat(n),
        format!("a = {}", "[".repeat(n)),
        format!("a = {}", "{a=".repeat(n)),
        format!("a{} = 1", ".a".repeat(n)),
        format!("[a{}]", ".a".repeat(n)),
        format!("[[a{}]]", ".a".repeat(n)),
        "[[member]]\n".repeat(60_000),
        format!("{PAIR}\n{}", "[[service]]\n".repeat(60_000)),
        format!("{PAIR}\n{} = 1", "k".repeat(n)),
        format!("{PAIR}\n\"{}\" = 1", "🙂".repeat(n / 4)),
        "#".repeat(LARGEST + 1),
    ] {
        assert!(check(&document).is_err());
        fuzz(document.as_bytes());
    }
}

fn mutated(chance: &mut Chance) -> Vec<u8> {
    let mut lines: Vec<String> = PAIR.lines().map(str::to_owned).collect();
    for _ in 0..=chance.below(3) {
        let at = chance.below(lines.len());
        match chance.below(7) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[chance.below(lines.len())].clone()),
            2 => {
                let other = chance.below(lines.len());
                lines.swap(at, other);
            }
            3 | 4 => {
                let key = lines[at].split('=').next().unwrap_or_default().to_owned();
                lines[at] = format!("{key}= {}", word(chance));
            }
            5 => lines.insert(at, format!("{} = {}", word(chance), word(chance))),
            _ => lines[at] = format!("# {}", lines[at]),
        }
    }
    let mut bytes = lines.join("\n").into_bytes();
    if chance.below(4) == 0 {
        for _ in 0..=chance.below(4) {
            let at = chance.below(bytes.len());
            bytes[at] ^= 1 << chance.below(8);
        }
    }
    bytes
}

fn word(chance: &mut Chance) -> &'static str {
    WORDS[chance.below(WORDS.len())]
}
