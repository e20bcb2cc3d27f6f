//! Apt's own client in a private directory: Debian 13's indexes and packages, verified by apt as on any Debian host.
//!
//! The host's apt state is neither read nor written, except for its `Acquire` settings (proxies, retries), which say how
//! this host reaches the network. Which packages are wanted is decided in [`crate::packages`].

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::mirror::Mirror;
use crate::tool::{output, tool};

/// The Debian release that the image is made of.
pub(crate) const RELEASE: &str = "trixie";

/// Debian's archive keys on the build host: what apt verifies the indexes with.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What the package index says about one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) version: String,
    /// `amd64`, or `all` for data.
    pub(crate) architecture: String,
    /// Size of the `.deb`, bytes.
    pub(crate) size: u64,
    pub(crate) sha256: String,
    /// Of each dependency the first alternative's name.
    pub(crate) depends: Vec<String>,
}

/// A private apt: its configuration file names every directory it uses.
#[derive(Debug)]
pub(crate) struct Apt {
    config: PathBuf,
    mirror: Mirror,
}

impl Apt {
    /// Writes the private configuration under `directory`.
    pub(crate) fn new(directory: &Path, mirror: Mirror) -> Result<Self> {
        if !Path::new(KEYRING).exists() {
            bail!(
                "{KEYRING} is missing; install debian-archive-keyring, packages cannot be verified without it"
            );
        }
        for name in ["state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d"] {
            let path = directory.join(name);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let config = directory.join("apt.conf");
        fs::write(directory.join("status"), "")?;
        fs::write(directory.join("etc/debian.sources"), sources(&mirror))?;
        fs::write(&config, configuration(directory, &host_acquire_settings()?))?;
        Ok(Self { config, mirror })
    }

    /// Fetches and verifies the indexes.
    pub(crate) fn update(&self) -> Result<()> {
        output(self.command("apt-get").args(["update", "-qq", "--error-on=any"])).map(drop).with_context(|| {
            format!(
                "the package indexes of Debian {RELEASE} cannot be fetched from {} and {}; check the network, or set \
                 DEBIAN_MIRROR (and DEBIAN_SECURITY_MIRROR)",
                self.mirror.archive, self.mirror.security
            )
        })
    }

    /// The newest version of each of `names`, in no particular order.
    ///
    /// # Errors
    /// A package that Debian does not have.
    pub(crate) fn records(&self, names: &[String]) -> Result<Vec<Record>> {
        // A name that does not exist makes apt-cache fail although it prints the others: judge by what came.
        let result = self
            .command("apt-cache")
            .args(["show", "--no-all-versions", "--quiet"])
            .args(names)
            .output()
            .context("apt-cache cannot be started")?;
        let records = parse_records(&String::from_utf8_lossy(&result.stdout));
        if let Some(missing) = names.iter().find(|name| !records.iter().any(|record| record.name == **name)) {
            bail!("Debian {RELEASE} at {} has no package named {missing}", self.mirror.archive);
        }
        Ok(records)
    }

    /// Downloads `record`'s package into `directory` and checks it against the signed index.
    pub(crate) fn download(&self, record: &Record, directory: &Path) -> Result<()> {
        let wanted = format!("{}={}", record.name, record.version);
        output(self.command("apt-get").args(["download", "-qq", &wanted]).current_dir(directory))
            .map(drop)
            .with_context(|| {
                format!("the package {wanted} cannot be downloaded from {}", self.mirror.archive)
            })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = tool(program);
        command.env("APT_CONFIG", &self.config);
        command
    }
}

fn sources(mirror: &Mirror) -> String {
    let stanza = |uri: &str, suites: &str| {
        format!(
            "Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main non-free-firmware\n\
             Architectures: amd64\nSigned-By: {KEYRING}\n"
        )
    };
    let archive = stanza(&mirror.archive, &format!("{RELEASE} {RELEASE}-updates"));
    format!("{archive}\n{}", stanza(&mirror.security, &format!("{RELEASE}-security")))
}

fn configuration(directory: &Path, acquire: &str) -> String {
    let at = |name: &str| directory.join(name).display().to_string();
    format!(
        "{acquire}\
         Dir::State \"{}\";\nDir::State::status \"{}\";\nDir::Cache \"{}\";\nDir::Etc \"{}\";\n\
         Dir::Etc::parts \"apt.conf.d\";\nDir::Etc::sourcelist \"debian.sources\";\nDir::Etc::sourceparts \"/dev/null\";\n\
         Dir::Etc::trusted \"/dev/null\";\nDir::Etc::trustedparts \"/dev/null\";\n\
         APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\nAPT::Sandbox::User \"root\";\n\
         Acquire::Languages \"none\";\n",
        at("state"),
        at("status"),
        at("cache"),
        at("etc"),
    )
}

/// The host's ways to the network, as apt.conf lines.
fn host_acquire_settings() -> Result<String> {
    let dump = output(tool("apt-config").arg("dump"))?;
    let dump = String::from_utf8_lossy(&dump);
    let kept = dump.lines().filter(|line| is_network_setting(line));
    Ok(kept.flat_map(|line| [line, "\n"]).collect())
}

fn is_network_setting(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    let wanted =
        ["acquire::http", "acquire::https", "acquire::retries", "acquire::check-", "acquire::forceipv"];
    !lower.ends_with("\"\";") && wanted.iter().any(|prefix| lower.starts_with(prefix))
}

/// Debian control stanzas, as `apt-cache show` prints them.
fn parse_records(text: &str) -> Vec<Record> {
    let stanza = |stanza: &str| {
        let fields: BTreeMap<_, _> = stanza.lines().filter_map(|line| line.split_once(": ")).collect();
        Some(Record {
            name: (*fields.get("Package")?).to_owned(),
            version: (*fields.get("Version")?).to_owned(),
            architecture: (*fields.get("Architecture")?).to_owned(),
            size: fields.get("Size")?.parse().ok()?,
            sha256: (*fields.get("SHA256")?).to_owned(),
            depends: ["Pre-Depends", "Depends"]
                .iter()
                .filter_map(|field| fields.get(field))
                .flat_map(|list| list.split(','))
                .filter_map(first_alternative)
                .collect(),
        })
    };
    text.split("\n\n").filter_map(stanza).collect()
}

/// `libc6 (>= 2.38) | other:any` → `libc6`.
fn first_alternative(dependency: &str) -> Option<String> {
    let name = dependency.split('|').next()?.split_whitespace().next()?;
    Some(name.split(':').next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_from_control_stanzas() {
        let text = "Package: nftables\nVersion: 1.1.3-1\nArchitecture: amd64\nPre-Depends: a (>= 1)\nDepends: libc6 (>= 2.34), libedit2:any | x\n\
                    Size: 10\nSHA256: ab\nDescription: x\n folded: y\n\nPackage: b\nVersion: 2\nArchitecture: all\nSize: 1\nSHA256: cd\n";
        let records = parse_records(text);
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].depends, ["a", "libc6", "libedit2"]);
        assert_eq!((records[1].name.as_str(), records[1].size), ("b", 1));
    }

    #[test]
    fn only_network_settings_of_the_host_are_taken() {
        assert!(is_network_setting("Acquire::http::Proxy \"http://proxy:3128\";"));
        assert!(is_network_setting("Acquire::Check-Date \"false\";"));
        assert!(!is_network_setting("Acquire::http \"\";"));
        assert!(!is_network_setting("APT::Update::Post-Invoke:: \"rm -f /x\";"));
        assert!(!is_network_setting("Acquire::GzipIndexes \"true\";"));
    }
}
