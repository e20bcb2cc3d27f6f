//! The build from packages to products, step by step.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail};

use crate::kmod::closure;
use crate::kmod::devices::{self, PROMISED};
use crate::kmod::modinfo::Catalogue;
use crate::kmod::wanted::{UNWANTED, WANTED};
use crate::manifest::{Manifest, Product};
use crate::packages::{Packages, Versions};
use crate::rootfs::Pieces;
use crate::slot::Contents;
use crate::squashfs::Reuse;
use crate::tool::{output, tool};
use crate::{Options, disk, firmware, manifest, microcode, network_medium, rootfs, slot, squashfs};

/// Builds everything that `options` ask for.
pub(crate) fn image(options: &Options) -> Result<()> {
    let out = &options.out;
    let cache = options.cache.clone().unwrap_or_else(|| out.join("cache"));
    for directory in [out, &cache] {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    let programs = programs(options)?;
    let provision_pubkey = provision_pubkey(options, &programs)?;
    // Told before anything is downloaded: these are the builder's own slips.
    let overlays: Vec<_> = [&options.base_overlay].into_iter().chain(&options.overlay).cloned().collect();
    if let Some(missing) = overlays.iter().find(|overlay| !overlay.is_dir()) {
        bail!("the overlay {} is not a directory", missing.display());
    }

    // Builds that share a cache take turns; the lock goes with the process.
    let lock = cache.join("lock");
    let lock = File::create(&lock).with_context(|| format!("cannot write {}", lock.display()))?;
    lock.lock().context("the cache cannot be locked")?;
    let packages = Packages::obtain(&cache, if options.refresh { Versions::Newest } else { Versions::Last })?;
    let release = packages.chosen.kernel.trim_start_matches("linux-image-");
    let kernel = packages.kernel();
    let vmlinuz = kernel
        .find(&format!("/boot/vmlinuz-{release}"))
        .context("the kernel package holds no /boot/vmlinuz")?;
    let modules = kernel
        .find(&format!("/usr/lib/modules/{release}"))
        .with_context(|| format!("the kernel package holds no /usr/lib/modules/{release}"))?;
    let time = source_time(&vmlinuz)?;

    let kernel_version = &packages.chosen.packages[&packages.chosen.kernel].version;
    let catalogue =
        Catalogue::read(&modules, &cache.join(format!("modules-{release}_{kernel_version}.json")))?;
    let taken = closure::close(&catalogue, WANTED, UNWANTED)?;
    let firmware = firmware::collect(&packages, &catalogue, &taken)?;
    let devices = devices::resolve(PROMISED, &catalogue, &taken, &firmware)?;
    let state = cache.join("state.ext4");
    replace(&state, |path| disk::blank_state(path, time))?;
    let tree = rootfs::assemble(&Pieces {
        packages: &packages,
        modules: &modules,
        catalogue: &catalogue,
        taken: &taken,
        firmware: &firmware,
        programs: &programs,
        provision_pubkey: &provision_pubkey,
        state: &state,
        overlays: &overlays,
    })?;
    let files = tree.file_digests()?;
    let reuse = if options.anew { Reuse::Never } else { Reuse::Cached };
    let root_image = squashfs::pack(&cache, &tree, &tree.digest(&files), time, reuse)?;

    let initramfs = slot::initramfs(
        microcode::archive(&packages)?,
        &programs.join("init"),
        &modules,
        &catalogue,
        &root_image,
    )?;
    let size = fs::metadata(&vmlinuz)?.len() + initramfs.len() as u64;
    println!(
        "slot: {:.1} MiB (kernel {release}, {} modules, {} firmware files, {} absent)",
        size as f64 / f64::from(1 << 20),
        taken.len(),
        firmware.present.len(),
        firmware.absent.len()
    );
    slot::check_size(size, if options.overlay.is_empty() { Contents::Base } else { Contents::WithOverlays })?;
    replace(&out.join("vmlinuz"), |path| copy(&vmlinuz, path))?;
    replace(&out.join("initramfs"), |path| Ok(fs::write(path, &initramfs)?))?;
    replace(&out.join("halctl"), |path| copy(&programs.join("halctl"), path))?;

    replace(&out.join("halcyon.img"), |path| {
        let files = disk::Slot { vmlinuz: &out.join("vmlinuz"), initramfs: &out.join("initramfs"), time };
        disk::write(path, files, &cache.join("disk"))
    })?;

    let medium = network_medium::archive(&out.join("halcyon.img"))?;
    replace(&out.join("install.cpio"), |path| Ok(fs::write(path, &medium)?))?;

    let products = ["vmlinuz", "initramfs", "halctl", "halcyon.img", "install.cpio"];
    let manifest = Manifest {
        version: env!("CARGO_PKG_VERSION"),
        source_time: time,
        packages: &packages.chosen.packages,
        host_packages: manifest::host_packages()?,
        products: products
            .iter()
            .map(|name| Ok(((*name).to_owned(), Product::of(&out.join(name))?)))
            .collect::<Result<_>>()?,
        modules: taken.iter().map(|name| (name.as_str(), catalogue.modules[name].path.as_str())).collect(),
        devices: &devices,
        firmware_absent: &firmware.absent,
        firmware_present: firmware.present.keys().map(String::as_str).collect(),
        files: &files,
    };
    let text = manifest::text(&manifest)?;
    replace(&out.join("manifest.json"), |path| Ok(fs::write(path, &text)?))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).with_context(|| format!("cannot copy {}", from.display()))
}

/// Writes a product beside its place and moves it there whole, so that nobody boots half a file.
fn replace(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let partial = path.with_added_extension("partial");
    write(&partial).with_context(|| format!("cannot write {}", path.display()))?;
    fs::rename(&partial, path).with_context(|| format!("cannot write {}", path.display()))
}

/// Where the release builds of this workspace's programs are.
fn programs(options: &Options) -> Result<PathBuf> {
    let directory = match &options.programs {
        Some(directory) => directory.clone(),
        None => {
            let own = env::current_exe().context("cannot tell where mkimage lies")?;
            own.parent().context("mkimage lies nowhere")?.to_owned()
        }
    };
    for name in ["init", "halcyond", "halctl"] {
        if !directory.join(name).is_file() {
            bail!("the program {name} is not in {}; build it with cargo first", directory.display());
        }
    }
    Ok(directory)
}

/// The key that may sign documents: the integrator's, or a development key made on first use.
fn provision_pubkey(options: &Options, programs: &Path) -> Result<PathBuf> {
    if let Some(path) = &options.provision_pubkey {
        if !path.is_file() {
            bail!("the provisioning key {} is not a file", path.display());
        }
        return Ok(path.clone());
    }
    let keys = options.out.join("keys");
    let public = keys.join("provision.pub");
    if !public.is_file() {
        output(tool(programs.join("halctl")).arg("keygen").arg(&keys))
            .context("no development key can be made")?;
    }
    if !public.is_file() {
        bail!("halctl keygen left no {}; name a key with PROVISION_PUBKEY", public.display());
    }
    Ok(public)
}

/// The time on everything in the image, seconds since 1970: `SOURCE_DATE_EPOCH`, else when the kernel was packaged, which is an
/// input like any other and a lower bound for the box's clock.
fn source_time(vmlinuz: &Path) -> Result<u64> {
    if let Ok(text) = env::var("SOURCE_DATE_EPOCH") {
        return text.parse().with_context(|| format!("SOURCE_DATE_EPOCH is no number of seconds: {text}"));
    }
    let modified = fs::metadata(vmlinuz)?.modified()?;
    Ok(modified.duration_since(UNIX_EPOCH).context("the kernel was packaged before 1970")?.as_secs())
}
