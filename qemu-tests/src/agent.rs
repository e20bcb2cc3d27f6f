//! The harness's end of the wire to the agent that test images carry (crate `halcyon-test-agent`).
//!
//! Its frames go to the box past the switch and are taken away before the switch sees them.

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use halcyon_test_agent::{Chunk, Request, Response, frames, parse};

use crate::lab::Lab;
use crate::switch::PortId;
use crate::switch::frame::Mac;

/// Asked again after this: the box may have been booting, or its queue full.
const ASKED_AGAIN: Duration = Duration::from_secs(1);

/// Small programs for the box, of a test image: none of them is in a real one.
pub const BUSYBOX: &str = "/opt/test/busybox";

/// What operators type on a box.
pub const HALCTL: &str = "/usr/lib/halcyon/bin/halctl";

/// Bytes of text that fit into one request, whatever has to be escaped in them.
const PIECE: usize = 600;

/// The address that the harness's frames come from; on no segment that was drawn.
const HARNESS: Mac = Mac([0x06, 0, 0, 0, 0, 1]);

/// The agent on one box.
pub struct Agent {
    lab: Arc<Lab>,
    ports: Vec<PortId>,
    mac: Mac,
    chunks: Mutex<(u32, mpsc::Receiver<Chunk>)>,
}

impl Agent {
    /// The agent on the box with this card at this port.
    pub fn new(lab: &Arc<Lab>, port: PortId, mac: Mac) -> Self {
        Self::at(lab, vec![port], mac)
    }

    /// The agent on the box whose cards with this address are at these ports: those of a bond.
    pub fn at(lab: &Arc<Lab>, ports: Vec<PortId>, mac: Mac) -> Self {
        let (sender, chunks) = mpsc::channel();
        let theirs = ports.clone();
        lab.with(move |network| {
            network.tap(Box::new(move |from, frame| {
                let chunk = if theirs.contains(&from) { parse(frame) } else { None };
                // Nobody waits for the chunks of a test that is over.
                chunk.map(|chunk| drop(sender.send(chunk))).is_some()
            }));
        });
        Self { lab: Arc::clone(lab), ports, mac, chunks: Mutex::new((0, chunks)) }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// What the agent says went wrong, or that it did not answer.
    pub fn ask(&self, request: &Request, within: Duration) -> Result<String> {
        let mut guard = self.chunks.lock().expect("no test panics with the lock");
        // Numbers never repeat: the agent remembers what it answered.
        let number = (self.lab.now().since_boot().as_micros() as u32).max(guard.0.wrapping_add(1));
        guard.0 = number;
        let text = serde_json::to_vec(request).expect("a request is JSON");
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            let mut sent = frames(self.mac.0, HARNESS.0, number, &text);
            if sent.len() > 1 {
                bail!("a request of {} bytes does not fit into a frame", text.len());
            }
            let (ports, frame) = (self.ports.clone(), sent.remove(0));
            // A bond takes it at the port that it uses.
            self.lab.with(move |network| ports.iter().for_each(|port| network.inject(*port, &frame)));
            if let Some(answer) = collect(&guard.1, number) {
                let response: Response = serde_json::from_slice(&answer).context("the agent's answer")?;
                return response.map_err(|error| anyhow!("on the box: {error}"));
            }
        }
        bail!("the agent did not answer within {} s", within.as_secs())
    }

    /// The content of a file on the box.
    pub fn read(&self, path: &str) -> Result<String> {
        self.ask(&Request::Read { path: path.into() }, Duration::from_secs(20))
    }

    /// Writes a file on the box.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        self.ask(&Request::Write { path: path.into(), text: text.into() }, Duration::from_secs(20)).map(drop)
    }

    /// Writes a file that may be too long for one request.
    pub fn write_long(&self, path: &str, text: &str) -> Result<()> {
        self.write(path, "")?;
        let mut rest = text;
        while !rest.is_empty() {
            let end = (0..=PIECE.min(rest.len())).rev().find(|end| rest.is_char_boundary(*end)).unwrap_or(0);
            let (piece, behind) = rest.split_at(end);
            self.shell(&format!("cat >>{path}"), piece)?;
            rest = behind;
        }
        Ok(())
    }

    /// Sends a signal to a process on the box.
    pub fn kill(&self, pid: i32, signal: i32) -> Result<()> {
        self.ask(&Request::Kill { pid, signal }, Duration::from_secs(20)).map(drop)
    }

    /// Executes a program on the box and returns its output.
    pub fn run(&self, words: &[&str], input: &str) -> Result<String> {
        let words = words.iter().map(ToString::to_string).collect();
        self.ask(&Request::Run { words, input: input.into() }, Duration::from_secs(20))
    }

    /// Has a shell on the box carry out a script, and returns its output.
    pub fn shell(&self, script: &str, input: &str) -> Result<String> {
        self.run(&[BUSYBOX, "sh", "-c", script], input)
    }

    /// Everything there is to know of a process on the box.
    pub fn process(&self, pid: i32) -> Result<String> {
        self.ask(&Request::Process { pid }, Duration::from_secs(20))
    }
}

/// The whole answer to request `number`, or `None` when pieces are missing after a while.
fn collect(chunks: &mpsc::Receiver<Chunk>, number: u32) -> Option<Vec<u8>> {
    let mut pieces: Vec<Option<Vec<u8>>> = Vec::new();
    loop {
        let chunk = chunks.recv_timeout(ASKED_AGAIN).ok()?;
        if chunk.number != number || chunk.index >= chunk.count {
            continue;
        }
        pieces.resize(usize::from(chunk.count), None);
        pieces[usize::from(chunk.index)] = Some(chunk.bytes);
        if pieces.iter().all(Option::is_some) {
            return Some(pieces.into_iter().flatten().flatten().collect());
        }
    }
}
