//! The device requests that have no safe binding: loop devices, partitions, ext4 and watchdogs. Nothing else is unsafe here.
#![expect(unsafe_code, reason = "ioctl numbers and argument types are promised to the kernel by hand")]

use std::os::fd::{AsFd, AsRawFd};

use rustix::io;
use rustix::ioctl::{Getter, IntegerSetter, Setter, Updater, ioctl, opcode};

/// `include/uapi/linux/loop.h`
const LOOP_SET_FD: u32 = 0x4c00;

/// `include/uapi/linux/watchdog.h`
const WDIOC_GETBOOTSTATUS: u32 = opcode::read::<i32>(b'W', 2);
const WDIOC_SETTIMEOUT: u32 = opcode::read_write::<i32>(b'W', 6);

/// `include/uapi/linux/blkpg.h`
const BLKPG: u32 = 0x1269;
const BLKPG_RESIZE_PARTITION: i32 = 3;

/// `include/uapi/linux/ext4.h`
const EXT4_IOC_RESIZE_FS: u32 = opcode::write::<u64>(b'f', 16);

/// `struct blkpg_ioctl_arg`
#[repr(C)]
struct BlkpgArgument<'a> {
    operation: i32,
    flags: i32,
    length: i32,
    partition: &'a BlkpgPartition,
}

/// `struct blkpg_partition`; the names are not looked at.
#[repr(C)]
struct BlkpgPartition {
    start: i64,
    length: i64,
    number: i32,
    names: [u8; 128],
}

/// Puts a file behind a loop device; read-only when either was opened so.
pub(crate) fn loop_set_fd(device: impl AsFd, file: impl AsFd) -> io::Result<()> {
    let number = usize::try_from(file.as_fd().as_raw_fd()).expect("an open descriptor is not negative");
    // SAFETY: LOOP_SET_FD takes a descriptor number as its integer argument.
    let request = unsafe { IntegerSetter::<LOOP_SET_FD>::new_usize(number) };
    // SAFETY: the request neither reads nor writes our memory.
    unsafe { ioctl(device, request) }
}

/// Tells the kernel that a partition of a disk in use has another size; bytes.
pub(crate) fn resize_partition(disk: impl AsFd, number: u32, start: u64, length: u64) -> io::Result<()> {
    let said = |_| io::Errno::OVERFLOW;
    let partition = BlkpgPartition {
        start: i64::try_from(start).map_err(said)?,
        length: i64::try_from(length).map_err(said)?,
        number: i32::try_from(number).map_err(said)?,
        names: [0; 128],
    };
    let argument = BlkpgArgument {
        operation: BLKPG_RESIZE_PARTITION,
        flags: 0,
        length: i32::try_from(size_of::<BlkpgPartition>()).map_err(said)?,
        partition: &partition,
    };
    // SAFETY: BLKPG reads a struct blkpg_ioctl_arg, whose form `BlkpgArgument` has.
    let request = unsafe { Setter::<BLKPG, BlkpgArgument<'_>>::new(argument) };
    // SAFETY: the partition that the argument points to lives until the call returns.
    unsafe { ioctl(disk, request) }
}

/// Grows a mounted ext4 filesystem to so many blocks; `file` is anything on it.
pub(crate) fn ext4_resize(file: impl AsFd, blocks: u64) -> io::Result<()> {
    // SAFETY: EXT4_IOC_RESIZE_FS reads one 64-bit number.
    let request = unsafe { Setter::<EXT4_IOC_RESIZE_FS, u64>::new(blocks) };
    // SAFETY: the number is the request's own.
    unsafe { ioctl(file, request) }
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
