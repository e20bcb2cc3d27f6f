//! A stretch of a disk as a file of its own, for the FAT filesystems on it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use halcyon_core::disk::SECTOR;
use halcyon_core::disk::gpt::Partition;

/// Bytes `from` to `from + length` of a device.
#[derive(Debug)]
pub(super) struct Window {
    device: File,
    from: u64,
    length: u64,
    at: u64,
}

impl Window {
    /// A partition.
    pub(super) fn of_partition(device: File, partition: &Partition) -> Self {
        Self { device, from: partition.first * SECTOR, length: partition.size(), at: 0 }
    }

    /// How many of `wanted` bytes lie within.
    fn within(&self, wanted: usize) -> usize {
        usize::try_from(self.length.saturating_sub(self.at)).unwrap_or(usize::MAX).min(wanted)
    }
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = self.within(buffer.len());
        let length = self.device.read_at(&mut buffer[..wanted], self.from + self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}

impl Write for Window {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.device.write_at(&bytes[..self.within(bytes.len())], self.from + self.at)?;
        self.at += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Window {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_is_read_or_written() {
        let path = std::env::temp_dir().join(format!("halcyon-window-{}", std::process::id()));
        std::fs::write(&path, [1; 4 * 512]).unwrap();
        let device = File::options().read(true).write(true).open(&path).unwrap();
        let mut window = Window { device, from: 512, length: 1024, at: 0 };
        window.seek(SeekFrom::End(-2)).unwrap();
        assert_eq!(window.write(&[9; 10]).unwrap(), 2);
        assert_eq!(window.write(&[9; 10]).unwrap(), 0);
        window.rewind().unwrap();
        let mut all = Vec::new();
        window.read_to_end(&mut all).unwrap();
        assert_eq!((all.len(), &all[1022..]), (1024, &[9, 9][..]));
        assert!(window.seek(SeekFrom::Current(-2000)).is_err());
        assert_eq!(std::fs::read(&path).unwrap().iter().filter(|byte| **byte == 9).count(), 2);
        std::fs::remove_file(&path).unwrap();
    }
}
