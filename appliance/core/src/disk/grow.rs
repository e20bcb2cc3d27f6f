//! The partition table of an image that was copied to a larger disk, grown to it: the other table moved to the disk's
//! end, the last partition extended.
//!
//! A table whose checksums do not fit would cost the box its disk, so nothing that is in force is ever written over: the
//! new array of entries goes to a place that no header names, then one sector, the header, makes it count.

use super::gpt::{ARRAY_SECTORS, Placed, Table, USUAL_ARRAY, backup_array};
use super::{ALIGNMENT, NAMES, Step};

/// Where the array lies in passing: right behind its usual place.
const IN_PASSING: u64 = USUAL_ARRAY + ARRAY_SECTORS;

/// The last sector of STATE on a disk with `sectors`.
pub fn state_end(sectors: u64) -> u64 {
    backup_array(sectors) / ALIGNMENT * ALIGNMENT - 1
}

/// The steps that grow `present` to a disk with `sectors`, and the table after them; `None`: there is nothing to do, or this
/// is not the image's layout.
pub fn grow(present: &Placed, sectors: u64) -> Option<(Vec<Step>, Table)> {
    let mut table = present.table.clone();
    let first = table.partitions.values().map(|partition| partition.first).min()?;
    let (number, state) = table.partitions.iter_mut().next_back()?;
    let is_ours = *number as usize == NAMES.len() && state.name == NAMES[NAMES.len() - 1];
    if !is_ours || first < IN_PASSING + ARRAY_SECTORS || state.first >= state_end(sectors) {
        return None;
    }
    // Never smaller: what is not the image's own making is left alone.
    state.last = state.last.max(state_end(sectors));
    if table == present.table && present.array == USUAL_ARRAY && present.backup == sectors - 1 {
        return None;
    }
    let write = |sector, bytes| [Step::Write { sector, bytes }, Step::Flush];
    let mut steps = Vec::new();
    steps.extend(write(backup_array(sectors), table.array()));
    steps.extend(write(sectors - 1, table.backup(sectors)));
    let places = if present.array == USUAL_ARRAY { &[IN_PASSING, USUAL_ARRAY][..] } else { &[USUAL_ARRAY] };
    for array in places {
        steps.extend(write(*array, table.array()));
        steps.extend(write(1, table.primary(sectors, *array)));
    }
    Some((steps, table))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::SECTOR;
    use super::super::gpt::Header;
    use super::super::gpt::tests::table;
    use super::*;

    const SECTORS: u64 = 49152;

    /// The sectors that were ever written.
    type Disk = BTreeMap<u64, Vec<u8>>;

    fn fresh() -> (Disk, Table) {
        let (table, sectors) = (table(20479), 24576);
        let mut disk = Disk::new();
        apply(&mut disk, 1, &table.primary(sectors, USUAL_ARRAY));
        apply(&mut disk, 2, &table.array());
        (disk, table)
    }

    fn apply(disk: &mut Disk, sector: u64, bytes: &[u8]) {
        disk.extend((sector..).zip(bytes.chunks(SECTOR as usize).map(<[u8]>::to_vec)));
    }

    fn read(disk: &Disk) -> Placed {
        let header = Header::read(&disk[&1]).expect("a header");
        let array =
            disk.range(header.array..header.array + ARRAY_SECTORS).flat_map(|(_, bytes)| bytes.clone());
        header.with_array(&array.collect::<Vec<_>>()).expect("the array that it names")
    }

    /// Shows every state that a power cut can leave: after each flush, the sectors of the next write up to one, or one alone.
    fn cuts(disk: &Disk, steps: &[Step], mut show: impl FnMut(&Disk)) {
        let mut disk = disk.clone();
        show(&disk);
        for step in steps {
            let Step::Write { sector, bytes } = step else { continue };
            let before = disk.clone();
            for (sector, bytes) in (*sector..).zip(bytes.chunks(SECTOR as usize)) {
                let mut alone = before.clone();
                apply(&mut alone, sector, bytes);
                apply(&mut disk, sector, bytes);
                show(&alone);
                show(&disk);
            }
        }
    }

    #[test]
    fn a_table_grows_to_the_disk_and_then_stays() {
        let (mut disk, old) = fresh();
        let (steps, new) = grow(&read(&disk), SECTORS).expect("there is room");
        for step in &steps {
            if let Step::Write { sector, bytes } = step {
                apply(&mut disk, *sector, bytes);
            }
        }
        assert_eq!(read(&disk), Placed { table: new.clone(), array: USUAL_ARRAY, backup: SECTORS - 1 });
        assert_eq!(new.partitions[&6].last, 47103);
        assert_eq!(new.partitions[&5], old.partitions[&5]);
        assert_eq!(grow(&read(&disk), SECTORS), None);
        assert!(disk[&(SECTORS - 1)].starts_with(b"EFI PART"));
    }

    /// The rule that is tested is that of Linux, which believes the primary table alone.
    #[test]
    fn every_cut_leaves_the_old_table_or_the_new_and_the_next_start_ends_it() {
        let (disk, old) = fresh();
        let (steps, new) = grow(&read(&disk), SECTORS).expect("there is room");
        assert!(steps.chunks(2).all(|pair| matches!(pair, [Step::Write { .. }, Step::Flush])));
        let mut seen = BTreeSet::new();
        cuts(&disk, &steps, |cut| {
            let found = read(cut);
            assert!(found.table == old || found.table == new);
            // What the next start does depends on what it finds in force.
            if !seen.insert((found.table == new, found.array)) {
                return;
            }
            let Some((steps, again)) = grow(&found, SECTORS) else { return };
            assert_eq!(again, new);
            cuts(cut, &steps, |cut| {
                let table = read(cut).table;
                assert!(table == old || table == new);
            });
        });
        assert_eq!(seen.len(), 3, "the old, the new in passing, the new");
    }

    #[test]
    fn a_layout_that_is_not_ours_is_left_alone() {
        let (disk, _) = fresh();
        let mut other = read(&disk);
        other.table.partitions.get_mut(&6).expect("the last").name = "home".to_owned();
        assert_eq!(grow(&other, SECTORS), None);
        let mut close = read(&disk);
        close.table.partitions.get_mut(&1).expect("the first").first = 40;
        assert_eq!(grow(&close, SECTORS), None);
        assert_eq!(grow(&read(&disk), 12288 + 34), None);
    }
}
