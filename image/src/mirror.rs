//! Which Debian mirror to use: the build host's own, read from its apt sources, or `DEBIAN_MIRROR`.
//!
//! Decides only addresses; the suites and components of the image are [`crate::apt`]'s.
//! Both of apt's forms are read: one-line (`deb URI suite component…`) and deb822 (`URIs:` stanzas).

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};

/// The addresses of the archive and of its security updates, without trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirror {
    pub(crate) archive: String,
    pub(crate) security: String,
}

/// One `deb` source of the host: an address with the suites it is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    uri: String,
    suites: Vec<String>,
}

impl Mirror {
    /// The mirror of this host.
    ///
    /// # Errors
    /// Neither `DEBIAN_MIRROR` nor the host's apt sources name a Debian mirror.
    pub(crate) fn of_host() -> Result<Self> {
        if let Some(archive) = env::var("DEBIAN_MIRROR").ok().filter(|value| !value.is_empty()) {
            let archive = archive.trim_end_matches('/').to_owned();
            let security = env::var("DEBIAN_SECURITY_MIRROR")
                .ok()
                .filter(|value| !value.is_empty())
                .map_or_else(|| security_beside(&archive), |value| value.trim_end_matches('/').to_owned());
            return Ok(Self { archive, security });
        }
        let texts = source_files(Path::new("/etc/apt"))
            .into_iter()
            .filter_map(|path| Some((fs::read_to_string(&path).ok()?, path)))
            .collect::<Vec<_>>();
        choose(texts.iter().flat_map(|(text, path)| parse(text, path)).collect()).context(
            "no Debian mirror in this host's apt sources; set DEBIAN_MIRROR to the address that ends in /debian",
        )
    }
}

/// `sources.list` and the files of `sources.list.d`, sorted as apt reads them.
fn source_files(apt: &Path) -> Vec<PathBuf> {
    let mut parts: Vec<_> = fs::read_dir(apt.join("sources.list.d"))
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    parts.sort();
    let mut files = vec![apt.join("sources.list")];
    files.extend(
        parts.into_iter().filter(|path| path.extension().is_some_and(|e| e == "list" || e == "sources")),
    );
    files
}

fn parse(text: &str, path: &Path) -> Vec<Source> {
    if path.extension().is_some_and(|extension| extension == "sources") {
        parse_deb822(text)
    } else {
        parse_one_line(text)
    }
}

/// sources.list(5), "one-line-style format": `deb [ options ] uri suite [component…]`.
fn parse_one_line(text: &str) -> Vec<Source> {
    let source = |line: &str| {
        let rest =
            line.split('#').next()?.trim().strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        let mut words = rest.split_whitespace();
        Some(Source { uri: clean(words.next()?)?, suites: vec![words.next()?.to_owned()] })
    };
    text.lines().filter_map(source).collect()
}

/// sources.list(5), "deb822-style format": stanzas of fields, continued by indentation.
fn parse_deb822(text: &str) -> Vec<Source> {
    let uncommented: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let mut sources = Vec::new();
    for stanza in uncommented.split(|line| line.trim().is_empty()) {
        let words = |field| field_words(stanza, field);
        let disabled = words("Enabled").first().is_some_and(|word| word.eq_ignore_ascii_case("no"));
        if disabled || !words("Types").iter().any(|word| word == "deb") {
            continue;
        }
        let suites = words("Suites");
        sources.extend(
            words("URIs").iter().filter_map(|uri| Some(Source { uri: clean(uri)?, suites: suites.clone() })),
        );
    }
    sources
}

fn field_words(stanza: &[&str], field: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut inside = false;
    for line in stanza {
        let value = if line.starts_with([' ', '\t']) {
            inside.then_some(*line)
        } else {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            inside = name.eq_ignore_ascii_case(field);
            inside.then_some(value)
        };
        words.extend(value.into_iter().flat_map(str::split_whitespace).map(str::to_owned));
    }
    words
}

/// An address apt can use from a private configuration, without trailing slash.
fn clean(uri: &str) -> Option<String> {
    let known = ["http://", "https://", "file:", "copy:", "mirror+http", "mirror://"];
    known.iter().any(|scheme| uri.starts_with(scheme)).then(|| uri.trim_end_matches('/').to_owned())
}

/// The first source that carries a Debian release, and the one that carries its security updates.
fn choose(sources: Vec<Source>) -> Option<Mirror> {
    let last = |uri: &str| uri.rsplit('/').next().unwrap_or_default().to_owned();
    let is_security = |source: &Source| {
        last(&source.uri) == "debian-security"
            || source.suites.iter().any(|suite| suite.ends_with("-security") || suite.ends_with("/updates"))
    };
    let is_debian = |source: &Source| {
        const RELEASES: [&str; 7] = ["bullseye", "bookworm", "trixie", "forky", "stable", "testing", "sid"];
        last(&source.uri) == "debian" && source.suites.iter().any(|suite| RELEASES.contains(&suite.as_str()))
    };
    let archive = sources.iter().find(|source| is_debian(source) && !is_security(source))?.uri.clone();
    let security = sources
        .iter()
        .find(|source| is_security(source))
        .map_or_else(|| security_beside(&archive), |source| source.uri.clone());
    Some(Mirror { archive, security })
}

/// Mirrors that carry both keep them side by side: `…/debian` and `…/debian-security`.
fn security_beside(archive: &str) -> String {
    format!("{archive}-security")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror_of(name: &str, text: &str) -> Option<(String, String)> {
        choose(parse(text, Path::new(name))).map(|mirror| (mirror.archive, mirror.security))
    }

    fn pair(archive: &str, security: &str) -> Option<(String, String)> {
        Some((archive.to_owned(), security.to_owned()))
    }

    #[test]
    fn one_line_form() {
        let text = "# deb http://old.example/debian bookworm main\n\
                    deb-src http://m.example/debian bookworm main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://m.example/debian/ bookworm main # comment\n\
                    deb http://s.example/debian-security bookworm-security main\n";
        assert_eq!(
            mirror_of("sources.list", text),
            pair("http://m.example/debian", "http://s.example/debian-security")
        );
    }

    #[test]
    fn deb822_form() {
        let text = "Types: deb\nURIs: https://other.example/nodejs\nSuites: nodistro\n\n\
                    Types: deb deb-src\n# a remark\nURIs:\n http://m.example/debian\nSuites: bookworm\n bookworm-updates\n\n\
                    Types: deb\nURIs: http://m.example/debian-security/\nSuites: bookworm-security\n";
        assert_eq!(
            mirror_of("debian.sources", text),
            pair("http://m.example/debian", "http://m.example/debian-security")
        );
    }

    #[test]
    fn disabled_and_foreign_sources_are_no_mirror() {
        for text in [
            "Types: deb\nEnabled: no\nURIs: http://m.example/debian\nSuites: bookworm\n",
            "Types: deb\nURIs: http://m.example/packages\nSuites: bookworm\n",
            "Types: deb-src\nURIs: http://m.example/debian\nSuites: bookworm\n",
            "Types: deb\nURIs: cdrom:[Debian]/debian\nSuites: bookworm\n",
            "",
        ] {
            assert_eq!(mirror_of("x.sources", text), None, "{text}");
        }
    }

    #[test]
    fn security_is_guessed_beside_the_archive() {
        let text = "deb http://m.example/debian stable main\n";
        assert_eq!(
            mirror_of("sources.list", text),
            pair("http://m.example/debian", "http://m.example/debian-security")
        );
    }
}
