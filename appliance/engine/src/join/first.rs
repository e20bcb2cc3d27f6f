//! The first box's edge: the port that is open while a code is shown, and the connections on it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use halcyon_core::control::Joining;
use halcyon_core::join::OPEN;
use halcyon_core::join::code::Code;
use halcyon_core::join::first::{self, Action, End, First, Note, Peer};
use halcyon_core::join::wire::{DATAGRAM, Datagram, SHORT};
use halcyon_core::moment::Moment;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::sockets::{self, Line};
use super::{Event, Order, chance};
use crate::clock;

/// The open port.
pub(super) struct Door {
    first: First,
    until: Moment,
    questions: UdpSocket,
    listener: TcpListener,
    peers: BTreeMap<Peer, (Line, SocketAddr)>,
    count: Peer,
    events: mpsc::UnboundedSender<Event>,
    told: watch::Sender<Joining>,
}

impl Door {
    pub(super) fn open(
        code: Code,
        events: mpsc::UnboundedSender<Event>,
        told: watch::Sender<Joining>,
    ) -> io::Result<Self> {
        let now = clock::now();
        Ok(Self {
            first: First::new(code, now),
            until: now + OPEN,
            questions: sockets::answering()?,
            listener: sockets::listening()?,
            peers: BTreeMap::new(),
            count: 0,
            events,
            told,
        })
    }

    pub(super) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        info!("a one-time code is shown: another box can join");
        let (heard, mut inbox) = mpsc::unbounded_channel::<(Peer, Option<Vec<u8>>)>();
        let mut buffer = [0; DATAGRAM + 1];
        loop {
            while let Some(action) = self.first.poll_action() {
                if let Action::Close(end) = action {
                    return self.close(&end);
                }
                self.act(action);
            }
            let now = clock::now();
            let left = self.first.is_free().then(|| self.until.since(now).as_secs());
            self.told.send_if_modified(|joining| std::mem::replace(&mut joining.left, left) != left);
            // At least once a second, for the time that is left.
            let wake = self.first.poll_timeout().map_or(Duration::MAX, |at| at.since(now));
            // Cancelling any of these waits loses nothing: what was not taken stays where it is.
            let event = tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Answered(answer)) => first::Event::Answered(answer),
                    Some(Order::Confirmed(done)) => first::Event::Confirmed(done),
                    Some(Order::Hidden) => first::Event::Hidden,
                    Some(Order::Taken(_) | Order::Serves) => continue,
                    // The driver has ended.
                    None => return,
                },
                Some((peer, frame)) = inbox.recv() => match frame {
                    Some(frame) => first::Event::Heard(peer, frame),
                    None => first::Event::Gone(peer),
                },
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, from)) => match self.accepted(stream, from, heard.clone()) {
                        Some(event) => event,
                        None => continue,
                    },
                    Err(error) => {
                        debug!(%error, "a box that wants to join could not be accepted");
                        sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                asked = self.questions.recv_from(&mut buffer) => {
                    if let Ok((length, from)) = asked {
                        self.question(&buffer[..length], from).await;
                    }
                    continue;
                }
                () = sleep(wake.min(Duration::from_secs(1))) => first::Event::Timeout,
            };
            self.first.handle(event, clock::now());
        }
    }

    async fn question(&self, bytes: &[u8], from: SocketAddr) {
        let Ok(Datagram::Query(nonce)) = Datagram::read(bytes) else { return };
        if self.first.is_free() {
            // It asks again when the answer is lost.
            let _ = self.questions.send_to(&Datagram::Answer(nonce).write(), from).await;
        }
    }

    fn accepted(
        &mut self,
        stream: TcpStream,
        from: SocketAddr,
        heard: mpsc::UnboundedSender<(Peer, Option<Vec<u8>>)>,
    ) -> Option<first::Event> {
        let seed = chance().inspect_err(|error| warn!(%error, "no random numbers: no box can join")).ok()?;
        self.count += 1;
        let peer = self.count;
        let tell = move |frame| {
            // What comes after the end is nobody's business.
            let _ = heard.send((peer, frame));
        };
        self.peers.insert(peer, (Line::new(stream, SHORT, tell), from));
        Some(first::Event::Connected(peer, seed))
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Send(peer, bytes) => {
                if let Some((line, _)) = self.peers.get(&peer) {
                    line.send(bytes);
                }
            }
            Action::HangUp(peer) => drop(self.peers.remove(&peer)),
            Action::Consider(offer) => self.ask(Event::Consider(offer)),
            Action::Confirm => self.ask(Event::Confirm),
            Action::Undo => self.ask(Event::Undo),
            Action::Tell(note) => self.note(&note),
            Action::Close(_) => {}
        }
    }

    fn note(&self, note: &Note) {
        match note {
            Note::Wrong(peer, _) => {
                let from = self.peers.get(peer).map_or_else(String::new, |(_, from)| from.to_string());
                warn!(from, "{note}");
            }
            Note::Known(peer) => {
                let from = self.peers.get(peer).map_or_else(String::new, |(_, from)| from.to_string());
                info!(from, "{note}");
            }
            _ => info!("{note}"),
        }
        self.told.send_modify(|joining| joining.said = note.to_string());
    }

    fn close(self, end: &End) {
        let well = matches!(end, End::Joined(_));
        if well {
            info!("{end}");
        } else {
            warn!("{end}");
        }
        self.told.send_replace(Joining { said: end.to_string(), left: None, over: Some(well) });
        self.ask(Event::Over);
    }

    fn ask(&self, event: Event) {
        // Only a driver that has ended is not there.
        let _ = self.events.send(event);
    }
}
