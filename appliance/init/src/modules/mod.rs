//! Kernel modules: which one a device or the kernel asks for ([`index`], pure), and loading it ([`load`]).

pub(crate) mod index;
pub(crate) mod load;
