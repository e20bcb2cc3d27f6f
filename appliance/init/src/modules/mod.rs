//! Kernel modules: which one a device or the kernel asks for ([`index`], pure), and loading it ([`load`]).

mod glob;
pub(crate) mod index;
pub(crate) mod load;
