//! Keys and signatures as an integrator makes them, with Debian's `minisign` as the independent other side where it is
//! installed.

#![expect(clippy::unwrap_used, reason = "the stage of a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use halcyon_core::config::seal::{Unsealed, verify};

const PAIR: &str = include_str!("../../../examples/pair.toml");

/// A directory of its own for each test, gone when it passed.
struct Desk(PathBuf);

impl Desk {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("halctl-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("halcyon.toml"), PAIR).unwrap();
        Self(path)
    }

    fn halctl(&self, arguments: &[&str]) -> Output {
        run(Command::new(env!("CARGO_BIN_EXE_halctl")).args(arguments).current_dir(&self.0), "")
    }

    /// `None` where the program is not installed.
    fn minisign(&self, arguments: &[&str], input: &str) -> Option<Output> {
        Command::new("minisign").arg("-v").output().ok()?;
        Some(run(Command::new("minisign").args(arguments).current_dir(&self.0), input))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    fn verified_by(&self, public: &str) -> Result<(), Unsealed> {
        let signature = self.read("halcyon.toml.minisig");
        verify(PAIR.as_bytes(), Some(&signature), &[self.read(public)]).map(drop)
    }
}

fn run(command: &mut Command, input: &str) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_key_pair_is_made_once_and_its_secret_half_is_the_owners_alone() {
    let desk = Desk::new("keygen");
    succeeded(&desk.halctl(&["keygen", "keys"]));
    assert_eq!(mode(&desk.0.join("keys/provision.key")), 0o600);
    let before = desk.read("keys/provision.key");

    let again = desk.halctl(&["keygen", "keys"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("is there already"));
    assert_eq!(desk.read("keys/provision.key"), before);
    fs::remove_dir_all(&desk.0).unwrap();
}

#[test]
fn what_halctl_signs_the_box_and_minisign_accept() {
    let desk = Desk::new("sign");
    succeeded(&desk.halctl(&["keygen", "keys"]));
    succeeded(&desk.halctl(&["sign", "-k", "keys/provision.key", "halcyon.toml"]));
    assert_eq!(desk.verified_by("keys/provision.pub"), Ok(()));
    if let Some(judged) = desk.minisign(&["-V", "-p", "keys/provision.pub", "-m", "halcyon.toml"], "") {
        succeeded(&judged);
    }
    fs::remove_dir_all(&desk.0).unwrap();
}

#[test]
fn what_minisign_signs_the_box_accepts_prehashed_and_legacy() {
    let desk = Desk::new("minisign");
    let Some(made) = desk.minisign(&["-G", "-W", "-p", "m.pub", "-s", "m.key"], "") else { return };
    succeeded(&made);
    for form in [&["-S"][..], &["-S", "-l"], &["-S", "-H"]] {
        let arguments = [form, &["-s", "m.key", "-m", "halcyon.toml", "-t", "by minisign"]].concat();
        succeeded(&desk.minisign(&arguments, "").unwrap());
        assert_eq!(desk.verified_by("m.pub"), Ok(()), "{form:?}");
    }
    succeeded(&desk.halctl(&["sign", "--key", "m.key", "halcyon.toml"]));
    assert_eq!(desk.verified_by("m.pub"), Ok(()), "signed by halctl with minisign's key");

    succeeded(&desk.halctl(&["keygen", "."]));
    succeeded(&desk.minisign(&["-S", "-s", "provision.key", "-m", "halcyon.toml"], "").unwrap());
    assert_eq!(desk.verified_by("provision.pub"), Ok(()), "signed by minisign with halctl's key");
    assert!(matches!(desk.verified_by("m.pub"), Err(Unsealed::UnknownKey { .. })));
    fs::remove_dir_all(&desk.0).unwrap();
}

#[test]
fn a_key_with_a_password_is_asked_for_it() {
    let desk = Desk::new("password");
    let make = ["-G", "-p", "m.pub", "-s", "m.key"];
    let Some(made) = desk.minisign(&make, "open sesame\nopen sesame\n") else { return };
    succeeded(&made);
    let sign = |password: &str| {
        let mut halctl = Command::new(env!("CARGO_BIN_EXE_halctl"));
        run(halctl.args(["sign", "-k", "m.key", "halcyon.toml"]).current_dir(&desk.0), password)
    };
    let wrong = sign("open barley\n");
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("the password is wrong"));
    assert!(!desk.0.join("halcyon.toml.minisig").exists());
    succeeded(&sign("open sesame\n"));
    assert_eq!(desk.verified_by("m.pub"), Ok(()));
    fs::remove_dir_all(&desk.0).unwrap();
}

#[test]
fn a_document_is_checked_with_all_its_problems() {
    let desk = Desk::new("check");
    succeeded(&desk.halctl(&["check", "halcyon.toml"]));
    fs::write(desk.0.join("bad.toml"), PAIR.replace("8898", "0").replace("\"rr\"", "\"random\"")).unwrap();
    let refused = desk.halctl(&["check", "bad.toml"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8(refused.stdout).unwrap();
    let paths: Vec<&str> = told.lines().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
    assert_eq!(paths, ["service[0].port", "service[0].scheduler"]);
    assert!(String::from_utf8(refused.stderr).unwrap().contains("bad.toml has 2 problems"));
    assert_eq!(desk.halctl(&["check", "absent.toml"]).status.code(), Some(1));

    let planned = desk.halctl(&["plan", "bad.toml", "--member", "castor"]);
    assert_eq!(planned.status.code(), Some(1));
    assert!(planned.stdout.is_empty(), "what is read by programs holds plans only");
    fs::remove_dir_all(&desk.0).unwrap();
}
