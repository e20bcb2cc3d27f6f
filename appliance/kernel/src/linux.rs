//! The Linux kernel that this process runs on. Sends every operation to the interface that it belongs to and counts
//! what it sends.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use halcyon_core::config::types::{LinkName, Mac};
use halcyon_core::plan::state::{KernelState, Virtual};
use halcyon_core::reconcile::{Observed, Op, ServiceFacts};

use crate::ipvs::{self, Ipvs};
use crate::nft::Rules;
use crate::route::Network;
use crate::sysctl::Sysctls;
use crate::{Counters, Error, Kernel};

/// Where the kernel's files and the packet filter's program are.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Root of the sysctls.
    pub sysctls: PathBuf,
    /// The device tree.
    pub sys: PathBuf,
    /// The packet filter's program.
    pub nft: PathBuf,
    /// Where the rules that were set last are remembered, so that a restarted engine can adopt them. Must not outlive
    /// the kernel.
    pub rules: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            sysctls: "/proc/sys".into(),
            sys: "/sys".into(),
            nft: "/usr/sbin/nft".into(),
            rules: "/run/halcyon/rules".into(),
        }
    }
}

/// The running kernel.
pub struct Linux {
    network: Network,
    ipvs: Ipvs,
    rules: Rules,
    sysctls: Sysctls,
    /// The highest index that any link has had.
    newest: u32,
    writes: u64,
}

impl Linux {
    /// Opens the kernel's interfaces. Needs a tokio runtime.
    pub fn open(paths: &Paths) -> Result<Self, Error> {
        Ok(Self {
            network: Network::open(&paths.sys)?,
            ipvs: Ipvs::open()?,
            rules: Rules::open(&paths.nft, &paths.rules)?,
            sysctls: Sysctls::new(&paths.sysctls),
            newest: 0,
            writes: 0,
        })
    }

    /// The IPVS table, read in steps between which the engine gets to its other work.
    async fn services(&mut self) -> Result<BTreeMap<Virtual, ServiceFacts>, Error> {
        const STEP: usize = 16;
        let mut table = self.ipvs.services()?;
        for step in table.chunks_mut(STEP) {
            for service in step {
                self.ipvs.read_servers(service)?;
            }
            tokio::task::yield_now().await;
        }
        Ok(table.into_iter().map(Into::into).collect())
    }

    async fn apply_one(&mut self, op: &Op) -> Result<(), Error> {
        match op {
            Op::SetSysctl { path, value } => {
                self.sysctls.write(path, value).map_err(|e| Error::refused(op.to_string(), e))
            }
            Op::SetRules(rules) => self.rules.set(rules).await,
            _ => self.network.apply(op).await,
        }
    }
}

impl Kernel for Linux {
    async fn glance(&mut self) -> Result<Observed, Error> {
        let mut links = self.network.links().await?;
        let (addresses, link_locals) = self.network.addresses().await?;
        for (index, address) in link_locals {
            if let Some(link) = links.get_mut(&index) {
                link.link_local = Some(address);
            }
        }
        self.newest = links.keys().copied().max().unwrap_or(0).max(self.newest);
        Ok(Observed { links, newest: self.newest, addresses, ..Observed::default() })
    }

    async fn observe(&mut self, desired: &KernelState) -> Result<Observed, Error> {
        let mut observed = Observed {
            routes: self.network.routes().await?,
            rules: self.rules.hold(&desired.rules)?.then(|| desired.rules.clone()),
            services: self.services().await?,
            sync: self.ipvs.daemons()?,
            ..self.glance().await?
        };
        for path in desired.sysctls.keys() {
            let value =
                self.sysctls.read(path).map_err(|e| Error::refused(format!("read sysctl {path}"), e))?;
            observed.sysctls.extend(value.map(|value| (path.clone(), value)));
        }
        Ok(observed)
    }

    async fn apply(&mut self, batch: &[Op]) -> Vec<Result<(), Error>> {
        self.writes += batch.len() as u64;
        let mut results = Vec::with_capacity(batch.len());
        let mut rest = batch;
        while let Some(op) = rest.first() {
            let run = rest.iter().take_while(|op| Ipvs::takes(op)).count();
            if run > 0 {
                results.extend(self.ipvs.apply(&rest[..run]));
            } else {
                results.push(self.apply_one(op).await);
            }
            rest = &rest[run.max(1)..];
        }
        results
    }

    async fn neighbours(&mut self, link: &LinkName) -> Result<Vec<(IpAddr, Mac)>, Error> {
        let links = self.network.links().await?;
        match links.iter().find(|(_, facts)| facts.name == link.as_str()) {
            Some((&index, _)) => self.network.neighbours(index).await,
            None => Ok(Vec::new()),
        }
    }

    fn counters(&mut self) -> Result<Counters, Error> {
        self.rules.counters()
    }

    fn table(&mut self) -> Result<Vec<ipvs::Service>, Error> {
        self.ipvs.table()
    }

    fn writes(&self) -> u64 {
        self.writes
    }
}
