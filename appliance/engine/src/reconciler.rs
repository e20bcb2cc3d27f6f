//! Keeps the kernel equal to the plan: observes, has the difference worked out, applies it, and looks again. Decides
//! nothing but what is worth a line in the log; what to change is `halcyon_core::reconcile`'s to say.

use std::collections::BTreeSet;

use halcyon_core::plan::state::KernelState;
use halcyon_core::reconcile::{Difference, Observed, diff, groundwork};
use halcyon_kernel::{Kernel, apply_all};
use tracing::{debug, error, info, warn};

/// Why the kernel is brought to the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The plan changed: the last observation is good enough, and a takeover waits for nothing.
    Planned,
    /// After a look: whatever differs from an applied plan was changed by somebody else.
    Inspection,
}

/// The kernel, with what was last seen of it.
#[derive(Debug)]
pub struct Reconciler<K> {
    kernel: K,
    observed: Observed,
    /// Nothing was changed since the kernel was last looked at.
    fresh: bool,
    /// The kernel held the whole plan when it was last compared.
    reconciled: bool,
    unmet: Vec<String>,
    /// Failures that the log has already; a failure that lasts is told once.
    told: BTreeSet<String>,
}

impl<K: Kernel> Reconciler<K> {
    /// Nothing is known of `kernel` yet.
    pub fn new(kernel: K) -> Self {
        Self {
            kernel,
            observed: Observed::default(),
            fresh: false,
            reconciled: false,
            unmet: Vec::new(),
            told: BTreeSet::new(),
        }
    }

    /// Looks at links and addresses only; the rest counts as unknown until the next look.
    pub async fn glance(&mut self) {
        match self.kernel.glance().await {
            Ok(observed) => self.observed = observed,
            Err(error) => self.tell(format!("the kernel's links cannot be read: {error}")),
        }
    }

    /// Looks at the kernel afresh; when it cannot be seen, the last observation stands.
    pub async fn look(&mut self, desired: &KernelState) {
        match self.kernel.observe(desired).await {
            Ok(observed) => {
                self.observed = observed;
                self.fresh = true;
            }
            Err(error) => self.tell(format!("the kernel's state cannot be read: {error}")),
        }
    }

    /// Brings a box that has nothing to guard onto the wire. Returns whether anything was done.
    pub async fn connect(&mut self, desired: &KernelState) -> bool {
        let ops = groundwork(desired, &self.observed);
        !ops.is_empty() && self.apply(&Difference { ops, unmet: Vec::new() }, Occasion::Planned).await
    }

    /// Brings the kernel to `desired`. Returns whether anything was done.
    pub async fn bring(&mut self, desired: &KernelState, occasion: Occasion) -> bool {
        let difference = diff(desired, &self.observed);
        self.unmet = difference.unmet.iter().map(ToString::to_string).collect();
        if difference.ops.is_empty() {
            self.told.clear();
            // What was applied is only there when it was seen.
            self.reconciled |= self.fresh;
            return false;
        }
        self.apply(&difference, occasion).await
    }

    async fn apply(&mut self, difference: &Difference, occasion: Occasion) -> bool {
        let repair = occasion == Occasion::Inspection && self.reconciled;
        self.reconciled = false;
        self.fresh = false;
        let applied = apply_all(&mut self.kernel, &difference.ops).await;
        for op in &difference.ops {
            let failed = applied.failed.iter().any(|(other, _)| other == op);
            if failed || applied.withheld.contains(op) {
                continue;
            }
            self.observed.apply(op);
            if repair {
                warn!("somebody else changed the kernel: {op}");
            } else {
                debug!("{op}");
            }
        }
        for (op, error) in &applied.failed {
            self.tell(format!("{op}: {error}"));
        }
        if applied.done > 0 {
            info!(
                changes = applied.done,
                failed = applied.failed.len(),
                "the kernel was brought to the plan"
            );
        }
        applied.done > 0
    }

    /// What was last seen.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// The kernel held the whole plan when it was last compared.
    pub fn reconciled(&self) -> bool {
        self.reconciled
    }

    /// What the plan wants and this box cannot have now.
    pub fn unmet(&self) -> &[String] {
        &self.unmet
    }

    /// Changes made to the kernel since the engine started.
    pub fn writes(&self) -> u64 {
        self.kernel.writes()
    }

    /// The kernel itself, for questions.
    pub fn kernel(&mut self) -> &mut K {
        &mut self.kernel
    }

    fn tell(&mut self, failure: String) {
        if self.told.insert(failure.clone()) {
            error!("{failure}");
        }
    }
}

#[cfg(test)]
mod tests {
    use halcyon_core::config::check::check;
    use halcyon_core::config::types::Mac;
    use halcyon_core::plan::state::AddressRole;
    use halcyon_core::plan::{View, VrrpState, plan};
    use halcyon_core::reconcile::{LinkFacts, Op};
    use halcyon_kernel::fake::Fake;

    use super::*;

    /// What castor of the example wants as master, and a kernel fresh from boot with its port.
    fn castor() -> (KernelState, Fake) {
        let config = check(include_str!("../../../examples/pair.toml")).unwrap();
        let mut view = View::default();
        view.vrrp.extend(config.vrrp.keys().map(|id| (id.clone(), VrrpState::Master)));
        let desired = plan(&config, &"castor".parse().unwrap(), &view).state;
        let mut kernel = Fake::default();
        let mac = Some(Mac([0x52, 0x54, 0, 0, 0, 0x0a]));
        let port = LinkFacts {
            name: "eth0".into(),
            carrier: true,
            mtu: 1500,
            mac,
            permanent: mac,
            ..LinkFacts::default()
        };
        let loopback =
            LinkFacts { name: "lo".into(), loopback: true, up: true, mtu: 65536, ..LinkFacts::default() };
        kernel.state.links.extend([(1, loopback), (2, port)]);
        kernel.state.sysctls.extend(desired.sysctls.keys().map(|path| (path.clone(), "?".into())));
        (desired, kernel)
    }

    async fn settled() -> (KernelState, Reconciler<Fake>) {
        let (desired, kernel) = castor();
        let mut reconciler = Reconciler::new(kernel);
        while inspect(&mut reconciler, &desired).await {}
        assert!(reconciler.reconciled(), "unmet: {:?}", reconciler.unmet());
        (desired, reconciler)
    }

    async fn inspect(reconciler: &mut Reconciler<Fake>, desired: &KernelState) -> bool {
        reconciler.look(desired).await;
        reconciler.bring(desired, Occasion::Inspection).await
    }

    #[tokio::test]
    async fn an_idle_reconcile_writes_nothing() {
        let (desired, mut reconciler) = settled().await;
        let writes = reconciler.writes();
        assert!(writes > 0);
        for _ in 0..100 {
            assert!(!inspect(&mut reconciler, &desired).await);
        }
        assert_eq!(reconciler.writes(), writes);
    }

    #[tokio::test]
    async fn whatever_somebody_else_takes_away_is_back_after_one_inspection() {
        let (desired, mut reconciler) = settled().await;
        let intact = reconciler.kernel.state.clone();
        let harm: [fn(&mut Observed); 5] = [
            |state| state.services.clear(),
            |state| state.addresses.clear(),
            |state| state.rules = None,
            |state| state.sync.clear(),
            |state| state.sysctls.values_mut().for_each(|value| "0815".clone_into(value)),
        ];
        for harm in harm {
            harm(&mut reconciler.kernel.state);
            assert_ne!(reconciler.kernel.state, intact);
            assert!(inspect(&mut reconciler, &desired).await);
            assert_eq!(reconciler.kernel.state, intact);
        }
    }

    #[tokio::test]
    async fn without_its_guard_a_box_does_not_claim_the_address_and_does_so_once_it_has_it() {
        let (desired, mut kernel) = castor();
        kernel.refuse(|op| matches!(op, Op::SetRules(_)));
        let mut reconciler = Reconciler::new(kernel);
        for _ in 0..3 {
            inspect(&mut reconciler, &desired).await;
        }
        assert!(!reconciler.reconciled());
        let claimed = |log: &[Op]| {
            log.iter().any(
                |op| matches!(op, Op::AddAddress { address, .. } if address.role == AddressRole::Virtual),
            )
        };
        assert!(!claimed(&reconciler.kernel.log));
        reconciler.kernel.relent();
        while inspect(&mut reconciler, &desired).await {}
        assert!(reconciler.reconciled() && claimed(&reconciler.kernel.log));
    }
}
