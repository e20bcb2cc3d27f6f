//! What passes between the wizard and its edges: intents in, effects out, and what a screen is made of. Values only; what
//! they do is decided in [`Wizard::update`](super::Wizard::update).

use halcyon_core::control::{Port, Request, Response};
use halcyon_core::status::Status;

use super::Kept;
use super::field::Field;

/// What a person wants, or what was learned.
#[derive(Clone, Debug)]
pub(crate) enum Intent {
    /// A key.
    Press(Press),
    /// What the engine tells of the box; `None`: it does not answer.
    Seen(Option<Box<Seen>>),
    /// At which terminal somebody types; `None`: at none so far.
    Held(Option<String>),
    /// What was kept, for [`Effect::TakeOver`].
    TakenOver(Box<Kept>),
    /// What came of [`Effect::Ask`].
    Answered(Result<Response, String>),
}

/// What is known of the box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// What it does.
    pub(crate) status: Status,
    /// Its ports, by name.
    pub(crate) ports: Vec<Port>,
}

/// A key, as far as the wizard knows any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Press {
    /// A character.
    Char(char),
    /// Go on, or do it.
    Enter,
    /// The next item.
    Next,
    /// The item before.
    Previous,
    /// Up.
    Up,
    /// Down.
    Down,
    /// Left.
    Left,
    /// Right.
    Right,
    /// The beginning of the line.
    Home,
    /// Its end.
    End,
    /// Erase to the left.
    Erase,
    /// Erase to the right.
    Delete,
    /// Erase the whole line.
    Clear,
    /// Back.
    Back,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Ask the engine; the answer comes as [`Intent::Answered`].
    Ask(Request),
    /// Keep this: it is what a wizard after this one begins with.
    Keep(Box<Kept>),
    /// Tell the other consoles that somebody types here.
    Hold,
    /// The same, and hand back what was kept there.
    TakeOver,
    /// Give the console to the command line.
    CommandLine,
}

/// What is on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// The engine does not answer.
    Waiting,
    /// Somebody answers at another console.
    Elsewhere,
    /// Questions.
    SetUp,
    /// A set-up is being tried.
    Trial,
    /// What the box does.
    Dashboard,
}

/// Something that can have the focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A question.
    Field(Field),
    /// Go to what a complaint is about.
    Jump(Field),
    /// Something to do.
    Button(Button),
}

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Button {
    /// On to the next step.
    Continue,
    /// The step before.
    Back,
    /// Try the document.
    Try,
    /// Keep what is being tried.
    Keep,
    /// Undo it.
    Undo,
    /// Go on here with what is answered at another console.
    TakeOver,
    /// The command line.
    CommandLine,
}
