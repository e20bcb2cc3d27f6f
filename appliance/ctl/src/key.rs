//! `key`: shows the public half of the key that signs this box's records, and has a new one made. Both are the engine's.

use std::io::Write;

use anyhow::Result;
use halcyon_core::control::{Request, Response};

use crate::engine::{ask, refusal};
use crate::terminal::clean;

/// What is done with the device key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Subcommand)]
pub(crate) enum Verb {
    /// Show the device id, and the public key with its fingerprint
    Show,
    /// Make a new key, which the present one vouches for
    Rotate,
}

pub(crate) fn run(verb: Verb, out: &mut dyn Write) -> Result<()> {
    let request = match verb {
        Verb::Show => Request::KeyShow,
        Verb::Rotate => Request::KeyRotate,
    };
    match ask(&request)? {
        Response::Text(text) => {
            text.lines().try_for_each(|line| writeln!(out, "{}", clean(line))).map_err(Into::into)
        }
        Response::Done(sentence) => Ok(writeln!(out, "{}", clean(&sentence))?),
        other => Err(refusal(other)),
    }
}
