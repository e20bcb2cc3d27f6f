//! `join`: shows a one-time code at the box that has the document, or joins that box by it. Who may join, and what it gets,
//! is the engine's to decide; this shows the code, asks how it goes on, and so keeps the code alive.

use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail};
use halcyon_core::control::{Joining, Request, Response};
use halcyon_core::join::code::Code;

use crate::engine::{ask, refusal};
use crate::terminal::clean;

/// Between two questions how it goes on.
const GLANCE: Duration = Duration::from_millis(500);

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Show a code.
    Open,
    /// Let it die.
    Close,
    /// Join by a code.
    By { code: Code, name: Option<String>, address: Option<String> },
}

impl Verb {
    /// What the words behind `join` say.
    ///
    /// # Errors
    /// When it cannot be a code, or there are other words.
    pub(crate) fn of(words: &[&str]) -> Result<Self> {
        match *words {
            ["open"] => return Ok(Self::Open),
            ["close"] => return Ok(Self::Close),
            [] => bail!(
                "join open shows a code at the box that has the document, join CODE takes it at the other one"
            ),
            _ => {}
        }
        let options = words.iter().position(|word| word.starts_with("--")).unwrap_or(words.len());
        let (code, mut options) = words.split_at(options);
        // People type what they read, with blanks or without.
        let code = Code::read(&code.concat())?;
        let (mut name, mut address) = (None, None);
        while let [option, value, rest @ ..] = options {
            let place = match *option {
                "--name" => &mut name,
                "--address" => &mut address,
                _ => break,
            };
            *place = Some((*value).to_owned());
            options = rest;
        }
        if let Some(strange) = options.first() {
            bail!("{strange} is not understood; as in join CODE --name pollux --address 192.168.0.238/24");
        }
        Ok(Self::By { code, name, address })
    }

    /// Whether it is for a box that has a document, and hands it out.
    pub(crate) fn changes(&self) -> bool {
        !matches!(self, Self::By { .. })
    }
}

pub(crate) fn run(verb: Verb, out: &mut dyn Write) -> Result<()> {
    match verb {
        Verb::Close => match ask(&Request::JoinClose)? {
            Response::Done(sentence) => Ok(writeln!(out, "{}", clean(&sentence))?),
            other => Err(refusal(other)),
        },
        Verb::Open => match ask(&Request::JoinOpen)? {
            Response::Code(code) => {
                writeln!(out, "At the other box: join {}", code.shown())?;
                out.flush()?;
                follow(out)
            }
            other => Err(refusal(other)),
        },
        Verb::By { code, name, address } => match ask(&Request::Join { code, name, address })? {
            Response::Done(_) => follow(out),
            other => Err(refusal(other)),
        },
    }
}

/// Tells all news until it is over.
fn follow(out: &mut dyn Write) -> Result<()> {
    let mut said = String::new();
    loop {
        let Joining { said: now, over, left } = match ask(&Request::JoinProgress) {
            Ok(Response::Joining(joining)) => joining,
            Ok(other) => return Err(refusal(other)),
            Err(_) if !said.is_empty() => {
                bail!("the engine begins anew: this box has not joined; \"logs\" tells why")
            }
            Err(error) => return Err(error),
        };
        match over {
            Some(true) => return Ok(writeln!(out, "{}", clean(&now))?),
            Some(false) => bail!("{now}"),
            None => {}
        }
        if now != said {
            let minutes =
                left.map(|left| format!(" (the code is good for {} more minutes)", left.div_ceil(60)));
            writeln!(out, "{}{}", clean(&now), minutes.unwrap_or_default())?;
            out.flush()?;
            said = now;
        }
        sleep(GLANCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_taken_as_it_is_typed_and_a_wrong_one_is_told_before_anybody_is_asked() {
        let code = Code::of(&[5; 72]);
        let shown = code.shown().to_lowercase();
        let (front, back) = shown.split_once('-').unwrap();
        let by = |words: &[&str]| Verb::of(words);
        let plain = Verb::By { code: code.clone(), name: None, address: None };
        assert_eq!(by(&[&shown]).unwrap(), plain);
        assert_eq!(by(&[front, back]).unwrap(), plain);
        let (name, address) = (Some("pollux".to_owned()), Some("192.0.2.2/24".to_owned()));
        let whole = by(&[front, back, "--address", "192.0.2.2/24", "--name", "pollux"]).unwrap();
        assert_eq!(whole, Verb::By { code, name, address });
        assert!(!whole.changes() && Verb::of(&["open"]).unwrap().changes());
        for wrong in [&[][..], &["opne"], &["--name", "x"], &[&shown, "--name"], &[&shown, "--nmae", "x"]] {
            assert!(Verb::of(wrong).is_err(), "{wrong:?}");
        }
    }
}
