//! One line of the log as people read it: `time unit[pid] LEVEL message key=value`. Pure.

use std::time::Duration;

use halcyon_core::journal::{Entry, Level};

/// Who sent an entry, as the kernel knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sender {
    /// The unit it belongs to, or what stands for it.
    pub(super) unit: String,
    /// Process id; 0 for the kernel.
    pub(super) pid: u32,
}

/// The line of an entry, received at `time` since 1970 (UTC).
pub(super) fn of_entry(entry: &Entry, sender: &Sender, time: Duration) -> String {
    format(sender, entry.level(), &entry.text(), time)
}

/// The line of one record of `/dev/kmsg`, `priority,sequence,microseconds,…;message` (`Documentation/ABI/testing/dev-kmsg`);
/// `boot` is when the machine started, since 1970. `None` for what is not worth keeping: everything milder than a
/// warning, but for news of firmware.
pub(super) fn of_kernel(record: &str, boot: Duration) -> Option<String> {
    let (header, message) = record.split_once(';')?;
    let mut numbers = header.split(',').map(|field| field.parse::<u64>().ok());
    let (priority, _sequence, micros) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let message = message.lines().next().unwrap_or_default();
    let level = match priority % 8 {
        0..=3 => Level::Error,
        4 => Level::Warn,
        _ if message.contains("irmware") => Level::Info,
        _ => return None,
    };
    // Facility 0 is the kernel's own; others are programs' that write there because the log is not up.
    if priority / 8 != 0 {
        return None;
    }
    let clean: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let kernel = Sender { unit: "kernel".to_owned(), pid: 0 };
    Some(format(&kernel, level, &clean, boot.saturating_add(Duration::from_micros(micros))))
}

fn format(sender: &Sender, level: Level, message: &str, time: Duration) -> String {
    let pid = if sender.pid == 0 { String::new() } else { format!("[{}]", sender.pid) };
    format!("{} {}{pid} {} {message}", timestamp(time), sender.unit, level.name())
}

/// `2026-01-31T23:59:58.123Z` (RFC 3339).
fn timestamp(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // The proleptic Gregorian calendar from days since 1970, years beginning in March.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", time.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_of_known_moments() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(timestamp(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn an_entry_becomes_one_line() {
        let entry = Entry::parse(b"MESSAGE=took over\nPRIORITY=5\nF_VRID=9\nCODE_LINE=3\n").unwrap();
        let sender = Sender { unit: "engine".to_owned(), pid: 41 };
        assert_eq!(
            of_entry(&entry, &sender, Duration::from_millis(1500)),
            "1970-01-01T00:00:01.500Z engine[41] INFO took over vrid=9"
        );
    }

    #[test]
    fn of_the_kernels_records_trouble_and_firmware_are_kept() {
        let line = |record| of_kernel(record, Duration::ZERO);
        assert_eq!(
            line("3,1,5000,-;disk died\n KEY=x").as_deref(),
            Some("1970-01-01T00:00:00.005Z kernel ERROR disk died")
        );
        assert_eq!(line("6,1,5,-;usb 1-1: new device"), None);
        assert!(line("6,1,5,-;bnx2: loading firmware").is_some());
        assert_eq!(line("27,1,5,-;init: from a program"), None);
        assert_eq!(line("nonsense"), None);
    }
}
