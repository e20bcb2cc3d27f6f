//! Keeps the kernel equal to the plan: observes, has the difference worked out, applies it, and looks again. Decides
//! nothing but what is worth a line in the log; what to change is `halcyon_core::reconcile`'s to say.

use std::collections::BTreeSet;

use halcyon_core::plan::state::KernelState;
use halcyon_core::reconcile::{Observed, diff};
use halcyon_kernel::{Kernel, apply_all};
use tracing::{debug, error, info, warn};

/// Why the kernel is brought to the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The plan changed: the last observation is good enough, and a takeover waits for nothing.
    Planned,
    /// Time to look: whatever differs was changed by somebody else.
    Inspection,
}

/// The kernel, with what was last seen of it.
#[derive(Debug)]
pub struct Reconciler<K> {
    kernel: K,
    observed: Observed,
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
            reconciled: false,
            unmet: Vec::new(),
            told: BTreeSet::new(),
        }
    }

    /// Looks at the kernel afresh; when it cannot be seen, the last observation stands.
    pub async fn look(&mut self, desired: &KernelState) {
        match self.kernel.observe(desired).await {
            Ok(observed) => self.observed = observed,
            Err(error) => self.tell(format!("the kernel's state cannot be read: {error}")),
        }
    }

    /// Brings the kernel to `desired`. Returns whether anything was done.
    pub async fn bring(&mut self, desired: &KernelState, occasion: Occasion) -> bool {
        if occasion == Occasion::Inspection {
            self.look(desired).await;
        }
        let difference = diff(desired, &self.observed);
        self.unmet = difference.unmet.iter().map(ToString::to_string).collect();
        if difference.ops.is_empty() {
            self.told.clear();
            self.reconciled = true;
            return false;
        }
        let repair = occasion == Occasion::Inspection && self.reconciled;
        self.reconciled = false;
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
