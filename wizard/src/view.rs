//! The wizard as a view of cursive's: keys become intents, a page becomes cells. Decides what a tone looks like, and which
//! rows are seen when there are more than fit; nothing else.

use cursive::event::{Event, EventResult, Key};
use cursive::style::{BaseColor, Color, ColorStyle, Effect as Look, Style};
use cursive::{Cursive, Printer, Vec2, View};
use unicode_width::UnicodeWidthStr;

use crate::model::page::{Page, Row, Tone, page};
use crate::model::{Effect, Intent, Press, Wizard};
use crate::texts::Texts;

/// The view's name.
pub(crate) const NAME: &str = "wizard";

/// The wizard on a screen.
pub(crate) struct Screen {
    /// The wizard itself.
    pub(crate) wizard: Wizard,
    /// What is to be done, and was not taken yet.
    pub(crate) effects: Vec<Effect>,
    /// Keys that were pressed so far.
    pub(crate) keys: usize,
    texts: Texts,
    /// Rows that a person scrolled the page by.
    scrolled: usize,
    size: Vec2,
}

impl Screen {
    /// Shows `wizard`.
    pub(crate) fn new(wizard: Wizard, texts: Texts) -> Self {
        Self { wizard, effects: Vec::new(), keys: 0, texts, scrolled: 0, size: Vec2::zero() }
    }

    /// Hands an intent to the wizard.
    pub(crate) fn hand(&mut self, intent: Intent) {
        self.effects.extend(self.wizard.update(intent));
    }

    fn press(&mut self, press: Press) -> EventResult {
        self.scrolled = 0;
        self.keys = self.keys.wrapping_add(1);
        self.hand(Intent::Press(press));
        EventResult::consumed()
    }

    fn page(&self) -> Page {
        page(&self.wizard, &self.texts, self.size.x)
    }

    /// Rows between the two lines at the top and the one at the bottom.
    fn body(&self) -> usize {
        self.size.y.saturating_sub(3).max(1)
    }

    fn scroll(&mut self, down: bool) -> EventResult {
        let step = self.body() / 2;
        let most = self.page().rows.len().saturating_sub(self.body());
        self.scrolled =
            if down { (self.scrolled + step).min(most) } else { self.scrolled.saturating_sub(step) };
        EventResult::consumed()
    }

    /// The first row that is seen.
    fn first(&self, rows: &[Row]) -> usize {
        let body = self.body();
        let most = rows.len().saturating_sub(body);
        let last = rows.iter().rposition(|row| row.focused).unwrap_or(0);
        // One row more, for what is said about it.
        (last + 2).saturating_sub(body).max(self.scrolled).min(most)
    }
}

impl View for Screen {
    fn draw(&self, printer: &Printer<'_, '_>) {
        let page = self.page();
        let width = printer.size.x;
        let top = format!(" {}", page.title);
        let gap = width.saturating_sub(top.width() + page.place.width() + 1);
        paint(printer, 0, 0, &format!("{top}{}{} ", " ".repeat(gap), page.place), bar());
        let first = self.first(&page.rows);
        for (index, row) in page.rows.iter().skip(first).take(self.body()).enumerate() {
            let mut x = 1;
            for span in &row.spans {
                paint(printer, x, index + 2, &span.text, style(span.tone));
                x += span.text.width();
            }
        }
        let bottom = printer.size.y.saturating_sub(1);
        let more = page.rows.len() > first + self.body();
        let keys = if more { format!(" {}   PgDn more", page.keys) } else { format!(" {}", page.keys) };
        paint(printer, 0, bottom, &format!("{keys:<width$}"), bar());
    }

    fn layout(&mut self, size: Vec2) {
        self.size = size;
    }

    fn required_size(&mut self, constraint: Vec2) -> Vec2 {
        constraint
    }

    fn take_focus(
        &mut self,
        _: cursive::direction::Direction,
    ) -> Result<EventResult, cursive::view::CannotFocus> {
        Ok(EventResult::consumed())
    }

    fn on_event(&mut self, event: Event) -> EventResult {
        let press = match event {
            Event::Char(key) => Press::Char(key),
            Event::Key(Key::Enter) => Press::Enter,
            Event::Key(Key::Tab) => Press::Next,
            Event::Shift(Key::Tab) => Press::Previous,
            Event::Key(Key::Up) => Press::Up,
            Event::Key(Key::Down) => Press::Down,
            Event::Key(Key::Left) => Press::Left,
            Event::Key(Key::Right) => Press::Right,
            Event::Key(Key::Home) => Press::Home,
            Event::Key(Key::End) => Press::End,
            Event::Key(Key::Backspace) => Press::Erase,
            Event::Key(Key::Del) => Press::Delete,
            Event::CtrlChar('u') => Press::Clear,
            Event::Key(Key::Esc) => Press::Back,
            Event::Key(Key::PageDown) => return self.scroll(true),
            Event::Key(Key::PageUp) => return self.scroll(false),
            _ => return EventResult::Ignored,
        };
        self.press(press)
    }
}

/// A cursive root that shows the wizard on the whole screen and nothing beside it.
pub(crate) fn root(wizard: Wizard, texts: Texts) -> Cursive {
    use cursive::view::Nameable;
    let mut root = Cursive::new();
    root.set_theme(cursive::theme::Theme::terminal_default());
    root.clear_all_global_callbacks();
    root.set_on_pre_event(Event::Exit, Cursive::quit);
    root.add_fullscreen_layer(Screen::new(wizard, texts).with_name(NAME));
    root
}

fn paint(printer: &Printer<'_, '_>, x: usize, y: usize, text: &str, style: Style) {
    printer.with_style(style, |printer| printer.print((x, y), text));
}

fn bar() -> Style {
    Style::from(Look::Reverse)
}

/// Eight colours, and an effect or a mark beside each.
fn style(tone: Tone) -> Style {
    let coloured = |base| Style::from(ColorStyle::new(Color::Dark(base), Color::TerminalDefault));
    match tone {
        Tone::Plain | Tone::Faint => Style::default(),
        Tone::Strong => Style::from(Look::Bold),
        Tone::Input => Style::from(Look::Underline),
        Tone::Focus | Tone::Cursor => Style::from(Look::Reverse),
        Tone::Good => coloured(BaseColor::Green),
        Tone::Bad => coloured(BaseColor::Red).combine(Look::Bold),
    }
}

#[cfg(test)]
mod tests;
