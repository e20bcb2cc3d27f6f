//! `keygen`: a provisioning key pair in minisign's own form, without a password, as automation needs it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use minisign::KeyPair;

/// The secret half's file.
const SECRET: &str = "provision.key";
/// The public half's file, which the image is built with.
const PUBLIC: &str = "provision.pub";

pub(crate) fn run(dir: &Path, out: &mut dyn Write) -> Result<()> {
    let (secret, public) = (dir.join(SECRET), dir.join(PUBLIC));
    for path in [&secret, &public] {
        if path.try_exists().with_context(|| format!("{} cannot be looked at", path.display()))? {
            bail!("{} is there already and is left as it is; name another directory", path.display());
        }
    }
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let pair = KeyPair::generate_unencrypted_keypair().context("no key pair could be made")?;
    let secret_box = pair.sk.to_box(Some("halcyon provisioning key")).context("the key has no text form")?;
    let public_box = pair.pk.to_box().context("the key has no text form")?;
    write_new(&secret, 0o600, &secret_box.to_string())?;
    write_new(&public, 0o644, &public_box.to_string())?;
    writeln!(
        out,
        "{}: keep it; who has it configures the boxes\n{}: build the image with it (PROVISION_PUBKEY)",
        secret.display(),
        public.display()
    )?;
    Ok(())
}

/// Writes a file that must not be there yet, readable as `mode` says from its first moment.
fn write_new(path: &Path, mode: u32, text: &str) -> Result<()> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.trim_end().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}
