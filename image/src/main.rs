//! `mkimage`: builds the appliance image from Debian packages and this workspace's programs.
//!
//! Runs on the build host as any user; [`build`] is the sequence of steps and the place to start reading.
//! It never writes outside its output directory and never executes anything of the image it builds.

mod build;

mod mirror;
mod network_medium;
mod apt;
mod packages;
mod unpacked;

mod kmod;
mod firmware;
mod libraries;
mod microcode;

mod tree;
mod overlay;
mod rootfs;
mod squashfs;
mod cpio;
mod slot;

mod boot_loader;
mod fat;
mod disk;

mod manifest;

mod digest;
mod tool;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Builds the Halcyon image: slot files, disk image, workstation program and manifest.
#[derive(Debug, Parser)]
#[command(name = "mkimage")]
pub(crate) struct Options {
    /// Where the products go; made when missing.
    #[arg(long, default_value = "build")]
    out: PathBuf,
    /// Where downloads and unpacked packages are kept between builds [default: OUT/cache].
    #[arg(long)]
    cache: Option<PathBuf>,
    /// The directory with the release builds of init, halcyond and halctl [default: beside mkimage].
    #[arg(long)]
    programs: Option<PathBuf>,
    /// The tree that every image carries.
    #[arg(long, default_value = "overlay")]
    base_overlay: PathBuf,
    /// A further tree copied over the root; may be given several times, the last one wins.
    #[arg(long)]
    overlay: Vec<PathBuf>,
    /// The minisign public key that may sign documents for this image [default: OUT/keys/provision.pub].
    #[arg(long)]
    provision_pubkey: Option<PathBuf>,
    /// Ask the mirror for newer packages instead of building from the versions of the last time.
    #[arg(long)]
    refresh: bool,
    /// Pack the root image anew even if the cache has it, to compare two builds.
    #[arg(long)]
    anew: bool,
}

fn main() -> ExitCode {
    match build::image(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mkimage: {error:#}");
            ExitCode::FAILURE
        }
    }
}
