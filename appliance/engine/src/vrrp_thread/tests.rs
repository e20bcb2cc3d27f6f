//! The thread's ends: commands in, events out, its end. What it says on the wire is shown where there is a wire, in the
//! QEMU tests.

use std::net::Ipv4Addr;
use std::time::Duration;

use halcyon_core::config::types::{Priority, Vrid};
use halcyon_core::vrrp::wire::{Addresses, Coverage, Form};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::last_advert::LastAdverts;
use super::*;

fn directory(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("halcyon-vrrp-{}-{name}", std::process::id()))
}

fn start(name: &str) -> (Handle, UnboundedReceiver<Event>) {
    let (events, inbox) = unbounded_channel();
    (spawn(&directory(name), events).unwrap(), inbox)
}

/// A virtual router on an interface that no machine has.
fn assignment(vrid: u8) -> Assignment {
    let settings = Settings {
        id: InstanceId { interface: "no-such-link".parse().unwrap(), vrid: Vrid::new(vrid).unwrap() },
        priority: Priority::new(100).unwrap(),
        interval: Duration::from_secs(1),
        addresses: Addresses::new(vec![Ipv4Addr::new(192, 0, 2, vrid)]).unwrap(),
        preempt: true,
        preempt_delay: Duration::ZERO,
        form: Form::V3 { checksum: Coverage::Message },
    };
    Assignment { settings, addresses_up: true }
}

fn report(handle: &Handle) -> BTreeMap<InstanceId, Report> {
    let (reply, answer) = oneshot::channel();
    handle.send(Command::Report(reply)).unwrap();
    answer.blocking_recv().unwrap()
}

#[test]
fn it_reports_what_it_was_told() {
    let (handle, mut inbox) = start("report");
    assert!(report(&handle).is_empty());
    handle.send(Command::Configure(vec![assignment(1), assignment(2)])).unwrap();
    let all = report(&handle);
    assert_eq!(all.len(), 2);
    assert!(all.values().all(|one| one.state == VrrpState::Init));
    handle.send(Command::Configure(vec![assignment(2)])).unwrap();
    assert_eq!(report(&handle).len(), 1);
    handle.send(Command::Stop).unwrap();
    while inbox.blocking_recv().is_some() {}
}

#[test]
fn a_socket_that_cannot_be_opened_is_told_once_and_is_a_fault() {
    let (handle, mut inbox) = start("socket");
    handle.send(Command::Configure(vec![assignment(1)])).unwrap();
    let link = |primary| Command::Link {
        interface: "no-such-link".parse().unwrap(),
        family: Family::Ipv4,
        index: 4_000_000,
        primary,
    };
    handle.send(link(Some([192, 0, 2, 200].into()))).unwrap();
    handle.send(link(Some([192, 0, 2, 200].into()))).unwrap();
    let mut told = || loop {
        match inbox.blocking_recv().unwrap() {
            Event::Weakened { .. } => {}
            event => break event,
        }
    };
    let Event::SocketFailed { interface, error } = told() else { panic!("the socket comes first") };
    assert_eq!(interface.as_str(), "no-such-link");
    assert!(error.contains("no-such-link: "), "{error}");
    assert!(matches!(told(), Event::StateChanged { to: VrrpState::Fault, .. }));
    handle.send(Command::Stop).unwrap();
    assert!(matches!(told(), Event::StateChanged { from: VrrpState::Fault, to: VrrpState::Init, .. }));
}

#[test]
fn it_ends_when_its_handle_is_gone() {
    let (handle, mut inbox) = start("gone");
    drop(handle);
    while let Some(event) = inbox.blocking_recv() {
        assert!(matches!(event, Event::Weakened { .. }));
    }
}

#[test]
fn the_next_process_reads_when_the_last_one_advertised() {
    let id = assignment(1).settings.id;
    let at = Moment::from_boot(Duration::from_nanos(1_234_567_890_123));
    let open = || {
        let mut files = LastAdverts::new(directory("times"));
        files.open(&id).unwrap();
        files
    };
    assert_eq!(open().read(&id), None, "nothing was noted yet");
    open().note(&id, Some(at));
    assert_eq!(open().read(&id), Some(at));
    open().note(&id, None);
    assert_eq!(open().read(&id), None, "given up");
    std::fs::remove_dir_all(directory("times")).unwrap();
}
