//! Carries out an installation: `halcyon_core::disk::install` says what goes where.
//!
//! The first and the last mebibyte of the disk, with all that could start from it, are wiped before anything is written,
//! and written last: the very last is sector 0, without which neither firmware nor kernel sees a system there.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use halcyon_core::disk::fat;
use halcyon_core::disk::gpt::{Guid, Partition, Table, USUAL_ARRAY, backup_array};
use halcyon_core::disk::install::{self, Copy};
use halcyon_core::disk::{ALIGNMENT, NAMES, SECTOR, Step};
use halcyon_core::store::layout;
use rustix::fs::{Advice, OFlags, fadvise};

use super::window::Window;
use super::{GRUBENV, state, survey};

/// Bytes copied at once.
const CHUNK: u64 = 1 << 20;

/// Progress is told so often in the course of a part.
const TOLD: u64 = 8;

/// How often a part that changed while it was copied is copied again.
const TRIES: usize = 5;

/// Installs from the medium `from`, whose running slot is `slot`, onto `disk`; a sentence about it.
pub(super) fn run(
    from: &str,
    slot: &str,
    disk: &str,
    tell: &mut dyn FnMut(String),
) -> Result<String, String> {
    let said = |name: &str, error: &dyn std::fmt::Display| format!("{name}: {error}");
    let medium = File::open(survey::node(from)).map_err(|error| said(from, &error))?;
    let table = survey::table(&medium).map_err(|error| said(from, &error))?.table;
    if let Some(why) = install::unfit_medium(&table) {
        return Err(why.to_owned());
    }
    let disks = survey::disks(Some(from));
    let target = install::find(&disks, disk).ok_or_else(|| format!("there is no disk {disk}"))?;
    if let Some(why) = install::unfit(target, &table) {
        return Err(why);
    }
    let disk = target.name.as_str();
    let exclusive = i32::try_from(OFlags::EXCL.bits()).expect("open flags are an int");
    let device = File::options().read(true).write(true).custom_flags(exclusive).open(survey::node(disk));
    let device = device.map_err(|error| said(disk, &error))?;
    let work = Work { medium, device, sectors: survey::sectors(disk), tell };
    work.carry_out(&table, slot).map_err(|error| {
        format!("{disk}: {error}; the installation was broken off, and nothing can be started from this disk")
    })?;
    let then = match survey::network_medium() {
        Some(medium) if medium == from => "have the firmware start it from there".to_owned(),
        _ => format!("remove the medium {from} and start it from {disk}"),
    };
    Ok(format!("installed on {disk}; switch the box off, {then}"))
}

struct Work<'a> {
    medium: File,
    device: File,
    /// Of the disk.
    sectors: u64,
    tell: &'a mut dyn FnMut(String),
}

impl Work<'_> {
    fn carry_out(mut self, medium: &Table, slot: &str) -> io::Result<()> {
        let fresh: io::Result<Vec<Guid>> = (0..=medium.partitions.len()).map(|_| random()).collect();
        let mut fresh = fresh?.into_iter();
        let table =
            install::table(medium, self.sectors, || fresh.next().expect("one for each, and the disk's"));
        (self.tell)("wiping the old beginning and end".to_owned());
        self.wipe(0)?;
        self.wipe(self.sectors - ALIGNMENT)?;
        self.device.sync_data()?;
        for part in install::copies(medium, slot) {
            if part.what == install::CONFIGURATION && !self.holds_records(part)? {
                // A stick that many boxes are installed from must not make all of them the same device.
                (self.tell)("configuration: there is none, the box starts as new".to_owned());
                (0..part.sectors).step_by(ALIGNMENT as usize).try_for_each(|at| self.wipe(part.to + at))?;
            } else {
                self.copy(part)?;
            }
        }
        let place = |name: &str| table.named(name).expect("the medium's layout was checked");
        self.new_environment(place(NAMES[1]))?;
        self.empty_slot(place(NAMES[3]))?;
        self.wipe(place(NAMES[5]).first)?;
        self.device.sync_data()?;
        self.make_bootable(&table)
    }

    /// Zeros one unit of alignment.
    fn wipe(&self, sector: u64) -> io::Result<()> {
        self.device.write_all_at(&vec![0; (ALIGNMENT * SECTOR) as usize], sector * SECTOR)
    }

    /// Whether a document was ever kept in this CONFIG.
    fn holds_records(&self, config: Copy) -> io::Result<bool> {
        let mut header = [0; layout::BLOCK as usize];
        for slot in 0..layout::count(config.sectors * SECTOR) {
            match self.medium.read_exact_at(&mut header, config.from * SECTOR + layout::slot(slot)) {
                Ok(()) if header.iter().any(|byte| *byte != 0) => return Ok(true),
                Ok(()) => {}
                // What a network start brings ends before it.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// What is worth copying of a part: the rest of a filesystem is free.
    fn used(&self, part: Copy) -> io::Result<u64> {
        let mut boot = [0; SECTOR as usize];
        self.medium.read_exact_at(&mut boot, part.from * SECTOR)?;
        let Some(layout) = fat::Layout::read(&boot).filter(|layout| layout.table_sectors <= part.sectors)
        else {
            return Ok(part.sectors);
        };
        let mut table = vec![0; (layout.table_sectors * SECTOR) as usize];
        self.medium.read_exact_at(&mut table, (part.from + layout.table) * SECTOR)?;
        Ok(layout.used(&table).min(part.sectors))
    }

    /// Copies a part and compares; again, if it has changed meanwhile.
    fn copy(&mut self, part: Copy) -> io::Result<()> {
        let part = Copy { sectors: self.used(part)?, ..part };
        for _ in 0..TRIES {
            self.copy_once(part)?;
            if self.is_same(part)? {
                return Ok(());
            }
        }
        Err(io::Error::other(format!("{}: the disk gives back other bytes than were written", part.what)))
    }

    fn copy_once(&mut self, part: Copy) -> io::Result<()> {
        let length = part.sectors * SECTOR;
        let mut buffer = vec![0; CHUNK as usize];
        let mut next = 0;
        for at in (0..length).step_by(CHUNK as usize) {
            if at >= next {
                (self.tell)(format!("{}: {} %", part.what, at * 100 / length));
                next += (length / TOLD).max(CHUNK);
            }
            let chunk = &mut buffer[..(length - at).min(CHUNK) as usize];
            self.medium.read_exact_at(chunk, part.from * SECTOR + at)?;
            self.device.write_all_at(chunk, part.to * SECTOR + at)?;
        }
        self.device.sync_data()
    }

    fn is_same(&mut self, part: Copy) -> io::Result<bool> {
        let length = part.sectors * SECTOR;
        (self.tell)(format!("{}: comparing", part.what));
        // What is compared must come from the disks, not from memory.
        let forget = |file: &File, sector: u64| {
            fadvise(file, sector * SECTOR, std::num::NonZero::new(length), Advice::DontNeed)
        };
        forget(&self.device, part.to)?;
        forget(&self.medium, part.from)?;
        let (mut theirs, mut ours) = (vec![0; CHUNK as usize], vec![0; CHUNK as usize]);
        for at in (0..length).step_by(CHUNK as usize) {
            let size = (length - at).min(CHUNK) as usize;
            self.medium.read_exact_at(&mut theirs[..size], part.from * SECTOR + at)?;
            self.device.read_exact_at(&mut ours[..size], part.to * SECTOR + at)?;
            if theirs[..size] != ours[..size] {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The boot loader's variables of a fresh disk, in place: GRUB writes them where they lie.
    fn new_environment(&self, system: &Partition) -> io::Result<()> {
        let window = Window::of_partition(self.device.try_clone()?, system);
        let filesystem = FileSystem::new(window, FsOptions::new().update_accessed_date(false))?;
        let mut file = filesystem.root_dir().open_file(GRUBENV)?;
        file.write_all(&install::environment())?;
        file.flush()
    }

    /// A filesystem without a system.
    fn empty_slot(&self, slot: &Partition) -> io::Result<()> {
        self.wipe(slot.first)?;
        let window = Window::of_partition(self.device.try_clone()?, slot);
        fatfs::format_volume(window, FormatVolumeOptions::new().volume_label(*b"HC-BOOT-B  "))
    }

    fn make_bootable(&mut self, table: &Table) -> io::Result<()> {
        (self.tell)("partition table".to_owned());
        let mut boot = vec![0; SECTOR as usize];
        self.medium.read_exact_at(&mut boot, 0)?;
        let write = |sector, bytes| [Step::Write { sector, bytes }, Step::Flush];
        let mut steps = Vec::new();
        steps.extend(write(backup_array(self.sectors), table.array()));
        steps.extend(write(self.sectors - 1, table.backup(self.sectors)));
        steps.extend(write(USUAL_ARRAY, table.array()));
        steps.extend(write(1, table.primary(self.sectors, USUAL_ARRAY)));
        steps.extend(write(0, install::first_sector(&boot, self.sectors)));
        state::carry_out(&self.device, &steps)
    }
}

/// Of the kernel's generator.
fn random() -> io::Result<Guid> {
    let mut bytes = [0; 16];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(16) => Ok(Guid::random(bytes)),
        Ok(_) => Err(io::Error::other("the kernel's generator gave too little")),
        Err(error) => Err(error.into()),
    }
}
