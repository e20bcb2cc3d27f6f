//! Who may ask this unit for what, and the conversation with them. The work is others'.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use halcyon_core::disk::control::{Answer, Request};
use halcyon_core::supervise::control::Request as Going;
use rustix::net::sockopt;

use super::{Start, install, power, survey};

/// The user that the consoles run as.
const CONSOLE: u32 = 902;

/// The engine keeps the document in force here.
const CONFIGURED: &str = "/run/halcyon/config";

/// Bytes of a request.
const LONGEST: u64 = 4096;

/// How long a peer may take to say what it wants or to take an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// One at a time.
static INSTALLING: AtomicBool = AtomicBool::new(false);

/// Talks with one peer until it is answered.
pub(super) fn converse(mut peer: UnixStream, start: &Start) {
    let Ok(credentials) = sockopt::socket_peercred(&peer) else { return };
    let limits = peer.set_read_timeout(Some(PATIENCE)).and_then(|()| peer.set_write_timeout(Some(PATIENCE)));
    let Ok(reader) = limits.and_then(|()| peer.try_clone()) else { return };
    let mut line = String::new();
    if BufReader::new(reader.take(LONGEST)).read_line(&mut line).is_err() {
        return;
    }
    let answer = match serde_json::from_str::<Request>(&line) {
        Err(error) => Answer::Refused(format!("the request is not understood: {error}")),
        Ok(request) => match forbidden(
            &request,
            credentials.uid.as_raw(),
            &start.parameters,
            Path::new(CONFIGURED).exists(),
        ) {
            Some(why) => Answer::Refused(why.to_owned()),
            None => carry_out(&request, start, &mut peer),
        },
    };
    // Whoever has gone does not need it; a person who left during an installation finds it in the log.
    send(&mut peer, &answer);
    if let Answer::Done(sentence) = &answer {
        eprintln!("{sentence}");
    }
}

fn send(peer: &mut UnixStream, answer: &Answer) {
    let mut line = serde_json::to_string(answer).expect("an answer has string keys and whole numbers");
    line.push('\n');
    let _ = peer.write_all(line.as_bytes());
}

/// Looking is free. What writes is for root, and for whoever is at a console that may change things, or of a box that
/// nobody has configured yet: there is nothing on it to lose, and it was started by somebody who stands before it.
fn forbidden(request: &Request, user: u32, parameters: &str, configured: bool) -> Option<&'static str> {
    let full = parameters.split_whitespace().any(|word| word == "halcyon.console=full");
    match request {
        Request::Disks => None,
        _ if user == 0 || (user == CONSOLE && (full || !configured)) => None,
        _ if user == CONSOLE => Some(
            "this console only shows; start the box with halcyon.console=full, or choose it in the boot menu",
        ),
        _ => Some("only the administrator may do that; use the console"),
    }
}

fn carry_out(request: &Request, start: &Start, peer: &mut UnixStream) -> Answer {
    match request {
        Request::Disks => Answer::Disks(survey::disks(start.disk().as_deref())),
        Request::Install { disk, overwrite } if disk != overwrite => {
            Answer::Refused(format!("what is on {disk} would be lost; confirm that by its name"))
        }
        Request::Install { disk, .. } => {
            let told = run_install(start, disk, &mut |news| send(peer, &Answer::Progress(news)));
            told.map_or_else(Answer::Refused, Answer::Done)
        }
        Request::FactoryReset => match start.disk() {
            None => Answer::Refused(
                "the box was not started from a disk, so it keeps nothing that could be forgotten".to_owned(),
            ),
            Some(disk) => {
                start.reset_armed.store(true, Ordering::SeqCst);
                match power::ask(&Going::Reboot) {
                    Ok(()) => Answer::Done(format!(
                        "the box goes down, forgets what it keeps on {disk}, and starts as new"
                    )),
                    Err(why) => {
                        start.reset_armed.store(false, Ordering::SeqCst);
                        Answer::Refused(why)
                    }
                }
            }
        },
    }
}

/// Installs, if nobody else does.
pub(super) fn run_install(start: &Start, disk: &str, tell: &mut dyn FnMut(String)) -> Result<String, String> {
    let origin = start.medium()?;
    if INSTALLING.swap(true, Ordering::SeqCst) {
        return Err("an installation is under way".to_owned());
    }
    let done = install::run(&origin, start.slot(), disk, tell);
    INSTALLING.store(false, Ordering::SeqCst);
    done
}

/// Whether the engine has a document in force.
pub(super) fn is_configured() -> bool {
    fs::exists(CONFIGURED).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_is_for_root_and_for_consoles_that_may() {
        let install = Request::Install { disk: "sda".to_owned(), overwrite: "sda".to_owned() };
        for (request, user, parameters, configured, allowed) in [
            (&Request::Disks, 65534, "", true, true),
            (&install, 0, "", true, true),
            (&install, CONSOLE, "quiet", true, false),
            (&install, CONSOLE, "quiet", false, true),
            (&install, CONSOLE, "quiet halcyon.console=full", true, true),
            (&install, 901, "halcyon.console=full", false, false),
            (&Request::FactoryReset, 901, "", false, false),
            (&Request::FactoryReset, CONSOLE, "", true, false),
        ] {
            assert_eq!(
                forbidden(request, user, parameters, configured).is_none(),
                allowed,
                "{request:?} {user} {parameters}"
            );
        }
    }
}
