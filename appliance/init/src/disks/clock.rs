//! The clock floor on STATE: the last known time, for a box whose clock battery is dead.
//!
//! Only a clock that stood before the image's own time, so that PID 1 had to raise it, is set further. One that stands
//! anywhere else is believed: a floor from a day when it stood in the far future would hold the box there for ever.

use std::fs::{self, File};
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, Timespec, clock_settime};

use super::state;

/// The time is written down this often.
pub(super) const EVERY: Duration = Duration::from_secs(60);

/// A time so far behind the image's is nobody's.
const LONGEST: Duration = Duration::from_secs(20 * 365 * 86_400);

/// Sets a clock that PID 1 had to raise to `image` on to the time that was written down last; what was done.
pub(super) fn restore(image: Duration) -> Option<String> {
    let text = fs::read_to_string(file()).ok()?;
    let floor = later(text.trim().parse().ok()?, image).filter(|floor| *floor > now())?;
    let seconds = i64::try_from(floor.as_secs()).ok()?;
    Some(match clock_settime(ClockId::Realtime, Timespec { tv_sec: seconds, tv_nsec: 0 }) {
        Ok(()) => format!("the clock was set to the last known time ({seconds})"),
        Err(error) => format!("the clock cannot be set to the last known time: {error}"),
    })
}

/// The time that was written down, if it can be true.
fn later(seconds: u64, image: Duration) -> Option<Duration> {
    let floor = Duration::from_secs(seconds);
    (floor > image && floor < image + LONGEST).then_some(floor)
}

/// Writes the time down.
pub(super) fn save() -> io::Result<()> {
    let (path, new) = (file(), format!("{}.new", file()));
    let mut file = File::create(&new)?;
    writeln!(file, "{}", now().as_secs())?;
    file.sync_data()?;
    fs::rename(new, path)
}

/// Whether its file can be opened: no file can, once the kernel had to give the filesystem up (`ext4_file_open`,
/// fs/ext4/file.c).
pub(super) fn is_there() -> io::Result<()> {
    File::open(file()).map(drop)
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn file() -> String {
    format!("{}/clock", state::MOUNTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_the_image_or_in_the_far_future_is_not_believed() {
        let image = Duration::from_secs(1_700_000_000);
        assert_eq!(later(1_700_000_001, image), Some(Duration::from_secs(1_700_000_001)));
        for wrong in [0, 1_700_000_000, 4_070_908_800, u64::MAX] {
            assert_eq!(later(wrong, image), None, "{wrong}");
        }
    }
}
