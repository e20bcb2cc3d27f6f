//! Kernel modules: which ones the image carries, and the indexes that PID 1 resolves device names with.
//!
//! [`wanted`] is the list as data, [`modinfo`] what each module says of itself, [`closure`] the modules that follow from the
//! list, [`index`] the files that depmod would have written,
//! [`devices`] the hardware that must come out driven. Nothing here loads a module.

pub(crate) mod wanted;

pub(crate) mod modinfo;

pub(crate) mod closure;

pub(crate) mod index;

pub(crate) mod devices;
