//! An in-memory kernel for tests: it holds an [`Observed`] and changes it as the model says. It can be told to refuse
//! operations, and it remembers what it was asked.

use std::collections::BTreeMap;
use std::net::IpAddr;

use halcyon_core::config::types::{LinkName, Mac};
use halcyon_core::plan::state::KernelState;
use halcyon_core::reconcile::{Observed, Op};

use crate::{Counters, Error, Kernel, ipvs};

/// The in-memory kernel.
#[derive(Default)]
pub struct Fake {
    /// What it holds; tests change it at will.
    pub state: Observed,
    /// Every operation it was asked to run, refused ones too.
    pub log: Vec<Op>,
    /// Answers to [`Kernel::neighbours`].
    pub neighbours: BTreeMap<LinkName, Vec<(IpAddr, Mac)>>,
    /// Answer to [`Kernel::counters`].
    pub counters: Counters,
    /// Operations that it refuses.
    refuses: Option<Refusal>,
}

type Refusal = Box<dyn Fn(&Op) -> bool + Send>;

impl Fake {
    /// A kernel that holds `state`.
    pub fn new(state: Observed) -> Self {
        Self { state, ..Self::default() }
    }

    /// From now on, refuse what `test` picks.
    pub fn refuse(&mut self, test: impl Fn(&Op) -> bool + Send + 'static) {
        self.refuses = Some(Box::new(test));
    }

    /// From now on, refuse nothing.
    pub fn relent(&mut self) {
        self.refuses = None;
    }
}

impl Kernel for Fake {
    async fn observe(&mut self, desired: &KernelState) -> Result<Observed, Error> {
        let mut observed = self.state.clone();
        observed.sysctls.retain(|path, _| desired.sysctls.contains_key(path));
        Ok(observed)
    }

    async fn glance(&mut self) -> Result<Observed, Error> {
        let Observed { links, newest, addresses, .. } = self.state.clone();
        Ok(Observed { links, newest, addresses, ..Observed::default() })
    }

    async fn apply(&mut self, batch: &[Op]) -> Vec<Result<(), Error>> {
        let mut results = Vec::with_capacity(batch.len());
        for op in batch {
            self.log.push(op.clone());
            if self.refuses.as_ref().is_some_and(|refuses| refuses(op)) {
                let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
                results.push(Err(Error::refused(op.to_string(), source)));
            } else {
                self.state.apply(op);
                results.push(Ok(()));
            }
        }
        results
    }

    async fn neighbours(&mut self, link: &LinkName) -> Result<Vec<(IpAddr, Mac)>, Error> {
        Ok(self.neighbours.get(link).cloned().unwrap_or_default())
    }

    fn counters(&mut self) -> Result<Counters, Error> {
        Ok(self.counters)
    }

    fn table(&mut self) -> Result<Vec<ipvs::Service>, Error> {
        let server = |(&(address, port), &facts): (&(IpAddr, u16), &_)| ipvs::Server {
            address,
            port,
            facts,
            active: 0,
            inactive: 0,
            persistent: 0,
            stats: ipvs::Stats::default(),
        };
        let service = |(&service, facts): (&_, &halcyon_core::reconcile::ServiceFacts)| ipvs::Service {
            service,
            scheduling: facts.scheduling.clone(),
            stats: ipvs::Stats::default(),
            servers: facts.destinations.iter().map(server).collect(),
        };
        Ok(self.state.services.iter().map(service).collect())
    }

    fn writes(&self) -> u64 {
        self.log.len() as u64
    }
}
