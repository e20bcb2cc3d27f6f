//! Golden octets, computed by hand from the RFCs' figures, a table with every field wrong, and properties.

use super::*;
use proptest::prelude::*;

const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 0, 236));

/// 192.168.0.239, VRID 51, priority 100, 1 s, v2 with PASS "1111".
///
/// Words: 2133 6401 0101 c0a8 00ef 3131 3131 0000 0000; sum 0x1_aa2e → 0xaa2f, complement 0x55d0.
const V2: [u8; 20] = [
    0x21, 0x33, 0x64, 0x01, 0x01, 0x01, 0x55, 0xd0, 0xc0, 0xa8, 0x00, 0xef, b'1', b'1', b'1', b'1', 0, 0, 0,
    0,
];

/// The same address and VRID, priority 100, 100 ms, v3; checksum over the message.
///
/// Words: 3133 6401 000a c0a8 00ef; sum 0x1_56d5 → 0x56d6, complement 0xa929.
const V3: [u8; 12] = [0x31, 0x33, 0x64, 0x01, 0x00, 0x0a, 0xa9, 0x29, 0xc0, 0xa8, 0x00, 0xef];

/// The same with a pseudo-header: c0a8 00ec e000 0012 0070 000c add 0x1_a222 to 0x56d6: 0x1_f8f8 → 0xf8f9, complement
/// 0x0706.
const V3_PSEUDO: [u8; 12] = [0x31, 0x33, 0x64, 0x01, 0x00, 0x0a, 0x07, 0x06, 0xc0, 0xa8, 0x00, 0xef];

/// 2001:db8::100, VRID 51, priority 100, 100 ms, v3 over IPv6 from [`SOURCE6`].
///
/// Words of the message: 3133 6401 000a 2001 0db8 0100 add up to 0xc3f7; of the pseudo-header: fe80 5054 00ff fe00 000a
/// ff02 0012 0018 0070 to 0x4d7c (folded); together 0x1_1173 → 0x1174, complement 0xee8b.
const V3_IPV6: [u8; 24] = [
    0x31, 0x33, 0x64, 0x01, 0x00, 0x0a, 0xee, 0x8b, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0x01, 0x00,
];
const SOURCE6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, 0x00ff, 0xfe00, 0x000a);

fn packet6(message: &[u8]) -> Packet<'_> {
    Packet { source: SOURCE6.into(), destination: GROUP6.into(), ttl: TTL, message }
}

fn packet(message: &[u8]) -> Packet<'_> {
    Packet { source: SOURCE, destination: GROUP.into(), ttl: TTL, message }
}

fn advert(interval: Duration, form: Form) -> Advert {
    Advert {
        vrid: Vrid::new(51).unwrap(),
        priority: 100,
        interval,
        addresses: Addresses::new(vec![Ipv4Addr::new(192, 168, 0, 239)]).unwrap(),
        form,
    }
}

/// `message` with `changes` made and its checksum (over the message) put right again.
fn changed(message: &[u8], changes: &[(usize, u8)]) -> Vec<u8> {
    let mut message = message.to_vec();
    for (at, octet) in changes {
        message[*at] = *octet;
    }
    message[6..8].fill(0);
    let checksum = fold(sum(&message, 0));
    message[6..8].copy_from_slice(&checksum.to_be_bytes());
    message
}

#[test]
fn golden_octets() {
    let v2 = Form::V2 { authentication: Authentication::password("1111") };
    let cases = [
        (V2.to_vec(), advert(Duration::from_secs(1), v2)),
        (V3.to_vec(), advert(Duration::from_millis(100), Form::V3 { checksum: Coverage::Message })),
        (
            V3_PSEUDO.to_vec(),
            advert(Duration::from_millis(100), Form::V3 { checksum: Coverage::PseudoHeader }),
        ),
    ];
    for (octets, advert) in cases {
        assert_eq!(advert.emit(SOURCE), octets, "{advert:?}");
        assert_eq!(Advert::parse(&packet(&octets)), Ok(advert));
    }
}

#[test]
fn every_field_wrong() {
    use Malformed as M;
    let table: Vec<(&str, Vec<u8>, Malformed)> = vec![
        ("empty", vec![], M::Short(0)),
        ("cut header", V2[..7].to_vec(), M::Short(7)),
        ("version 0", changed(&V3, &[(0, 0x01)]), M::Version(0)),
        ("version 1", changed(&V3, &[(0, 0x11)]), M::Version(1)),
        ("version 4", changed(&V3, &[(0, 0x41)]), M::Version(4)),
        ("v2 type 0", changed(&V2, &[(0, 0x20)]), M::Type(0)),
        ("v3 type 2", changed(&V3, &[(0, 0x32)]), M::Type(2)),
        ("v2 vrid 0", changed(&V2, &[(1, 0)]), M::Vrid),
        ("v3 vrid 0", changed(&V3, &[(1, 0)]), M::Vrid),
        ("v2 count 0", changed(&V2, &[(3, 0)]), M::NoAddress),
        ("v3 count 0", changed(&V3, &[(3, 0)]), M::NoAddress),
        ("v2 count 2", changed(&V2, &[(3, 2)]), M::Length { have: 20, need: 24 }),
        ("v3 count 2", changed(&V3, &[(3, 2)]), M::Length { have: 12, need: 16 }),
        ("v3 count 255", changed(&V3, &[(3, 255)]), M::Length { have: 12, need: 1028 }),
        ("v2 without authentication data", changed(&V2[..12], &[]), M::Length { have: 12, need: 20 }),
        ("v2 cut by one", V2[..19].to_vec(), M::Length { have: 19, need: 20 }),
        ("v3 cut by one", V3[..11].to_vec(), M::Length { have: 11, need: 12 }),
        ("v2 interval 0", changed(&V2, &[(5, 0)]), M::Interval),
        ("v3 interval 0", changed(&V3, &[(5, 0)]), M::Interval),
        ("v3 interval 0 under reserved bits", changed(&V3, &[(4, 0xf0), (5, 0)]), M::Interval),
        ("v2 authentication header", changed(&V2, &[(4, 2)]), M::AuthenticationType(2)),
        ("v2 authentication type 255", changed(&V2, &[(4, 255)]), M::AuthenticationType(255)),
        ("v2 priority changed on the way", with(&V2, 2, 101), M::Checksum(0x55d0)),
        ("v2 password changed on the way", with(&V2, 12, b'2'), M::Checksum(0x55d0)),
        ("v3 priority changed on the way", with(&V3, 2, 101), M::Checksum(0xa929)),
        ("v3 address changed on the way", with(&V3, 11, 0xee), M::Checksum(0xa929)),
        ("v3 checksum 0", with(&with(&V3, 6, 0), 7, 0), M::Checksum(0)),
    ];
    for (what, octets, error) in table {
        assert_eq!(Advert::parse(&packet(&octets)), Err(error), "{what}");
    }
    for ttl in [0, 1, 64, 254] {
        assert_eq!(Advert::parse(&Packet { ttl, ..packet(&V3) }), Err(M::Ttl(ttl)));
    }
    let unicast = IpAddr::from([192, 168, 0, 238]);
    let packet = Packet { destination: unicast, ..packet(&V3) };
    assert_eq!(Advert::parse(&packet), Err(M::Destination(unicast)));
}

#[test]
fn over_ipv6_the_octets_are_exact() {
    let advert = Advert {
        addresses: Addresses::new(vec![Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100)]).unwrap(),
        ..advert(Duration::from_millis(100), Form::V3 { checksum: Coverage::PseudoHeader })
    };
    assert_eq!(advert.emit(SOURCE6.into()), V3_IPV6);
    assert_eq!(Advert::parse(&packet6(&V3_IPV6)), Ok(advert));
}

#[test]
fn what_ipv6_forbids_is_refused() {
    use Malformed as M;
    let beyond = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let all_nodes = IpAddr::from(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
    let good = packet6(&V3_IPV6);
    // A checksum over the message alone, which IPv4 would have.
    let message_only = changed(&V3_IPV6, &[]);
    let sum_of = |message: &[u8]| u16::from_be_bytes([message[6], message[7]]);
    let table = [
        ("from beyond", Packet { source: beyond.into(), ..good }, M::Source(beyond)),
        ("through a router", Packet { ttl: 254, ..good }, M::Ttl(254)),
        ("to another group", Packet { destination: all_nodes, ..good }, M::Destination(all_nodes)),
        ("to the group of IPv4", Packet { destination: GROUP.into(), ..good }, M::Destination(GROUP.into())),
        ("to IPv6's group over IPv4", Packet { source: SOURCE, ..good }, M::Destination(GROUP6.into())),
        ("of version 2", packet6(&V2), M::Version(2)),
        ("cut by one", packet6(&V3_IPV6[..23]), M::Length { have: 23, need: 24 }),
        ("with an IPv4 address", packet6(&V3), M::Length { have: 12, need: 24 }),
        ("without a pseudo-header", packet6(&message_only), M::Checksum(sum_of(&message_only))),
    ];
    for (what, packet, error) in table {
        assert_eq!(Advert::parse(&packet), Err(error), "{what}");
    }
}

#[test]
fn a_virtual_router_is_of_one_family() {
    assert_eq!(Addresses::new(vec![SOURCE, SOURCE6.into()]), None);
    assert_eq!(Addresses::new(vec![SOURCE6; 255]).map(|addresses| addresses.family()), Some(Family::Ipv6));
    assert_eq!(Addresses::new(vec![SOURCE6; 256]), None);
}

fn with(message: &[u8], at: usize, octet: u8) -> Vec<u8> {
    let mut message = message.to_vec();
    message[at] = octet;
    message
}

#[test]
fn what_must_be_ignored_is_ignored() {
    // The reserved bits of version 3 (RFC 9568 §5.2.6), the data of authentication type 0 (RFC 3768 §5.3.10), zeros
    // behind the message.
    let reserved = changed(&V3, &[(4, 0xf0)]);
    assert_eq!(Advert::parse(&packet(&reserved)).unwrap().interval, Duration::from_millis(100));
    let data = changed(&V2, &[(4, 0)]);
    assert_eq!(
        Advert::parse(&packet(&data)).unwrap().form,
        Form::V2 { authentication: Authentication::None }
    );
    let padded = [&V3[..], &[0; 6]].concat();
    assert_eq!(Advert::parse(&packet(&padded)), Advert::parse(&packet(&V3)));
}

#[test]
fn the_ip_header_is_taken_off() {
    let datagram = |first: u8, total: u16, options: usize| {
        let mut datagram = vec![first, 0xc0];
        datagram.extend(total.to_be_bytes());
        datagram.extend([0, 0, 0, 0, 255, PROTOCOL, 0, 0]);
        datagram.extend([192, 168, 0, 236]);
        datagram.extend(GROUP.octets());
        datagram.extend(vec![1; options]);
        datagram.extend(V3);
        datagram
    };
    let plain = datagram(0x45, 32, 0);
    assert_eq!(Packet::from_ip(&plain), Ok(packet(&V3)));
    let options = datagram(0x46, 36, 4);
    assert_eq!(Packet::from_ip(&options), Ok(packet(&V3)));
    let link_padding = [&plain[..], &[0; 14]].concat();
    assert_eq!(Packet::from_ip(&link_padding), Ok(packet(&V3)));
    for (what, broken) in [
        ("version", datagram(0x65, 32, 0)),
        ("header length", datagram(0x44, 32, 0)),
        ("header beyond the end", datagram(0x4f, 32, 0)),
        ("total length beyond the end", datagram(0x45, 33, 0)),
        ("total length inside the header", datagram(0x45, 19, 0)),
        ("cut", plain[..19].to_vec()),
    ] {
        assert_eq!(Packet::from_ip(&broken), Err(Malformed::IpHeader), "{what}");
    }
}

#[test]
fn passwords_are_padded_cut_and_not_shown() {
    assert_eq!(Authentication::password("ab"), Authentication::Password(*b"ab\0\0\0\0\0\0"));
    assert_eq!(Authentication::password("123456789"), Authentication::Password(*b"12345678"));
    assert_eq!(format!("{:?}", Authentication::password("geheim")), "Password(…)");
}

fn any_advert() -> impl Strategy<Value = Advert> {
    let form = prop_oneof![
        (1u64..=255, any::<[u8; 8]>()).prop_map(|(s, p)| {
            (Duration::from_secs(s), Form::V2 { authentication: Authentication::Password(p) })
        }),
        (1u64..=255)
            .prop_map(|s| (Duration::from_secs(s), Form::V2 { authentication: Authentication::None })),
        (1u64..=4095, any::<bool>()).prop_map(|(cs, pseudo)| {
            let checksum = if pseudo { Coverage::PseudoHeader } else { Coverage::Message };
            (Duration::from_millis(cs * 10), Form::V3 { checksum })
        }),
    ];
    let addresses = prop::collection::vec(any::<u128>(), 1..=255);
    (1u8..=255, any::<u8>(), form, addresses, any::<bool>()).prop_map(
        |(vrid, priority, (interval, form), addresses, ipv6)| {
            let pseudo_header = matches!(form, Form::V3 { checksum: Coverage::PseudoHeader });
            let addresses = if pseudo_header && ipv6 {
                Addresses::new(addresses.into_iter().map(Ipv6Addr::from).collect())
            } else {
                Addresses::new(addresses.into_iter().map(|bits| Ipv4Addr::from(bits as u32)).collect())
            };
            let addresses = addresses.unwrap();
            Advert { vrid: Vrid::new(vrid).unwrap(), priority, interval, addresses, form }
        },
    )
}

/// Some address that an advertisement of this family can come from.
fn speaker(family: Family, bits: u128) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::from(bits as u32).into(),
        Family::Ipv6 => Ipv6Addr::from(0xfe80 << 112 | bits >> 10).into(),
    }
}

proptest! {
    #[test]
    fn what_is_emitted_parses_to_the_same(advert in any_advert(), source in any::<u128>()) {
        let family = advert.addresses.family();
        let source = speaker(family, source);
        let octets = advert.emit(source);
        prop_assert!(octets.len() <= MAX_MESSAGE);
        let packet = Packet { source, destination: group(family), ttl: TTL, message: &octets };
        let parsed = Advert::parse(&packet).unwrap();
        // A pseudo-header that adds up to nothing leaves no trace in the checksum.
        if pseudo_sum_is_zero(source, octets.len()) {
            return Ok(());
        }
        prop_assert_eq!(parsed, advert);
    }

    #[test]
    fn any_interval_can_be_sent(nanos in any::<u64>()) {
        for form in [
            Form::V2 { authentication: Authentication::None },
            Form::V3 { checksum: Coverage::Message },
        ] {
            let octets = advert(Duration::from_nanos(nanos), form).emit(SOURCE);
            prop_assert!(Advert::parse(&packet(&octets)).is_ok());
        }
    }

    #[test]
    fn one_changed_octet_is_never_the_same_advert(advert in any_advert(), at in any::<prop::sample::Index>(), by in 1u8..) {
        let family = advert.addresses.family();
        let source = speaker(family, 1);
        let mut octets = advert.emit(source);
        let at = at.index(octets.len());
        octets[at] ^= by;
        let packet = Packet { source, destination: group(family), ttl: TTL, message: &octets };
        prop_assert_ne!(Advert::parse(&packet), Ok(advert));
    }
}

fn pseudo_sum_is_zero(source: IpAddr, length: usize) -> bool {
    let IpAddr::V4(source) = source else { return false };
    let octets =
        [&source.octets()[..], &GROUP.octets(), &[0, PROTOCOL], &(length as u16).to_be_bytes()].concat();
    fold(sum(&octets, 0)) == 0
}
