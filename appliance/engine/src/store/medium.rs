//! The CONFIG partition as a medium: carries out the steps that `halcyon_core::store` asks for, past the page cache, so
//! that what is read back comes from the disk. Decides nothing.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use halcyon_core::store::Step;
use halcyon_core::store::layout::{self, BLOCK};
use halcyon_core::store::record::Record;
use halcyon_core::store::slots::Raw;
use nix::fcntl::OFlag;

/// An opened partition.
#[derive(Debug)]
pub struct Medium {
    device: File,
    size: u64,
}

impl Medium {
    /// Opens a partition for direct reads and writes; for reads alone if the disk is not to be written to, and why then.
    ///
    /// # Errors
    /// When it cannot be opened at all, or tells no size.
    pub fn open(path: &Path) -> io::Result<(Self, Option<io::Error>)> {
        let open =
            |write| File::options().read(true).write(write).custom_flags(OFlag::O_DIRECT.bits()).open(path);
        match open(true) {
            Ok(device) => Ok((Self::of(device)?, None)),
            Err(why) => Ok((Self::of(open(false)?)?, Some(why))),
        }
    }

    /// Takes an opened file.
    ///
    /// # Errors
    /// When it tells no size.
    pub fn of(mut device: File) -> io::Result<Self> {
        let size = device.seek(SeekFrom::End(0))?;
        Ok(Self { device, size })
    }

    /// Bytes of the partition.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads whole blocks.
    ///
    /// # Errors
    /// When the disk does not give them.
    pub fn read(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut buffer = Aligned::new(length.next_multiple_of(BLOCK as usize));
        self.device.read_exact_at(buffer.bytes(), at)?;
        let mut bytes = buffer.bytes().to_vec();
        bytes.truncate(length);
        Ok(bytes)
    }

    /// The two copies of the device key.
    ///
    /// # Errors
    /// When the disk does not give them.
    pub fn keys(&self) -> io::Result<[Vec<u8>; 2]> {
        let [first, second] = layout::KEY_COPIES;
        Ok([self.read(first, BLOCK as usize)?, self.read(second, BLOCK as usize)?])
    }

    /// All slots; one that the disk does not give reads as no record, and its neighbours count all the same.
    pub fn slots(&self) -> Vec<Raw> {
        (0..layout::count(self.size)).map(|number| self.slot(layout::slot(number))).collect()
    }

    fn slot(&self, at: u64) -> Raw {
        // What cannot be read must not pass for a slot that was never written, which zeros would be.
        let unreadable = |_| b"unreadable".to_vec();
        let header = self.read(at, BLOCK as usize).unwrap_or_else(unreadable);
        let confirmation = self.read(at + layout::CONFIRMATION, BLOCK as usize).unwrap_or_else(unreadable);
        let length = Record::body_length(&header).unwrap_or(0);
        let body = match length {
            0 => Vec::new(),
            length => self.read(at + layout::BODY, length).unwrap_or_else(unreadable),
        };
        Raw { header, confirmation, body }
    }

    /// Carries steps out, in order.
    ///
    /// # Errors
    /// At the first that fails; nothing after it was begun.
    pub fn carry_out(&self, steps: &[Step]) -> io::Result<()> {
        for step in steps {
            match step {
                Step::Write { at, bytes } => self.write(*at, bytes)?,
                Step::Flush => self.device.sync_data()?,
                Step::Expect { at, bytes } => {
                    if self.read(*at, bytes.len())? != *bytes {
                        return Err(io::Error::other("the disk gives back other bytes than were written"));
                    }
                }
            }
        }
        Ok(())
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut buffer = Aligned::new(bytes.len());
        buffer.bytes().copy_from_slice(bytes);
        self.device.write_all_at(buffer.bytes(), at)
    }
}

/// Memory that begins at a multiple of [`BLOCK`], as direct transfers ask for (open(2), `O_DIRECT`).
struct Aligned {
    memory: Vec<u8>,
    from: usize,
    length: usize,
}

impl Aligned {
    fn new(length: usize) -> Self {
        let memory = vec![0; length + BLOCK as usize];
        let from = memory.as_ptr().align_offset(BLOCK as usize);
        Self { memory, from, length }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.from..self.from + self.length]
    }
}
