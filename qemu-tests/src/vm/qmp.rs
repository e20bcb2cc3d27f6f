//! QEMU's control protocol (QMP): one JSON object per line; a command, then its `return` or `error` among events.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// QEMU answers within this, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A control connection.
pub struct Qmp {
    reader: BufReader<UnixStream>,
    stream: UnixStream,
}

impl Qmp {
    /// Greets QEMU and enters command mode.
    pub fn open(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut qmp = Self { reader: BufReader::new(stream.try_clone()?), stream };
        let greeting = qmp.line()?;
        if greeting.get("QMP").is_none() {
            bail!("not a QMP greeting: {greeting}");
        }
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Executes a command and returns its result.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let line = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        self.stream.write_all(line.as_bytes()).with_context(|| format!("QMP {command}"))?;
        loop {
            let mut answer = self.line().with_context(|| format!("QMP {command}"))?;
            if let Some(error) = answer.get("error") {
                bail!("QMP {command}: {error}");
            }
            if let Some(result) = answer.get_mut("return") {
                return Ok(result.take());
            }
        }
    }

    /// Presses reset.
    pub fn reset(&mut self) -> Result<()> {
        self.execute("system_reset", json!({})).map(drop)
    }

    /// Presses the power button.
    pub fn press_power(&mut self) -> Result<()> {
        self.execute("system_powerdown", json!({})).map(drop)
    }

    /// Stops the processors: the machine hangs.
    pub fn pause(&mut self) -> Result<()> {
        self.execute("stop", json!({})).map(drop)
    }

    /// Lets the processors run again.
    pub fn resume(&mut self) -> Result<()> {
        self.execute("cont", json!({})).map(drop)
    }

    /// Sets the link state that the `card`-th network card shows.
    pub fn set_link(&mut self, card: usize, up: bool) -> Result<()> {
        self.execute("set_link", json!({ "name": format!("card{card}"), "up": up })).map(drop)
    }

    /// Presses keys together, by their QMP names (`ctrl`, `alt`, `delete`, `a`, `ret`…).
    pub fn press_keys(&mut self, keys: &[&str]) -> Result<()> {
        let keys: Vec<_> = keys.iter().map(|key| json!({ "type": "qcode", "data": key })).collect();
        self.execute("send-key", json!({ "keys": keys })).map(drop)
    }

    /// Writes what the screen shows as a PPM picture.
    pub fn photograph(&mut self, file: &Path) -> Result<()> {
        self.execute("screendump", json!({ "filename": file })).map(drop)
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line).context("QEMU does not answer")? == 0 {
            bail!("QEMU closed its control connection");
        }
        serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_between_a_command_and_its_answer_are_passed_over() {
        let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
        theirs
            .write_all(
                b"{\"QMP\": {}}\n{\"return\": {}}\n{\"event\": \"RESET\"}\n{\"return\": {\"running\": true}}\n\
                  {\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n",
            )
            .expect("room for a few lines");
        let mut qmp = Qmp::open(ours).expect("a greeting and a return");
        let status = qmp.execute("query-status", json!({})).expect("a return");
        assert_eq!(status, json!({ "running": true }));
        let error = qmp.set_link(0, false).expect_err("an error");
        assert!(error.to_string().contains("set_link"), "{error}");
    }
}
