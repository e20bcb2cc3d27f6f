//! What an operator in front of a console should know: one sentence for an event, or none. Decides words only.

use halcyon_core::plan::VrrpState;
use halcyon_core::report::Event;

/// The sentence; `None` for what only a log or a test needs.
pub(crate) fn sentence(event: &Event) -> Option<String> {
    Some(match event {
        Event::Boot { version } => format!("Halcyon {version}"),
        Event::Ready { unconfigured: true, why, .. } => match why {
            Some(why) => format!("not configured: {why}"),
            None => "not configured".to_owned(),
        },
        Event::Ready { member: Some(member), .. } => format!("{member} is in service"),
        Event::Ready { .. } => return None,
        Event::Vrrp { id, interface, state, why } => {
            let role = match state {
                VrrpState::Init => "stopped",
                VrrpState::Backup => "backup",
                VrrpState::Master => "master",
                VrrpState::Fault => "at fault",
            };
            format!("virtual router {id} on {interface}: {role} ({why})")
        }
        Event::Config { refused, source, .. } if !refused.is_empty() => {
            format!("the configuration from {source} was refused: {}", refused.join("; "))
        }
        Event::Config { generation: Some(generation), source, .. } => {
            format!("configuration {generation} taken from {source}")
        }
        Event::Config { .. } => return None,
        Event::Unit { name, state, detail: Some(detail), .. }
            if matches!(state.as_str(), "waiting" | "silent") =>
        {
            format!("{name} keeps ending: {detail}")
        }
        Event::Unit { .. } => return None,
        Event::Guard { dropped } => format!("the storm guard stopped {dropped} packets on their way back"),
        Event::Disk { disk, what } => format!("{disk}: {what}"),
        Event::Shutdown { action } => format!("going down: {action}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_starts_are_silent_and_trouble_is_not() {
        let unit = |state: &str, detail: Option<&str>| Event::Unit {
            name: "engine".to_owned(),
            state: state.to_owned(),
            pid: Some(7),
            detail: detail.map(str::to_owned),
        };
        assert_eq!(sentence(&unit("started", None)), None);
        assert_eq!(sentence(&unit("exited", Some("signal 9"))), None);
        assert_eq!(
            sentence(&unit("waiting", Some("starts again in 0.4 s"))).as_deref(),
            Some("engine keeps ending: starts again in 0.4 s")
        );
    }

    #[test]
    fn a_takeover_is_told_with_its_reason() {
        let event = Event::Vrrp {
            id: 9,
            interface: "lan".to_owned(),
            state: VrrpState::Master,
            why: "the master is silent".to_owned(),
        };
        assert_eq!(
            sentence(&event).as_deref(),
            Some("virtual router 9 on lan: master (the master is silent)")
        );
    }
}
