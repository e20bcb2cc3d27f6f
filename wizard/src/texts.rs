//! The catalogue: every text that a person reads, by name, with values put into it. Another language is another file.

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};
use unic_langid::langid;

/// English.
const ENGLISH: &str = include_str!("../texts/en.ftl");

/// The texts of one language.
pub(crate) struct Texts(FluentBundle<FluentResource>);

impl Texts {
    /// English.
    pub(crate) fn english() -> Self {
        let mut bundle = FluentBundle::new_concurrent(vec![langid!("en")]);
        // No invisible marks around values: a terminal would count them as cells.
        bundle.set_use_isolating(false);
        // What cannot be read of a catalogue is missing in it, and shown by its name; a test reads all of it.
        let resource = FluentResource::try_new(ENGLISH.to_owned()).unwrap_or_else(|(part, _)| part);
        let _ = bundle.add_resource(resource);
        Self(bundle)
    }

    /// The text `name`, if there is one.
    pub(crate) fn find(&self, name: &str, values: &[(&str, &str)]) -> Option<String> {
        let pattern = self.0.get_message(name)?.value()?;
        let mut arguments = FluentArgs::new();
        for (key, value) in values {
            arguments.set(*key, *value);
        }
        Some(self.0.format_pattern(pattern, Some(&arguments), &mut Vec::new()).into_owned())
    }

    /// The text `name`; its name where there is none.
    pub(crate) fn say(&self, name: &str) -> String {
        self.with(name, &[])
    }

    /// The same with values.
    pub(crate) fn with(&self, name: &str, values: &[(&str, &str)]) -> String {
        self.find(name, values).unwrap_or_else(|| format!("[{name}]"))
    }
}

impl std::fmt::Debug for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Texts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_catalogue_can_be_read() {
        FluentResource::try_new(ENGLISH.to_owned()).expect("en.ftl is in fluent's form");
        assert_eq!(Texts::english().say("nothing"), "[nothing]");
    }
}
