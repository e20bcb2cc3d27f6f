//! GRUB of the build host, made into the two boot loaders of the image: one for BIOS, one for UEFI.
//!
//! Both read the same `grub.cfg` and `grubenv` on the EFI system partition of the disk that the firmware started them from; the
//! slot logic is in `image/boot/grub.cfg`. Decides nothing about the disk's layout, which is [`crate::disk`]'s.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::tool::{output, tool};

/// Bytes of a disk sector.
pub(crate) const SECTOR: usize = 512;

/// What every kernel is started with.
///
/// `tty0` last makes it `/dev/console`. A broken kernel must restart, not wait for someone to come; EDD probing reads every
/// disk through the BIOS and tells nothing that is used.
const CMDLINE: &str = "console=ttyS0,115200 console=tty0 loglevel=4 consoleblank=0 edd=off panic=10 oops=panic watchdog.open_timeout=60";

/// Modules linked into both loaders: nothing is read from disk but the configuration and the slot.
const MODULES: &[&str] = &[
    "datehook", "echo", "fat", "linux", "loadenv", "normal", "part_gpt", "probe", "reboot", "regexp",
    "serial", "sleep", "test", "true",
];

/// The two loaders.
#[derive(Debug)]
pub(crate) struct Loaders {
    /// The first 440 bytes of the disk.
    pub(crate) mbr: [u8; 440],
    /// The content of the BIOS boot partition.
    pub(crate) core: Vec<u8>,
    /// `/EFI/BOOT/BOOTX64.EFI`.
    pub(crate) efi: Vec<u8>,
}

/// Makes both loaders; `core_lba` is the first sector of the BIOS boot partition, `work` a directory for their files.
pub(crate) fn loaders(core_lba: u64, work: &Path) -> Result<Loaders> {
    let boot = fs::read("/usr/lib/grub/i386-pc/boot.img").context("grub-pc-bin's boot.img is missing")?;
    let core = mkimage("i386-pc", "(,gpt2)/grub", &["biosdisk"], &work.join("core.img"))?;
    let efi = mkimage("x86_64-efi", "/grub", &["all_video"], &work.join("bootx64.efi"))?;
    Ok(Loaders { mbr: mbr(&boot, core_lba)?, core: place_core(core, core_lba)?, efi })
}

fn mkimage(format: &str, prefix: &str, further: &[&str], to: &Path) -> Result<Vec<u8>> {
    output(tool("grub-mkimage").args(["-O", format, "-p", prefix, "-o"]).arg(to).args(MODULES).args(further))
        .with_context(|| format!("the boot loader for {format} cannot be made"))?;
    let image = fs::read(to).with_context(|| format!("cannot read {}", to.display()))?;
    fs::remove_file(to)?;
    Ok(image)
}

/// `boot.img` with the address of the next stage (include/grub/i386/pc/boot.h: `GRUB_BOOT_MACHINE_KERNEL_SECTOR` 0x5c,
/// `GRUB_BOOT_MACHINE_DRIVE_CHECK` 0x66).
fn mbr(boot: &[u8], core_lba: u64) -> Result<[u8; 440]> {
    let mut code: [u8; 440] = boot
        .get(..440)
        .and_then(|code| code.try_into().ok())
        .context("grub-pc-bin's boot.img is too short")?;
    code[0x5c..0x64].copy_from_slice(&core_lba.to_le_bytes());
    // Two NOPs instead of a jump: take the drive number the BIOS passed only when it is a hard disk's, as grub-install does
    // for hard disks.
    code[0x66..0x68].copy_from_slice(&[0x90, 0x90]);
    Ok(code)
}

/// The core with its own block list: where the sectors after the first are (include/grub/offsets.h and
/// grub-core/boot/i386/pc/diskboot.S: at 0x1f4 start, count, segment).
fn place_core(mut core: Vec<u8>, lba: u64) -> Result<Vec<u8>> {
    core.resize(core.len().next_multiple_of(SECTOR), 0);
    let rest = core.len() / SECTOR - 1;
    let Ok(count) = u16::try_from(rest) else {
        bail!("GRUB's core image is larger than its block list can say")
    };
    core[0x1f4..0x1fc].copy_from_slice(&(lba + 1).to_le_bytes());
    core[0x1fc..0x1fe].copy_from_slice(&count.to_le_bytes());
    core[0x1fe..0x200].copy_from_slice(&0x820_u16.to_le_bytes());
    Ok(core)
}

/// The configuration of both loaders.
pub(crate) fn configuration() -> String {
    include_str!("../boot/grub.cfg").replace("@CMDLINE@", CMDLINE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::Stdio;

    #[test]
    fn the_first_stage_knows_where_the_second_is() {
        let code = mbr(&[0xaa; 512], 2048).unwrap();
        assert_eq!(&code[0x5c..0x64], &[0, 8, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&code[0x66..0x68], &[0x90, 0x90]);
        assert_eq!(code[0x68], 0xaa);
        assert!(mbr(&[0; 100], 2048).is_err());
    }

    #[test]
    fn the_second_stage_knows_its_own_length() {
        let core = place_core(vec![1; 512 * 3 + 1], 2048).unwrap();
        assert_eq!(core.len(), 512 * 4);
        assert_eq!(&core[0x1f4..0x200], &[1, 8, 0, 0, 0, 0, 0, 0, 3, 0, 0x20, 8]);
    }

    #[test]
    fn the_environment_block_is_what_grub_reads() {
        let block = halcyon_core::disk::install::environment();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("grubenv");
        fs::write(&path, &block).unwrap();
        let list = output(tool("grub-editenv").arg(&path).arg("list")).unwrap();
        assert_eq!(
            String::from_utf8(list).unwrap(),
            "order_a=1\ngood_a=1\ntries_a=0\norder_b=0\ngood_b=0\ntries_b=0\nstamp=0\n"
        );
    }

    #[test]
    fn grub_accepts_the_script() {
        let mut child =
            tool("grub-script-check").stdin(Stdio::piped()).spawn().expect("grub-common is installed");
        child.stdin.take().expect("piped").write_all(configuration().as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn every_command_of_the_script_is_linked_in() {
        let known = [
            "if",
            "elif",
            "else",
            "fi",
            "function",
            "return",
            "set",
            "boot",
            "initrd",
            "menuentry",
            "terminal_input",
            "terminal_output",
            "}",
            "[",
        ];
        let from = |word: &str| match word {
            "load_env" | "save_env" => "loadenv".to_owned(),
            other => other.to_owned(),
        };
        let own = ["load", "start", "try_a", "try_b"];
        for line in
            configuration().lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            for statement in line.split(';') {
                let words = statement
                    .split_whitespace()
                    .skip_while(|word| ["if", "elif", "then", "else"].contains(word));
                let Some(word) = words.into_iter().next() else { continue };
                let linked = MODULES.contains(&from(word).as_str());
                assert!(linked || known.contains(&word) || own.contains(&word), "{word} in {line}");
            }
        }
    }

    #[test]
    fn nothing_is_searched() {
        let configuration = configuration();
        assert!(!configuration.contains("@"), "a placeholder is left");
        assert!(!configuration.lines().any(|line| line.trim_start().starts_with("search")));
    }
}
