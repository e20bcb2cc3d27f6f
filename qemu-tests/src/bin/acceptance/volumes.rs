//! Provisioning volumes: good ones by another signer's hand, and bad ones, each refused with its reason.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use halcyon_qemu_tests::pair::{BOOTS_WITHIN, Pair};
use halcyon_qemu_tests::vm::hardware::{Access, Bus, Disk};
use halcyon_qemu_tests::volume;
use halcyon_qemu_tests::wording::Wording;

use crate::case::{Case, Story, ensure};

/// The cases of this file.
pub(crate) const CASES: &[Case] = &[
    Case { name: "volumes::refused", machines: 1, tell: refused },
    Case { name: "volumes::debian_minisign", machines: 1, tell: debian_minisign },
];

const DOCUMENT: &str = "halcyon.toml";
const SIGNATURE: &str = "halcyon.toml.minisig";

/// One box per bad volume: it must say why on the report tty and on the console, and stay unconfigured.
fn refused(story: &mut Story) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        let stick = story.logs.join("stick.img");
        let document = pair.cluster.document(&pair.wording);
        let good = sign(story, pair, &document, &pair.image.key.clone())?;
        pair.image.halctl(&["keygen", &story.logs.join("foreign").to_string_lossy()])?;
        let foreign_key = key_in(&story.logs.join("foreign"))?;
        let foreign = sign(story, pair, &document, &foreign_key)?;
        let broken = document.replace("schema = 1", "schema = [");
        let wrong = document.replace("[cluster]", "[cluster]\nstrom = \"weights\"");
        let cases: [(&str, &str, Option<String>); 5] = [
            ("unsigned", &document, None),
            ("signed by a foreign key", &document, Some(foreign)),
            ("cut short after it was signed", &document[..document.len() / 2], Some(good.clone())),
            ("not TOML", &broken, Some(sign(story, pair, &broken, &pair.image.key.clone())?)),
            ("with an unknown key", &wrong, Some(sign(story, pair, &wrong, &pair.image.key.clone())?)),
        ];
        for (what, text, signature) in cases {
            let mut files = vec![(DOCUMENT, text.as_bytes())];
            files.extend(signature.as_deref().map(|signature| (SIGNATURE, signature.as_bytes())));
            volume::write(&stick, &files)?;
            is_refused(story, pair, &stick, what)?;
        }
        volume::write(&stick, &[(DOCUMENT, document.as_bytes()), (SIGNATURE, good.as_bytes())])?;
        // The label is in the first sector, the root directory behind it is gone.
        std::fs::OpenOptions::new().write(true).open(&stick)?.set_len(1024)?;
        is_refused(story, pair, &stick, "on a truncated volume")
    })
}

fn is_refused(story: &mut Story, pair: &mut Pair, stick: &Path, what: &str) -> Result<()> {
    story.step(&format!("a document {what} is refused, and told why"), |story| {
        pair.boxes[0].hardware.disks =
            vec![Disk { file: stick.to_owned(), bus: Bus::Virtio, access: Access::Read }];
        pair.power_on(0)?;
        let machine = pair.boxes[0].machine()?;
        let event = machine.report.expect("a refusal", BOOTS_WITHIN, |event| {
            event.kind() == "config" && event.event["refused"].as_array().is_some_and(|list| !list.is_empty())
        })?;
        let reason = event.event["refused"][0].as_str().unwrap_or_default().to_owned();
        ensure(event.text("source") == "volume", || event.event.to_string())?;
        let ready = machine.report.expect("ready", BOOTS_WITHIN, |event| event.kind() == "ready")?;
        ensure(ready.event["unconfigured"] == true, || ready.event.to_string())?;
        // A console folds long lines: a few words are enough to find the sentence.
        let words: Vec<_> = reason.split_whitespace().take(3).collect();
        machine.console.expect(&words.join(" "), Duration::from_secs(20))?;
        pair.cut_power(0);
        story.note(reason);
        Ok(())
    })
}

/// The signature of Debian's own minisign is as good as halctl's.
fn debian_minisign(story: &mut Story) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        story.step("a document signed by Debian's minisign is taken", |story| {
            let document = pair.cluster.document(&pair.wording);
            let file = story.logs.join(DOCUMENT);
            std::fs::write(&file, &document)?;
            let status = Command::new("minisign")
                .arg("-S")
                .arg("-s")
                .arg(&pair.image.key)
                .arg("-m")
                .arg(&file)
                .status();
            ensure(status.context("starting minisign; install the package minisign")?.success(), || {
                "minisign cannot sign with the development key".into()
            })?;
            let signature = std::fs::read(story.logs.join(SIGNATURE)).context("minisign's signature")?;
            let stick = story.logs.join("stick.img");
            volume::write(&stick, &[(DOCUMENT, document.as_bytes()), (SIGNATURE, &signature)])?;
            pair.boxes[0].hardware.disks = vec![Disk { file: stick, bus: Bus::Usb, access: Access::Read }];
            pair.power_on(0)?;
            pair.wait_ready(0)
        })
    })
}

fn sign(story: &Story, pair: &Pair, text: &str, key: &Path) -> Result<String> {
    pair.image.sign(text, key, &story.logs)
}

/// The secret key that `halctl keygen` put into a directory.
fn key_in(directory: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(directory).context("the key's directory")?;
    let mut keys = entries.filter_map(|entry| Some(entry.ok()?.path()));
    keys.find(|path| path.extension().is_some_and(|extension| extension == "key"))
        .context("keygen made no *.key")
}
