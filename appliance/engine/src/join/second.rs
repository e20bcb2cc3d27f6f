//! The second box's edge: asks on every link who shows a code, and tries it with those who answer.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::time::Duration;

use halcyon_core::config::types::MemberName;
use halcyon_core::control::Joining;
use halcyon_core::join::PORT;
use halcyon_core::join::code::Code;
use halcyon_core::join::second::{self, Action, Failure, Second};
use halcyon_core::join::wire::{DATAGRAM, Datagram, Offer};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::sockets::{self, Line};
use super::{Event, Order, chance};
use crate::clock;

/// Between two questions: a new cable's link-local address takes a second or two.
const AGAIN: Duration = Duration::from_millis(500);
/// So many questions are asked: 20 s.
const QUESTIONS: u32 = 40;
/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(5);
/// With so many boxes the code is tried. Each that does not know it had one guess at it.
const BOXES: usize = 4;

/// Joins, and says how it went.
pub(super) async fn run(
    code: Code,
    offer: Offer,
    events: mpsc::UnboundedSender<Event>,
    told: watch::Sender<Joining>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let result = search(&code, &offer, &events, &told, &mut orders).await;
    let (said, well) = match result {
        Ok(member) => (format!("joined: this box is {member}"), true),
        Err(why) => (why, false),
    };
    if well {
        info!("{said}");
    } else {
        warn!("this box has not joined: {said}");
    }
    told.send_replace(Joining { said, left: None, over: Some(well) });
    // Only a driver that has ended is not there.
    let _ = events.send(Event::Over);
}

async fn search(
    code: &Code,
    offer: &Offer,
    events: &mpsc::UnboundedSender<Event>,
    told: &watch::Sender<Joining>,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> Result<MemberName, String> {
    let nonce = chance().map_err(|error| format!("the kernel gave no random numbers: {error}"))?;
    let mut tried = BTreeSet::new();
    let mut failed = None;
    for _ in 0..QUESTIONS {
        let Some((first, port)) = ask(nonce, &tried).await else { continue };
        tried.insert(first);
        told.send_modify(|joining| joining.said = "a box shows a code: trying it there".into());
        info!(%first, port, "a box shows a code");
        let mut offer = offer.clone();
        // The port that leads there is the first of the offer.
        offer.ports.sort_by_key(|(name, _)| *name != port);
        match attempt(code, offer, first, events, told, orders).await {
            Ok(member) => return Ok(member),
            Err(why) if is_this_boxs_last(&why) || tried.len() >= BOXES => return Err(why.to_string()),
            Err(why) => {
                warn!(%first, "{why}");
                told.send_modify(|joining| joining.said = why.to_string());
                failed = Some(why);
            }
        }
        // There is one box that shows a code, as a rule: nobody is kept waiting for a second one.
        if ask(nonce, &tried).await.is_none() {
            break;
        }
    }
    Err(failed.map_or_else(
        || {
            "no box on this segment shows a code: ask for one at the other box with join open, and look at the cables"
                .to_owned()
        },
        |why| why.to_string(),
    ))
}

/// Whether another box would make no difference: this one knew the code.
fn is_this_boxs_last(why: &Failure) -> bool {
    matches!(why, Failure::Not(_) | Failure::Here(_))
}

/// Asks on every link, and waits for an answer of a box that was not tried: it, and the name of the link.
async fn ask(nonce: [u8; 8], tried: &BTreeSet<SocketAddrV6>) -> Option<(SocketAddrV6, String)> {
    let mut asked = Vec::new();
    for link in sockets::links() {
        match sockets::asking(&link) {
            Ok(socket) => {
                let sent = socket.send_to(&Datagram::Query(nonce).write(), sockets::everybody(&link)).await;
                if let Err(error) = sent {
                    debug!(link = link.name, %error, "nobody could be asked");
                }
                asked.push((socket, link.name));
            }
            Err(error) => debug!(link = link.name, %error, "nobody could be asked"),
        }
    }
    let until = clock::now() + AGAIN;
    loop {
        for (socket, link) in &asked {
            while let Some(first) = answer(socket, nonce) {
                if !tried.contains(&first) {
                    return Some((first, link.clone()));
                }
            }
        }
        let left = until.since(clock::now());
        if left.is_zero() {
            return None;
        }
        sleep(left.min(Duration::from_millis(20))).await;
    }
}

/// An answer that has come; where it leads.
fn answer(socket: &UdpSocket, nonce: [u8; 8]) -> Option<SocketAddrV6> {
    let mut buffer = [0; DATAGRAM + 1];
    while let Ok((length, from)) = socket.try_recv_from(&mut buffer) {
        if let (Ok(Datagram::Answer(answered)), SocketAddr::V6(from)) =
            (Datagram::read(&buffer[..length]), from)
            && answered == nonce
        {
            return Some(SocketAddrV6::new(*from.ip(), PORT, 0, from.scope_id()));
        }
    }
    None
}

async fn attempt(
    code: &Code,
    offer: Offer,
    first: SocketAddrV6,
    events: &mpsc::UnboundedSender<Event>,
    told: &watch::Sender<Joining>,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> Result<MemberName, Failure> {
    let refused = |error: io::Error| Failure::Refused(error.to_string());
    let stream =
        timeout(CONNECTING, TcpStream::connect(first)).await.map_err(|_| Failure::Late)?.map_err(refused)?;
    let mut second = Second::begin(code, offer, chance().map_err(refused)?, clock::now());
    let (heard, mut inbox) = mpsc::unbounded_channel();
    let line = Line::new(stream, second.longest(), move |frame: Option<Vec<u8>>| {
        // What comes after the end is nobody's business.
        let _ = heard.send(frame);
    });
    loop {
        while let Some(action) = second.poll_action() {
            let (said, event) = match action {
                Action::Send(bytes) => {
                    line.send(bytes);
                    continue;
                }
                Action::End(result) => return result,
                Action::Take(given) => {
                    (format!("this box is {}: trying the document", given.member), Event::Take(given))
                }
                Action::Confirm => ("both boxes serve: keeping the document".to_owned(), Event::Confirm),
                Action::Undo => ("going back to what was before".to_owned(), Event::Undo),
            };
            info!("{said}");
            told.send_modify(|joining| joining.said = said);
            // Only a driver that has ended is not there.
            let _ = events.send(event);
        }
        line.set_longest(second.longest());
        let wake = second.poll_timeout().map_or(Duration::MAX, |at| at.since(clock::now()));
        // Cancelling any of these waits loses nothing: what was not taken stays where it is.
        let event = tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Taken(done)) => second::Event::Taken(done),
                Some(Order::Serves) => second::Event::Serves,
                Some(Order::Confirmed(done)) => second::Event::Confirmed(done),
                Some(Order::Answered(_) | Order::Hidden) => continue,
                None => second::Event::Gone,
            },
            frame = inbox.recv() => match frame.flatten() {
                Some(frame) => second::Event::Heard(frame),
                None => second::Event::Gone,
            },
            () = sleep(wake) => second::Event::Timeout,
        };
        second.handle(event, clock::now());
    }
}
