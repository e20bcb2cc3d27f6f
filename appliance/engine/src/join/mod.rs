//! Joining's edge: finds the other box on the segment and carries frames between it and `halcyon_core::join`, which decides
//! what they mean. What becomes of a document is the driver's to decide and to do; neither waits for the other.

mod first;
mod second;
mod sockets;

use halcyon_core::control::Joining;
use halcyon_core::join::code::Code;
use halcyon_core::join::wire::{Given, Offer};
use tokio::sync::{mpsc, watch};

/// What the driver is asked for.
#[derive(Debug)]
pub enum Event {
    /// Another box knows the code: what does it get? Answer by [`Order::Answered`].
    Consider(Offer),
    /// Take this document on trial; answer by [`Order::Taken`], and by [`Order::Serves`] once the box is as it says.
    Take(Given),
    /// Keep what was taken; answer by [`Order::Confirmed`].
    Confirm,
    /// Undo what was taken.
    Undo,
    /// It is over.
    Over,
}

/// What the driver answers.
#[derive(Debug)]
pub enum Order {
    /// What the other box gets.
    Answered(Result<Given, String>),
    /// The document is on trial here, or was refused.
    Taken(Result<(), String>),
    /// This box is as its document says.
    Serves,
    /// The document stays, or could not be confirmed.
    Confirmed(Result<(), String>),
    /// Nobody looks at the code any more.
    Hidden,
}

/// The driver's end. The task goes on to its end when this is dropped.
#[derive(Debug)]
pub struct Handle {
    orders: mpsc::UnboundedSender<Order>,
    progress: watch::Receiver<Joining>,
}

impl Handle {
    /// Where answers go that take their time.
    pub fn orders(&self) -> mpsc::UnboundedSender<Order> {
        self.orders.clone()
    }

    /// Answers at once.
    pub fn order(&self, order: Order) {
        // A task that is over needs no answer.
        let _ = self.orders.send(order);
    }

    /// How it goes on.
    pub fn progress(&self) -> Joining {
        self.progress.borrow().clone()
    }
}

/// Lets another box join by `code`. Must be called inside a [`LocalSet`](tokio::task::LocalSet).
///
/// # Errors
/// When the port cannot be opened.
pub fn open(code: Code, events: mpsc::UnboundedSender<Event>) -> std::io::Result<Handle> {
    let (orders, inbox) = mpsc::unbounded_channel();
    let (told, progress) =
        watch::channel(Joining { said: "waiting for the other box".into(), ..Joining::default() });
    let door = first::Door::open(code, events, told)?;
    tokio::task::spawn_local(door.run(inbox));
    Ok(Handle { orders, progress })
}

/// Joins the box that shows `code`. Must be called inside a [`LocalSet`](tokio::task::LocalSet).
pub fn join(code: Code, offer: Offer, events: mpsc::UnboundedSender<Event>) -> Handle {
    let (orders, inbox) = mpsc::unbounded_channel();
    let (told, progress) = watch::channel(Joining {
        said: "looking for the box that shows the code".into(),
        ..Joining::default()
    });
    tokio::task::spawn_local(second::run(code, offer, events, told, inbox));
    Handle { orders, progress }
}

/// From the kernel's generator.
///
/// # Errors
/// When it gives nothing.
pub fn chance<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes)
}
