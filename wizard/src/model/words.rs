//! What passes between the wizard and its edges: intents in, effects out, and what a screen is made of. Values only; what
//! they do is decided in [`Wizard::update`](super::Wizard::update).

use halcyon_core::control::{Port, Request, Response, Typed};
use halcyon_core::status::Status;
use halcyon_core::supervise::control::Request as PowerRequest;

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
    /// What came of [`Ask::Hash`]: the hash as the document has it.
    Hashed(Option<String>),
    /// Nobody has typed for so long that somebody else may stand here.
    Idle,
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
    /// Ask for something; the answer comes as [`Intent::Answered`] or [`Intent::Hashed`].
    Ask(Ask),
    /// Keep this: it is what a wizard after this one begins with.
    Keep(Box<Kept>),
    /// Tell the other consoles that somebody types here.
    Hold,
    /// The same, and hand back what was kept there.
    TakeOver,
    /// Give the console to the command line.
    CommandLine {
        /// The person gave the password.
        full: bool,
    },
}

/// Something to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Of the engine.
    Engine(Request),
    /// Of PID 1.
    Power(PowerRequest),
    /// A password's hash, which takes a while.
    Hash(Typed),
}

/// Where a person is at a box at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// At the dashboard.
    Dashboard,
    /// Before the password.
    Unlock {
        /// The command line is behind it, else the menu.
        to_line: bool,
    },
    /// The command line, which is another program.
    Line,
    /// At the menu.
    Menu,
    /// Asked whether that is meant.
    Sure(Verb),
    /// At the questions, for a change.
    Change,
}

/// What the menu offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Change the document.
    Change,
    /// Hand over to a fellow member.
    HandOver,
    /// Let go of what a hand-over holds back.
    Release,
    /// Go back to the document before.
    RollBack,
    /// Start the box again.
    Reboot,
    /// Switch it off.
    PowerOff,
    /// The command line.
    CommandLine,
    /// Ask for the password again.
    Lock,
}

impl Verb {
    /// Its name in the catalogue.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Change => "menu-change",
            Self::HandOver => "menu-hand-over",
            Self::Release => "menu-release",
            Self::RollBack => "menu-roll-back",
            Self::Reboot => "menu-reboot",
            Self::PowerOff => "menu-power-off",
            Self::CommandLine => "menu-command-line",
            Self::Lock => "menu-lock",
        }
    }
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
    /// The password is asked for.
    Unlock,
    /// What can be done with the box.
    Menu,
    /// Whether that is meant.
    Sure,
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
    /// The menu.
    Menu,
    /// Try what was typed as the password.
    Unlock,
    /// Something of the menu.
    Verb(Verb),
    /// It is meant.
    DoIt,
    /// Back to where this came from.
    Leave,
    /// The command line.
    CommandLine,
}
