//! Where to listen: `--port N` (repeatable), `--bind ADDRESS` (repeatable), and the kernel parameter `app.ports=N,M` of a test box.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, bail};

/// The port without any other word about it.
const DEFAULT_PORT: u16 = 8898;

/// Where to listen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Every address of either family, unless there is another word about it.
    pub(crate) bind: Vec<IpAddr>,
    pub(crate) ports: Vec<u16>,
}

impl Options {
    /// From the arguments and `/proc/cmdline`.
    pub(crate) fn read() -> Result<Self> {
        let parameters = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
        Self::parse(std::env::args().skip(1), &parameters)
    }

    fn parse(mut arguments: impl Iterator<Item = String>, parameters: &str) -> Result<Self> {
        let mut options = Self { bind: Vec::new(), ports: Vec::new() };
        while let Some(argument) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{argument}: a value is missing"))?;
            match argument.as_str() {
                "--port" => options.ports.push(port(&value)?),
                "--bind" => {
                    let address = value.parse().with_context(|| format!("--bind {value}: not an address"))?;
                    options.bind.push(address);
                }
                _ => bail!("{argument}: not an option; there are --port N and --bind ADDRESS"),
            }
        }
        for ports in parameters.split_ascii_whitespace().filter_map(|word| word.strip_prefix("app.ports=")) {
            for number in ports.split(',') {
                options.ports.push(port(number)?);
            }
        }
        if options.bind.is_empty() {
            options.bind = vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        }
        if options.ports.is_empty() {
            options.ports.push(DEFAULT_PORT);
        }
        options.ports.sort_unstable();
        options.ports.dedup();
        Ok(options)
    }
}

fn port(text: &str) -> Result<u16> {
    match text.parse() {
        Ok(0) | Err(_) => bail!("port {text}: not a number from 1 to 65535"),
        Ok(port) => Ok(port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str], parameters: &str) -> Result<Options> {
        Options::parse(arguments.iter().map(ToString::to_string), parameters)
    }

    #[test]
    fn arguments_and_kernel_parameters_add_up() {
        let options =
            parse(&["--port", "80", "--bind", "10.0.0.9"], "quiet app.ports=81,80 panic=1").unwrap();
        assert_eq!(options, Options { bind: vec![Ipv4Addr::new(10, 0, 0, 9).into()], ports: vec![80, 81] });
        let plain = parse(&[], "").unwrap();
        assert_eq!((plain.bind.len(), plain.ports), (2, vec![8898]));
    }

    #[test]
    fn nonsense_is_refused() {
        for arguments in [&["--port"][..], &["--port", "0"], &["--bind", "x"], &["--prot", "1"]] {
            assert!(parse(arguments, "").is_err(), "{arguments:?}");
        }
    }
}
