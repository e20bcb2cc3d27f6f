//! What a console of the box shows. A box without a configuration asks for one; a box at work tells what it does.
//! One process for each console, as a user who may nothing but ask the engine. It ends when its terminal hangs up, and is
//! started anew.
//!
//! [`model`] is the wizard itself, as a function of values; [`view`] shows it with cursive; [`console`] is the terminal.

mod client;
mod console;
mod keep;
mod model;
mod texts;
mod view;

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cursive::{Cursive, CursiveRunner};

use client::Client;
use console::Console;
use console::paint::Charset;
use model::{Effect, Intent, Wizard};
use texts::Texts;
use view::Screen;

/// The command line, and its verb for a console.
const COMMAND_LINE: [&str; 2] = ["/usr/lib/halcyon/bin/halctl", "console"];
/// What it is told after the password was given.
const UNLOCKED: &str = "--unlocked";
/// The kernel parameter that makes consoles change things without a password.
const FULL: &str = "halcyon.console=full";
/// A console at which nobody typed for so long asks for the password again.
const LOCKS_AFTER: Duration = Duration::from_secs(300);
/// The longest that nothing is looked at.
const IDLE: Duration = Duration::from_secs(60);

/// Runs on standard input until that hangs up, or until the command line takes its place.
///
/// # Errors
/// When the kernel gives no descriptors or no thread, or the command line cannot be started.
pub fn run() -> io::Result<()> {
    let file = console::standard_input()?;
    // The kernel's own screen shows UTF-8; of a serial line nothing is known.
    let charset = match std::env::var("TERM").as_deref() {
        Ok("linux") => Charset::Utf8,
        _ => Charset::Ascii,
    };
    let console = Console::open(file, charset);
    let mut client = Client::start()?;
    let kept = keep::read(Path::new(keep::FILE)).unwrap_or_default();
    let here = console::name();
    let parameters = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let full = parameters.split_whitespace().any(|parameter| parameter == FULL);
    let root = view::root(Wizard::new(kept, here.clone(), full), Texts::english());
    let mut runner = CursiveRunner::new(root, Box::new(console.clone()));
    runner.refresh();
    let (mut keys, mut typed_at) = (0, Instant::now());
    while !console.is_gone() && !client.gone {
        console.wait(&client.bell, IDLE);
        // Who else types is known before a key counts.
        with(&mut runner, |screen| screen.hand(Intent::Held(keep::holder())));
        runner.process_events();
        let pressed = with(&mut runner, |screen| screen.keys);
        if pressed != std::mem::replace(&mut keys, pressed) {
            typed_at = Instant::now();
        } else if typed_at.elapsed() > LOCKS_AFTER {
            with(&mut runner, |screen| screen.hand(Intent::Idle));
        }
        let news = client.news();
        let effects = with(&mut runner, |screen| {
            let scene = screen.wizard.scene();
            news.into_iter().for_each(|intent| screen.hand(intent));
            if screen.wizard.scene() != scene {
                // What changed the scene was told on the consoles by others, too.
                console.repaint();
            }
            std::mem::take(&mut screen.effects)
        });
        for effect in effects {
            match effect {
                Effect::Ask(ask) => client.ask(ask),
                // What cannot be kept is lost with this program, and nobody is the worse for it now.
                Effect::Keep(kept) => drop(keep::write(Path::new(keep::FILE), &kept)),
                // Likewise.
                Effect::Hold => drop(keep::hold(&here)),
                Effect::TakeOver => {
                    drop(keep::hold(&here));
                    let kept = keep::read(Path::new(keep::FILE)).unwrap_or_default();
                    with(&mut runner, |screen| screen.hand(Intent::TakenOver(Box::new(kept))));
                }
                Effect::CommandLine { full } => {
                    console.leave();
                    let [program, verb] = COMMAND_LINE;
                    return Err(Command::new(program).arg(verb).args(full.then_some(UNLOCKED)).exec());
                }
            }
        }
        runner.refresh();
    }
    Ok(())
}

fn with<T>(runner: &mut CursiveRunner<Cursive>, work: impl FnOnce(&mut Screen) -> T) -> T {
    runner.call_on_name(view::NAME, work).expect("the one view is there as long as the program")
}
