//! The power button: `KEY_POWER` from any input device.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;

/// `struct input_event` on 64-bit machines (`include/uapi/linux/input.h`): time, type, code, value.
const EVENT_SIZE: usize = 24;
const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;

/// An input device that has a power key.
#[derive(Debug)]
pub(crate) struct Button {
    device: File,
    name: String,
}

impl Button {
    /// `eventN` below `/dev/input`, if it has a power key.
    pub(crate) fn open(name: &str) -> Option<Self> {
        let keys = fs::read_to_string(format!("/sys/class/input/{name}/device/capabilities/key")).ok()?;
        if !has_key(&keys, KEY_POWER) {
            return None;
        }
        let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
        let device = OpenOptions::new()
            .read(true)
            .custom_flags(i32::try_from(flags.bits()).expect("open flags are an int"))
            .open(format!("/dev/input/{name}"))
            .ok()?;
        Some(Self { device, name: name.to_owned() })
    }

    /// Its name below `/dev/input`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Reads what came: a press, nothing of interest, or that the device is gone.
    pub(crate) fn read(&mut self) -> Reading {
        let mut buffer = [0; 64 * EVENT_SIZE];
        match self.device.read(&mut buffer) {
            Ok(length) if buffer[..length].chunks_exact(EVENT_SIZE).any(is_press) => Reading::Pressed,
            Ok(_) => Reading::Nothing,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Reading::Nothing,
            Err(_) => Reading::Gone,
        }
    }
}

/// What reading a button gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The power key went down.
    Pressed,
    /// Another key, or none.
    Nothing,
    /// The device was removed.
    Gone,
}

impl AsFd for Button {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

fn is_press(event: &[u8]) -> bool {
    let half = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
    let value = i32::from_ne_bytes([event[20], event[21], event[22], event[23]]);
    half(16) == EV_KEY && half(18) == KEY_POWER && value == 1
}

/// Whether a bit is set in sysfs's bitmap: 64-bit words in hexadecimal, the highest first.
fn has_key(bitmap: &str, key: u16) -> bool {
    let word = bitmap.split_ascii_whitespace().rev().nth(usize::from(key) / 64);
    word.and_then(|text| u64::from_str_radix(text, 16).ok()).is_some_and(|bits| bits >> (key % 64) & 1 == 1)
}

/// The input devices there are.
pub(crate) fn all() -> Vec<Button> {
    let Ok(list) = fs::read_dir("/dev/input") else { return Vec::new() };
    let names = list.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with("event")).filter_map(|name| Button::open(&name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_power_key_is_found_in_the_bitmap() {
        assert!(has_key("10000000000000 0\n", KEY_POWER));
        assert!(!has_key("10000000000000\n", KEY_POWER));
        assert!(!has_key("", KEY_POWER));
    }

    #[test]
    fn only_a_press_of_the_power_key_counts() {
        let event = |kind: u16, code: u16, value: i32| {
            let mut bytes = vec![0; 16];
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(code.to_ne_bytes());
            bytes.extend(value.to_ne_bytes());
            bytes
        };
        assert!(is_press(&event(EV_KEY, KEY_POWER, 1)));
        assert!(!is_press(&event(EV_KEY, KEY_POWER, 0)));
        assert!(!is_press(&event(EV_KEY, 30, 1)));
        assert!(!is_press(&event(4, KEY_POWER, 1)));
    }
}
