//! `agent serve` does what the harness asks by Ethernet frames; `agent misfit KIND` is a unit that misbehaves; `agent
//! idle` is one that does nothing, to be looked at.
//!
//! Baked into test images only, by an overlay.

mod misfit;
mod work;

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail};
use halcyon_test_agent::{ETHERTYPE, Request, frames, parse};
use nix::sys::socket::{LinkAddr, MsgFlags, recvfrom, sendto};

/// Answers kept for a harness that asks again because an answer was lost.
const KEPT: usize = 8;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve(),
        ["misfit", kind] => misfit::be(kind),
        ["idle"] => loop {
            std::thread::park();
        },
        _ => bail!("{words:?}: not a command; there are serve, idle and misfit KIND"),
    }
}

/// Answers requests for ever, one after the other.
fn serve() -> Result<()> {
    let protocol = socket2::Protocol::from(i32::from(ETHERTYPE.to_be()));
    let socket: OwnedFd = socket2::Socket::new(socket2::Domain::PACKET, socket2::Type::RAW, Some(protocol))
        .context("a packet socket; the unit needs net_raw")?
        .into();
    let mut answered: VecDeque<(u32, Vec<u8>)> = VecDeque::new();
    let mut buffer = [0; 2048];
    loop {
        let (length, from) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer).context("receiving")?;
        let (Some(chunk), Some(from)) = (parse(&buffer[..length]), from) else { continue };
        let addresses =
            (buffer[6..12].try_into().expect("six bytes"), buffer[0..6].try_into().expect("six bytes"));
        let known =
            answered.iter().find(|(number, _)| *number == chunk.number).map(|(_, answer)| answer.clone());
        let answer = known.unwrap_or_else(|| {
            let response = match serde_json::from_slice::<Request>(&chunk.bytes) {
                Ok(request) => work::work(&request).map_err(|error| format!("{error:#}")),
                Err(error) => Err(format!("not a request: {error}")),
            };
            let answer = serde_json::to_vec(&response).expect("two strings are JSON");
            answered.push_back((chunk.number, answer.clone()));
            if answered.len() > KEPT {
                answered.pop_front();
            }
            answer
        });
        for frame in frames(addresses.0, addresses.1, chunk.number, &answer) {
            // A frame that does not fit into the queue is asked for again.
            let _ = sendto(socket.as_raw_fd(), &frame, &from, MsgFlags::empty());
        }
    }
}
