//! Loads modules from `/lib/modules`. What is in the kernel already is not an error.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::index::Index;
use crate::cmdline::CommandLine;

/// The modules of the running kernel.
#[derive(Debug)]
pub(crate) struct Loader {
    directory: PathBuf,
    index: Index,
    parameters: Vec<(String, String)>,
    loaded: BTreeSet<String>,
    /// Loaded since the last [`Loader::news`], in order.
    news: Vec<String>,
}

impl Loader {
    /// Reads the indexes of the running kernel's modules.
    pub(crate) fn open() -> io::Result<Self> {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let directory = Path::new("/lib/modules").join(release);
        let text = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
        let dep = fs::read_to_string(directory.join("modules.dep"))?;
        let index =
            Index::new(&dep, text("modules.alias"), &text("modules.softdep"), &text("modules.builtin"));
        let cmdline = CommandLine::parse(&fs::read_to_string("/proc/cmdline").unwrap_or_default());
        Ok(Self {
            directory,
            index,
            parameters: cmdline.parameters,
            loaded: BTreeSet::new(),
            news: Vec::new(),
        })
    }

    /// Loads a module by name or alias, with all it needs. The problems, if any, one sentence each.
    pub(crate) fn load(&mut self, wanted: &str) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, file) in self.index.files_of(wanted) {
            if self.loaded.contains(&name) {
                continue;
            }
            let options = options(&self.parameters, &name);
            match insert(&self.directory.join(&file), &options) {
                Ok(()) => {
                    self.news.push(name.clone());
                    self.loaded.insert(name);
                }
                // No such device: a driver that looks for its hardware by itself and finds none.
                Err(Errno::NODEV) => {}
                Err(error) => problems.push(format!("module {name} could not be loaded: {error}")),
            }
        }
        problems
    }

    /// The modules loaded since this was last asked.
    pub(crate) fn news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    /// Loads what these modaliases ask for.
    pub(crate) fn load_for(&mut self, modaliases: &BTreeSet<String>) -> Vec<String> {
        let modules = self.index.of_aliases(modaliases);
        modules.iter().flat_map(|module| self.load(module)).collect()
    }
}

/// The command line's parameters for one module.
fn options(parameters: &[(String, String)], name: &str) -> String {
    let own: Vec<&str> =
        parameters.iter().filter(|(module, _)| module == name).map(|(_, text)| text.as_str()).collect();
    own.join(" ")
}

/// Loads one file.
pub(crate) fn insert(path: &Path, options: &str) -> Result<(), Errno> {
    let file = File::open(path).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let options = CString::new(options).map_err(|_| Errno::INVAL)?;
    match rustix::system::finit_module(&file, &options, 0) {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}
