//! What the kernel's command line says to us: consoles, the report tty, a reset, module parameters. Decides nothing else.

/// The word that asks for a factory reset.
pub(crate) const RESET: &str = "halcyon.reset";

/// The parts of `/proc/cmdline` that PID 1 and the module loader look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CommandLine {
    /// Terminals named by `console=`, in order, as names below `/dev` (`tty0` is shown on `tty1`).
    pub(crate) consoles: Vec<String>,
    /// `halcyon.report=`.
    pub(crate) report: Option<String>,
    /// `halcyon.reset`.
    pub(crate) reset: bool,
    /// `MODULE.PARAMETER=VALUE`, as (module, `parameter=value`).
    pub(crate) parameters: Vec<(String, String)>,
}

impl CommandLine {
    /// Reads the text; what is not ours is passed over.
    pub(crate) fn parse(text: &str) -> Self {
        let mut this = Self::default();
        for word in text.split_ascii_whitespace() {
            this.reset |= word == RESET;
            let Some((key, value)) = word.split_once('=') else { continue };
            match key {
                "console" => this.add_console(value),
                "halcyon.report" => this.report = terminal(value),
                _ => {
                    if let Some((module, parameter)) = key.split_once('.') {
                        let module = module.replace('-', "_");
                        this.parameters.push((module, format!("{parameter}={value}")));
                    }
                }
            }
        }
        if this.consoles.is_empty() {
            this.consoles.push("tty1".to_owned());
        }
        this
    }

    fn add_console(&mut self, value: &str) {
        let name = value.split(',').next().unwrap_or_default();
        let name = if matches!(name, "tty0" | "tty") { "tty1" } else { name };
        if let Some(name) = terminal(name)
            && !self.consoles.contains(&name)
        {
            self.consoles.push(name);
        }
    }
}

/// A name below `/dev`, with or without it; nothing that leads elsewhere.
fn terminal(value: &str) -> Option<String> {
    let name = value.strip_prefix("/dev/").unwrap_or(value);
    (name.len() > 1 && name.bytes().all(|b| b.is_ascii_alphanumeric())).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consoles_report_tty_and_module_parameters_are_found() {
        let line =
            "quiet console=tty0 console=ttyS0,115200n8 halcyon.report=ttyS1 ip-vs.conn_tab_bits=16 panic=10";
        let parsed = CommandLine::parse(line);
        assert_eq!(parsed.consoles, ["tty1", "ttyS0"]);
        assert_eq!(parsed.report.as_deref(), Some("ttyS1"));
        assert!(!parsed.reset && CommandLine::parse("quiet halcyon.reset").reset);
        assert_eq!(parsed.parameters, [("ip_vs".to_owned(), "conn_tab_bits=16".to_owned())]);
    }

    #[test]
    fn without_console_the_screen_is_meant_and_a_path_is_not_a_terminal() {
        let parsed = CommandLine::parse("halcyon.report=../sda console=");
        assert_eq!(parsed.consoles, ["tty1"]);
        assert_eq!(parsed.report, None);
        assert_eq!(CommandLine::parse("halcyon.report=/dev/ttyS3").report.as_deref(), Some("ttyS3"));
    }
}
