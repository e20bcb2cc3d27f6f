//! The backend on a pseudo-terminal, with a vt100 terminal at its other end: the traps that other backends fall into.

use std::num::NonZeroU16;
use std::os::unix::net::UnixStream;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::*;

/// A terminal, and the backend at the other end of its line.
struct Line {
    terminal: OwnedFd,
    console: Console,
    bell: UnixStream,
    /// The other end of the bell.
    _ringer: UnixStream,
}

/// Long enough for any machine; nothing waits for it when all is well.
const SOON: Duration = Duration::from_secs(20);

impl Line {
    /// A terminal whose kernel side says this of its size.
    fn of(columns: u16, rows: u16) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let file = rustix::fs::open(&name, flags, rustix::fs::Mode::empty()).unwrap();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&file, size).unwrap();
        let (bell, _ringer) = UnixStream::pair().unwrap();
        Self { terminal, console: Console::open(file, Charset::Ascii), bell, _ringer }
    }

    /// What the terminal got so far.
    fn sent(&self) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        let length = rustix::io::read(&self.terminal, &mut buffer).unwrap();
        buffer.truncate(length);
        buffer
    }

    fn types(&self, keys: &[u8]) {
        assert_eq!(rustix::io::write(&self.terminal, keys), Ok(keys.len()));
    }

    /// The events of what was typed, until there are `count`.
    fn events(&mut self, count: usize) -> Vec<Event> {
        let (mut events, deadline) = (Vec::new(), Instant::now() + SOON);
        while events.len() < count && Instant::now() < deadline {
            self.console.wait(&self.bell, Duration::from_millis(20));
            events.extend(std::iter::from_fn(|| self.console.poll_event()));
        }
        events
    }
}

#[test]
fn a_serial_line_without_a_size_is_usual_until_the_terminal_tells() {
    let mut line = Line::of(0, 0);
    assert_eq!(line.console.screen_size(), Vec2::new(80, 24));
    let asked = String::from_utf8_lossy(&line.sent()).into_owned();
    assert_eq!(asked.matches("\x1b[6n").count(), 2, "{asked:?}");
    line.types(b"\x1b[1;2R\x1b[50;132R");
    assert_eq!(line.events(2), [Event::WindowResize, Event::WindowResize]);
    assert_eq!(line.console.screen_size(), Vec2::new(132, 50));
    assert_eq!(line.console.0.borrow().painter.charset(), Charset::Utf8);
}

#[test]
fn a_terminal_that_counts_bytes_is_drawn_in_ascii() {
    let mut line = Line::of(100, 30);
    assert_eq!(line.console.screen_size(), Vec2::new(100, 30));
    assert_eq!(line.events(1), [Event::WindowResize]);
    line.types(b"\x1b[1;3Rx");
    assert_eq!(line.events(1), [Event::Char('x')]);
    assert_eq!(line.console.0.borrow().painter.charset(), Charset::Ascii);
}

#[test]
fn nobody_believes_a_size_that_no_terminal_has() {
    let mut line = Line::of(0, 0);
    line.types(b"\x1b[1;2R\x1b[65535;65535R");
    line.events(2);
    assert_eq!(line.console.screen_size(), Vec2::new(LARGEST.into(), LARGEST.into()));
    line.types(b"\x1b[3;9R");
    line.types(b"y");
    assert_eq!(line.events(1), [Event::Char('y')], "an answer that nobody asked for is none");
}

#[test]
fn keys_arrive_whole_and_a_paste_is_text() {
    let mut line = Line::of(80, 24);
    line.types(b"\x1b[B\x1b[200~a\rb\x1b[201~\r");
    let expected = [Event::Key(Named::Down), Event::Char('a'), Event::Char('b'), Event::Key(Named::Enter)];
    assert_eq!(line.events(4), expected);
    line.types(b"\x1b");
    assert_eq!(line.events(1), [Event::Key(Named::Esc)]);
}

#[test]
fn a_hang_up_ends_it() {
    let mut line = Line::of(80, 24);
    let (_, nobody) = UnixStream::pair().unwrap();
    line.terminal = nobody.into();
    assert_eq!(line.events(1), [Event::Exit]);
    assert!(line.console.is_gone());
    line.console.refresh();
}

#[test]
fn what_others_wrote_is_painted_over_when_asked() {
    let line = Line::of(80, 24);
    line.sent();
    let size = |count| NonZeroU16::new(count).unwrap();
    let mut parser = vt100::Parser::new(size(24), size(80), 0);
    let mut root = cursive::Cursive::new();
    root.add_fullscreen_layer(cursive::views::TextView::new("what stands here"));
    let mut runner = cursive::CursiveRunner::new(root, Box::new(line.console.clone()));
    let mut show = |line: &Line, runner: &mut cursive::CursiveRunner<cursive::Cursive>| {
        runner.refresh();
        rustix::io::write(&line.console.0.borrow().file, b"\x07").unwrap();
        let mut bytes = Vec::new();
        while bytes.last() != Some(&7) {
            bytes.extend(line.sent());
        }
        parser.process(&bytes);
        let first = parser.screen().contents().lines().next().unwrap_or_default().trim_end().to_owned();
        parser.process(b"\x1b[1;3Hkernel: noise");
        (first, bytes.len())
    };
    let (first, whole) = show(&line, &mut runner);
    assert_eq!(first, "what stands here");
    let (first, nothing) = show(&line, &mut runner);
    assert!(first.contains("noise") && nothing < 8, "{first:?}, {nothing} bytes");
    line.types(b"\x0c");
    line.console.wait(&line.bell, SOON);
    runner.process_events();
    let (first, again) = show(&line, &mut runner);
    assert_eq!(first, "what stands here");
    assert!(again >= whole - 64, "{again} of {whole} bytes");
}
