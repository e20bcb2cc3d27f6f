//! The device requests that have no safe binding: loop devices and watchdogs. Nothing else is unsafe here.
#![expect(unsafe_code, reason = "ioctl numbers and argument types are promised to the kernel by hand")]

use std::os::fd::{AsFd, AsRawFd};

use rustix::io;
use rustix::ioctl::{Getter, IntegerSetter, Updater, ioctl, opcode};

/// `include/uapi/linux/loop.h`
const LOOP_SET_FD: u32 = 0x4c00;

/// `include/uapi/linux/watchdog.h`
const WDIOC_GETBOOTSTATUS: u32 = opcode::read::<i32>(b'W', 2);
const WDIOC_SETTIMEOUT: u32 = opcode::read_write::<i32>(b'W', 6);

/// Puts a file behind a loop device; read-only when either was opened so.
pub(crate) fn loop_set_fd(device: impl AsFd, file: impl AsFd) -> io::Result<()> {
    let number = usize::try_from(file.as_fd().as_raw_fd()).expect("an open descriptor is not negative");
    // SAFETY: LOOP_SET_FD takes a descriptor number as its integer argument.
    let request = unsafe { IntegerSetter::<LOOP_SET_FD>::new_usize(number) };
    // SAFETY: the request neither reads nor writes our memory.
    unsafe { ioctl(device, request) }
}

/// Sets a watchdog's timeout, seconds; returns what the device made of it.
pub(crate) fn watchdog_set_timeout(device: impl AsFd, seconds: i32) -> io::Result<i32> {
    let mut value = seconds;
    // SAFETY: WDIOC_SETTIMEOUT reads and writes one int.
    let request = unsafe { Updater::<WDIOC_SETTIMEOUT, i32>::new(&mut value) };
    // SAFETY: `value` lives until the call returns.
    unsafe { ioctl(device, request) }?;
    Ok(value)
}

/// The `WDIOF_` flags of the last boot.
pub(crate) fn watchdog_boot_status(device: impl AsFd) -> io::Result<i32> {
    // SAFETY: WDIOC_GETBOOTSTATUS writes one int.
    let request = unsafe { Getter::<WDIOC_GETBOOTSTATUS, i32>::new() };
    // SAFETY: the result is a plain int that the request owns.
    unsafe { ioctl(device, request) }
}
