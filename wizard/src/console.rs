//! A terminal on one descriptor as a backend of cursive's: a serial line, the screen, a pseudo-terminal. Decides how much is
//! known of the terminal: its size where the kernel does not know it, and whether it shows UTF-8, by asking it where
//! the cursor is. Nothing waits for an answer: one that never comes leaves 80 × 24 in ASCII.
//!
//! Bytes become keys in [`keys`], cells become bytes in [`paint`]; both know no terminal.

pub(crate) mod keys;
pub(crate) mod paint;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use cursive::Vec2;
use cursive::backend::Backend;
use cursive::event::{Event, Key as Named};
use cursive::style::{Color, ColorPair, Effect};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use keys::{Decoder, Key};
use paint::{Charset, Painter};

/// What a terminal that tells nothing is taken for.
const USUAL: (u16, u16) = (80, 24);
/// The largest that is believed, so that noise on the line cannot ask for gigabytes.
const LARGEST: u16 = 500;
/// Writes é where it does no harm and asks where the cursor is: in column 2, if those two bytes were one character.
const ASK_CHARSET: &[u8] = b"\r\xc3\xa9\x1b[6n";
/// Goes as far down and right as the terminal lets it, and asks where that is.
const ASK_SIZE: &[u8] = b"\x1b7\x1b[999;999H\x1b[6n\x1b8";
/// No cursor; pastes are marked as such.
const ENTER: &[u8] = b"\x1b[?25l\x1b[?2004h";
/// As it was, with an empty screen.
const LEAVE: &[u8] = b"\x1b[?2004l\x1b[?25h\x1b[0m\x1b[2J\x1b[H";

/// The terminal. Clones are the same one: cursive owns one, the program's loop another.
#[derive(Clone, Debug)]
pub(crate) struct Console(Rc<RefCell<Terminal>>);

#[derive(Debug)]
struct Terminal {
    file: OwnedFd,
    before: Option<Termios>,
    decoder: Decoder,
    painter: Painter,
    size: (u16, u16),
    asked: VecDeque<Asked>,
    events: VecDeque<Event>,
    /// The next screen is written whole.
    whole: bool,
    gone: bool,
}

/// A question that the terminal has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Charset,
    Size,
}

impl Console {
    /// Takes the terminal over. `charset` is what it shows unless it tells otherwise.
    pub(crate) fn open(file: OwnedFd, charset: Charset) -> Self {
        let before = tcgetattr(&file).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            // A terminal that refuses is used as it is.
            let _ = tcsetattr(&file, OptionalActions::Now, &raw);
        }
        let mut terminal = Terminal {
            file,
            before,
            decoder: Decoder::default(),
            painter: Painter::new(charset, USUAL.0.into()),
            size: USUAL,
            asked: VecDeque::new(),
            events: VecDeque::new(),
            whole: true,
            gone: false,
        };
        terminal.painter.raw(ENTER);
        terminal.ask();
        Self(Rc::new(RefCell::new(terminal)))
    }

    /// Waits until a key comes, `wake` can be read or `patience` is over, and takes in what came.
    pub(crate) fn wait(&self, wake: &impl AsFd, patience: Duration) {
        let mut terminal = self.0.borrow_mut();
        let now = Instant::now();
        let pause = terminal.decoder.deadline().map(|deadline| deadline.saturating_duration_since(now));
        let timeout = pause.map_or(patience, |pause| pause.min(patience));
        let timeout =
            Timespec { tv_sec: timeout.as_secs().cast_signed(), tv_nsec: timeout.subsec_nanos().into() };
        let mut ready = [PollFd::new(&terminal.file, PollFlags::IN), PollFd::new(wake, PollFlags::IN)];
        let polled = poll(&mut ready, Some(&timeout));
        let readable = polled.is_ok() && !ready[0].revents().is_empty();
        if readable {
            terminal.read();
        }
        // Read first: what arrived meanwhile belongs to the sequence.
        if let Some(key) = terminal.decoder.pause(Instant::now()) {
            terminal.press(key);
        }
    }

    /// Whether the terminal hung up.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.borrow().gone
    }

    /// The next screen is written whole: somebody else may have written on it.
    pub(crate) fn repaint(&self) {
        self.0.borrow_mut().whole = true;
    }

    /// Gives the terminal back as it was.
    pub(crate) fn leave(&self) {
        let mut terminal = self.0.borrow_mut();
        terminal.painter.raw(LEAVE);
        terminal.flush();
        if let Some(before) = &terminal.before {
            let _ = tcsetattr(&terminal.file, OptionalActions::Drain, before);
        }
    }
}

impl Terminal {
    /// Asks for what is not known: the size too, where the kernel has none, as on serial lines.
    fn ask(&mut self) {
        self.asked.clear();
        self.painter.raw(ASK_CHARSET);
        self.asked.push_back(Asked::Charset);
        match tcgetwinsize(&self.file) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => self.resize((size.ws_col, size.ws_row)),
            _ => {
                self.painter.raw(ASK_SIZE);
                self.asked.push_back(Asked::Size);
            }
        }
        self.whole = true;
        self.flush();
    }

    fn resize(&mut self, (columns, rows): (u16, u16)) {
        let size = (columns.clamp(20, LARGEST), rows.clamp(5, LARGEST));
        if size != self.size {
            self.size = size;
            let charset = self.painter.charset();
            self.adapt(charset);
        }
    }

    fn adapt(&mut self, charset: Charset) {
        self.painter.adapt(charset, self.size.0.into());
        self.whole = true;
        self.events.push_back(Event::WindowResize);
    }

    fn read(&mut self) {
        let mut buffer = [0; 256];
        match rustix::io::read(&self.file, &mut buffer) {
            Ok(0) => self.hang_up(),
            Ok(length) => {
                let now = Instant::now();
                for byte in &buffer[..length] {
                    if let Some(key) = self.decoder.take(*byte, now) {
                        self.press(key);
                    }
                }
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(_) => self.hang_up(),
        }
    }

    fn hang_up(&mut self) {
        self.gone = true;
        self.events.push_back(Event::Exit);
    }

    fn press(&mut self, key: Key) {
        let event = match key {
            Key::Report { row, column } => return self.answered((column, row)),
            // Ctrl-L, and whoever has another window now.
            Key::Ctrl('l') => {
                self.ask();
                Some(Event::Refresh)
            }
            // Another set of characters, for whom the question misled.
            Key::Ctrl('t') => {
                self.adapt(match self.painter.charset() {
                    Charset::Ascii => Charset::Utf8,
                    Charset::Utf8 => Charset::Ascii,
                });
                None
            }
            Key::Char(character) => Some(Event::Char(character)),
            Key::Ctrl(letter) => Some(Event::CtrlChar(letter)),
            Key::BackTab => Some(Event::Shift(Named::Tab)),
            Key::Enter => Some(Event::Key(Named::Enter)),
            Key::Tab => Some(Event::Key(Named::Tab)),
            Key::Backspace => Some(Event::Key(Named::Backspace)),
            Key::Delete => Some(Event::Key(Named::Del)),
            Key::Up => Some(Event::Key(Named::Up)),
            Key::Down => Some(Event::Key(Named::Down)),
            Key::Left => Some(Event::Key(Named::Left)),
            Key::Right => Some(Event::Key(Named::Right)),
            Key::Home => Some(Event::Key(Named::Home)),
            Key::End => Some(Event::Key(Named::End)),
            Key::PageUp => Some(Event::Key(Named::PageUp)),
            Key::PageDown => Some(Event::Key(Named::PageDown)),
            Key::Escape => Some(Event::Key(Named::Esc)),
        };
        self.events.extend(event);
    }

    fn answered(&mut self, (column, row): (u16, u16)) {
        match self.asked.pop_front() {
            Some(Asked::Charset) => {
                let charset = if column == 2 { Charset::Utf8 } else { Charset::Ascii };
                if charset != self.painter.charset() {
                    self.adapt(charset);
                }
            }
            Some(Asked::Size) => self.resize((column, row)),
            None => {}
        }
    }

    fn flush(&mut self) {
        let bytes = self.painter.take();
        let mut rest = &bytes[..];
        while !rest.is_empty() && !self.gone {
            match rustix::io::write(&self.file, rest) {
                Ok(written) => rest = &rest[written..],
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    // Somebody else made it non-blocking; wait as a blocking one would.
                    let _ = poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], None);
                }
                Err(_) => self.hang_up(),
            }
        }
    }
}

impl Backend for Console {
    fn poll_event(&mut self) -> Option<Event> {
        self.0.borrow_mut().events.pop_front()
    }

    fn set_title(&mut self, _: String) {}

    fn refresh(&mut self) {
        let mut terminal = self.0.borrow_mut();
        terminal.whole = false;
        terminal.flush();
    }

    fn has_colors(&self) -> bool {
        true
    }

    fn screen_size(&self) -> Vec2 {
        let (columns, rows) = self.0.borrow().size;
        Vec2::new(columns.into(), rows.into())
    }

    fn move_to(&self, position: Vec2) {
        self.0.borrow_mut().painter.move_to(position.x, position.y);
    }

    fn print(&self, text: &str) {
        self.0.borrow_mut().painter.print(text);
    }

    fn clear(&self, _: Color) {
        let mut terminal = self.0.borrow_mut();
        terminal.painter.wipe();
        terminal.whole = true;
    }

    fn set_color(&self, colors: ColorPair) -> ColorPair {
        self.0.borrow_mut().painter.colour(colors)
    }

    fn set_effect(&self, effect: Effect) {
        self.0.borrow_mut().painter.effect(effect, true);
    }

    fn unset_effect(&self, effect: Effect) {
        self.0.borrow_mut().painter.effect(effect, false);
    }

    /// A screen that stays is only written where it changed; one that somebody else wrote on, whole.
    fn is_persistent(&self) -> bool {
        !self.0.borrow().whole
    }

    fn name(&self) -> &str {
        "halcyon"
    }
}

/// Standard input as a terminal of this program's own.
///
/// # Errors
/// When the kernel gives no further descriptor.
pub(crate) fn standard_input() -> io::Result<OwnedFd> {
    std::io::stdin().as_fd().try_clone_to_owned()
}

/// The name of the terminal at standard input, such as `ttyS0`.
pub(crate) fn name() -> String {
    let path = std::fs::read_link("/proc/self/fd/0").unwrap_or_default();
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
