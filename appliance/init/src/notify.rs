//! What units say about themselves: `READY=1` and `WATCHDOG=1`, in the form of `sd_notify(3)`.

/// Where PID 1 listens; units find it in `NOTIFY_SOCKET`.
pub(crate) const SOCKET: &str = "/run/halcyon/notify";

/// A message's statements that mean something here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statements {
    /// `READY=1`.
    pub(crate) ready: bool,
    /// `WATCHDOG=1`.
    pub(crate) beat: bool,
}

impl Statements {
    /// One assignment a line; others are passed over.
    pub(crate) fn parse(message: &[u8]) -> Self {
        let says = |statement: &[u8]| message.split(|b| *b == b'\n').any(|line| line == statement);
        Self { ready: says(b"READY=1"), beat: says(b"WATCHDOG=1") }
    }
}

#[cfg(test)]
mod tests {
    use super::Statements;

    #[test]
    fn statements_are_whole_lines() {
        for (message, ready, beat) in [
            (&b"READY=1"[..], true, false),
            (b"STATUS=up\nREADY=1\nWATCHDOG=1\n", true, true),
            (b"READY=10", false, false),
            (b"NOTREADY=1\n", false, false),
            (b"", false, false),
        ] {
            assert_eq!(Statements::parse(message), Statements { ready, beat }, "{message:?}");
        }
    }
}
