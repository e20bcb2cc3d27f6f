//! Packets from a hostile wire, over IPv4 and IPv6: a million of them, from a fixed seed and a small corpus. None panics, and none that is
//! refused changes anything but a counter.

#![expect(clippy::unwrap_used, reason = "helpers of tests; a test that cannot go on fails")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use halcyon_core::config::types::{InstanceId, Priority, Vrid};
use halcyon_core::moment::Moment;
use halcyon_core::vrrp::machine::{Action, Event, Instance, Link, Start};
use halcyon_core::vrrp::settings::Settings;
use halcyon_core::vrrp::wire::{
    Addresses, Advert, Authentication, Coverage, Form, GROUP, GROUP6, PROTOCOL, Packet,
};

/// Each is taken for a packet of both families, and for a datagram where it can be one.
const CASES: u32 = 500_000;

const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);

fn settings(form: Form, address: IpAddr) -> Settings {
    Settings {
        id: InstanceId { interface: "lan".parse().unwrap(), vrid: Vrid::new(51).unwrap() },
        priority: Priority::new(100).unwrap(),
        interval: Duration::from_secs(1),
        addresses: Addresses::new(vec![address]).unwrap(),
        preempt: true,
        preempt_delay: Duration::ZERO,
        form,
    }
}

/// What an observer can tell of an instance, its counters aside.
fn visible(instance: &Instance) -> String {
    format!("{:?} {:?} {:?}", instance.state(), instance.poll_timeout(), instance.master())
}

/// Takes `data` for a datagram as a raw socket delivers it, and for a bare message, as backup and as master.
fn fuzz(data: &[u8], instances: &[Instance], now: Moment) -> bool {
    let mut well_formed = false;
    let bare = [
        Packet { source: [10, 0, 0, 9].into(), destination: GROUP.into(), ttl: 255, message: data },
        Packet { source: LINK_LOCAL.into(), destination: GROUP6.into(), ttl: 255, message: data },
    ];
    for packet in Packet::from_ip(data).into_iter().chain(bare) {
        let parsed = Advert::parse(&packet);
        if let Ok(advert) = &parsed {
            well_formed = true;
            let again = advert.emit(packet.source);
            let reparsed =
                Advert::parse(&Packet { message: &again, ..packet }).expect("what we emit, we parse");
            assert!(again.len() <= packet.message.len());
            assert_eq!((reparsed.priority, &reparsed.addresses), (advert.priority, &advert.addresses));
        }
        for instance in instances {
            let mut fuzzed = instance.clone();
            fuzzed.receive(&packet, now);
            let accepted = fuzzed.statistics().received > instance.statistics().received;
            assert!(parsed.is_ok() || !accepted, "{data:02x?}");
            if !accepted {
                assert_eq!(visible(&fuzzed), visible(instance), "{data:02x?}");
                let only_told = |action: &Action| matches!(action, Action::Misfit { .. });
                assert!(std::iter::from_fn(|| fuzzed.poll_action()).all(|action| only_told(&action)));
                assert_eq!(fuzzed.statistics().misfits.values().sum::<u64>(), 1);
            }
        }
    }
    well_formed
}

/// Good messages of both versions and what is worth bending of them.
fn corpus() -> Vec<Vec<u8>> {
    let source = Ipv4Addr::new(10, 0, 0, 9);
    let forms = [
        Form::V2 { authentication: Authentication::password("1111") },
        Form::V2 { authentication: Authentication::None },
        Form::V3 { checksum: Coverage::Message },
        Form::V3 { checksum: Coverage::PseudoHeader },
    ];
    let mut corpus = vec![vec![], vec![0], vec![0xff; 40], vec![0; 1500]];
    for form in forms {
        for (priority, count) in [(0, 1), (99, 1), (100, 2), (255, 20), (200, 255)] {
            let mut advert = settings(form, [10, 0, 0, 100].into()).advert(priority);
            advert.addresses = Addresses::new(vec![Ipv4Addr::new(10, 0, 0, 100); count]).unwrap();
            let message = advert.emit(source.into());
            let total = u16::try_from(20 + message.len()).unwrap().to_be_bytes();
            let header = [0x45, 0xc0, total[0], total[1], 0, 0, 0, 0, 255, PROTOCOL, 0, 0];
            corpus.push([&header[..], &source.octets(), &GROUP.octets(), &message].concat());
            corpus.push(message);
            let beside: Vec<Ipv6Addr> =
                (0..count).map(|n| Ipv6Addr::from(u128::MAX << 120 | n as u128)).collect();
            advert.addresses = Addresses::new(beside).unwrap();
            corpus.push(advert.emit(LINK_LOCAL.into()));
        }
    }
    corpus
}

/// Bends `data` in one to four ways; `random` gives numbers.
fn mutate(data: &mut Vec<u8>, random: &mut impl FnMut() -> usize) {
    for _ in 0..1 + random() % 4 {
        let at = random() % data.len().max(1);
        match random() % 6 {
            0 if !data.is_empty() => data[at] = random() as u8,
            1 if !data.is_empty() => data[at] ^= 1 << (random() % 8),
            2 => data.truncate(at),
            3 => data.resize(data.len() + random() % 40, random() as u8),
            4 if !data.is_empty() => data[at] = [0, 1, 0x7f, 0x80, 0xff][random() % 5],
            _ => repair(data),
        }
    }
}

/// Makes the checksum of a bare message right, so that what lies behind that check is reached.
fn repair(message: &mut [u8]) {
    if message.len() < 8 {
        return;
    }
    message[6..8].fill(0);
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let mut sum: u32 = message.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    message[6..8].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

#[test]
fn a_million_packets() {
    let now = Moment::ZERO + Duration::from_secs(1000);
    let forms = [
        Form::V2 { authentication: Authentication::password("1111") },
        Form::V3 { checksum: Coverage::Message },
    ];
    let starts = [Start::Fresh, Start::Resume { last_advert: now }];
    let mut instances = Vec::new();
    for (form, start) in forms.into_iter().zip(starts).chain(forms.into_iter().zip(starts.into_iter().rev()))
    {
        let ipv4 = (IpAddr::from([10, 0, 0, 100]), IpAddr::from([10, 0, 0, 5]));
        let ipv6 = (LINK_LOCAL.into(), Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 5).into());
        for (address, primary) in [ipv4, ipv6] {
            let mut instance = Instance::new(settings(form, address), start, now);
            instance.handle(Event::Link(Link::Up { primary }), now);
            while instance.poll_action().is_some() {}
            instances.push(instance);
        }
    }
    let corpus = corpus();
    for seed in &corpus {
        fuzz(seed, &instances, now);
    }
    // xorshift64* (Marsaglia 2003, Vigna 2014), from a seed that stays: a failure can be repeated.
    let mut state = 0x5eed_u64;
    let mut random = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize
    };
    let mut well_formed = 0;
    for _ in 0..CASES {
        let mut data = corpus[random() % corpus.len()].clone();
        mutate(&mut data, &mut random);
        well_formed += u32::from(fuzz(&data, &instances, now + Duration::from_millis(20)));
    }
    // Neither all rubbish nor all good: both sides of every check were seen.
    assert!((CASES / 50..CASES / 2).contains(&well_formed), "{well_formed} of {CASES} were well-formed");
}
