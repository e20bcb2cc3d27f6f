//! `sign`: a minisign signature beside the document. A document with problems is signed all the same, and they are
//! told: the box will refuse it.

use std::fs::{self, File};
use std::io::{self, Cursor, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use ct_codecs::{Base64, Decoder};
use halcyon_core::config::check::check_bytes;
use minisign::{SecretKey, SecretKeyBox};

pub(crate) fn run(key: &Path, file: &Path, out: &mut dyn Write) -> Result<()> {
    let document = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    if let Err(problems) = check_bytes(&document) {
        let few = problems.len() == 1;
        eprintln!(
            "halctl: {} has {} problem{}, so boxes will refuse it; `halctl check` tells {}",
            file.display(),
            problems.len(),
            if few { "" } else { "s" },
            if few { "it" } else { "them" },
        );
    }
    let secret = secret_key(key)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let comment = format!("timestamp:{now}\tfile:{name}\thashed");
    let signature =
        minisign::sign(None, &secret, Cursor::new(document), Some(&comment), Some("signature of halctl"))
            .map_err(|error| anyhow!("{} cannot be signed: {error}", file.display()))?;
    let target = signature_path(file);
    write_whole(&target, &signature.to_string())?;
    writeln!(out, "{}: put it on the volume beside {name}", target.display())?;
    Ok(())
}

/// Replaces the signature in one step, so that nobody meets half of it.
fn write_whole(target: &Path, text: &str) -> Result<()> {
    let mut unfinished = target.as_os_str().to_owned();
    unfinished.push(".tmp");
    let write = || {
        let mut file = File::create(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, target)
    };
    write().with_context(|| format!("{} cannot be written", target.display()))
}

/// `FILE.minisig`, which is where the minisign tool writes it too.
fn signature_path(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".minisig");
    path.into()
}

/// Reads a secret key; asks for its password when it has one.
fn secret_key(path: &Path) -> Result<SecretKey> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    if let Some(key) = unsummed(&text) {
        return Ok(key);
    }
    let secret = || SecretKeyBox::from_string(text.trim_end()).map_err(|error| anyhow!("{error}"));
    if let Ok(key) = secret()?.into_unencrypted_secret_key() {
        return Ok(key);
    }
    let password = if io::stdin().is_terminal() {
        None // minisign asks on the terminal, without echo
    } else {
        let mut line = String::new();
        io::stdin().read_line(&mut line).context("the password cannot be read")?;
        Some(line.trim_end_matches(['\r', '\n']).to_owned())
    };
    secret()?.into_secret_key(password).map_err(|error| {
        anyhow!("{} is no minisign secret key, or the password is wrong: {error}", path.display())
    })
}

/// A key without a password as the minisign tool 0.11 writes it (`-W`): it leaves the 32 bytes of the checksum zero,
/// which the minisign crate takes for damage.
fn unsummed(text: &str) -> Option<SecretKey> {
    const LENGTH: usize = 158;
    const NO_PASSWORD: &[u8] = &[0, 0];
    let bytes = Base64::decode_to_vec(text.lines().nth(1)?, None).ok()?;
    let as_written = bytes.len() == LENGTH
        && bytes.starts_with(b"Ed")
        && &bytes[2..4] == NO_PASSWORD
        && bytes[LENGTH - 32..].iter().all(|byte| *byte == 0);
    as_written.then(|| SecretKey::from_bytes(&bytes).ok()).flatten()
}
