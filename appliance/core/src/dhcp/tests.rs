use std::time::Duration;

use proptest::prelude::*;

use super::*;

const MAC: Mac = Mac([0x52, 0x54, 0, 0, 0, 0x0a]);
const SERVER: [u8; 4] = [192, 0, 2, 1];

/// What a server makes of a client's message; written by hand, for a server that shares the client's code shares its faults.
struct Server {
    /// OFFER 2, ACK 5, NAK 6 (RFC 2132 §9.6).
    reply: u8,
    address: [u8; 4],
    mask: [u8; 4],
    lease: u32,
}

impl Default for Server {
    fn default() -> Self {
        Self { reply: 2, address: [192, 0, 2, 77], mask: [255, 255, 255, 0], lease: 3600 }
    }
}

impl Server {
    fn answer(&self, question: &[u8]) -> Vec<u8> {
        let asked = &question[42..];
        let mut answer = vec![0; 236];
        answer[..3].copy_from_slice(&[2, 1, 6]);
        answer[4..8].copy_from_slice(&asked[4..8]);
        answer[16..20].copy_from_slice(&self.address);
        answer[28..34].copy_from_slice(&MAC.0);
        answer.extend([99, 130, 83, 99, 53, 1, self.reply, 54, 4]);
        answer.extend(SERVER);
        answer.extend([51, 4]);
        answer.extend(self.lease.to_be_bytes());
        answer.extend([1, 4]);
        answer.extend(self.mask);
        answer.extend([3, 4, 192, 0, 2, 254, 6, 8, 192, 0, 2, 53, 192, 0, 2, 54, 255]);
        frame(&answer)
    }
}

/// Ethernet, IPv4 and UDP around `payload`, from a server to everybody.
fn frame(payload: &[u8]) -> Vec<u8> {
    let length = |more: usize| ((payload.len() + more) as u16).to_be_bytes();
    let mut ip = vec![0x45, 0, length(28)[0], length(28)[1], 0, 0, 0, 0, 64, 17, 0, 0];
    ip.extend(SERVER);
    ip.extend([255; 4]);
    let words = ip.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let check = !(((sum & 0xffff) + (sum >> 16)) as u16);
    ip[10..12].copy_from_slice(&check.to_be_bytes());
    let mut bytes = [0xff; 6].to_vec();
    bytes.extend([0x52, 0x54, 0, 0, 0, 0xff, 8, 0]);
    bytes.extend(ip);
    bytes.extend([0, 67, 0, 68, length(8)[0], length(8)[1], 0, 0]);
    bytes.extend(payload);
    bytes
}

fn at(seconds: u64) -> Moment {
    Moment::from_boot(Duration::from_secs(seconds))
}

/// The type of a client's message: DISCOVER 1, REQUEST 3.
fn kind(frame: &[u8]) -> u8 {
    let options = &frame[42 + 240..];
    let at = options.windows(2).position(|pair| pair == [53, 1]).expect("every message has its type");
    options[at + 2]
}

/// Has the client ask, and answers what it asks; what is left to send afterwards.
fn obtain(client: &mut Client, server: &Server, now: Moment) -> Vec<Vec<u8>> {
    let discover = client.turn(now).pop().expect("it asks");
    assert_eq!((kind(&discover), &discover[..6]), (1, &[0xff; 6][..]));
    client.receive(
        &Server { reply: 2, ..Server { address: server.address, ..Server::default() } }.answer(&discover),
    );
    let request = client.turn(now).pop().expect("it takes the offer");
    assert_eq!(kind(&request), 3);
    client.receive(&server.answer(&request));
    client.turn(now)
}

fn ack() -> Server {
    Server { reply: 5, ..Server::default() }
}

#[test]
fn a_lease_is_asked_for_and_taken() {
    let mut client = Client::new(MAC, 1, at(0));
    obtain(&mut client, &ack(), at(0));
    let expected = Lease {
        address: "192.0.2.77/24".parse().unwrap(),
        gateway: Some([192, 0, 2, 254].into()),
        dns: vec![[192, 0, 2, 53].into(), [192, 0, 2, 54].into()],
        server: SERVER.into(),
    };
    assert_eq!(client.lease(), Some(&expected));
    assert_eq!(client.poll_timeout(at(0)), Some(at(1800)));
}

#[test]
fn it_renews_with_its_server_then_asks_everybody_then_gives_the_address_up() {
    let mut client = Client::new(MAC, 1, at(0));
    obtain(&mut client, &ack(), at(0));
    let renewal = client.turn(at(1800)).pop().expect("half of the time is over");
    // To the card that answered, from the address that was lent.
    assert_eq!((&renewal[..6], &renewal[26..30]), (&[0x52, 0x54, 0, 0, 0, 0xff][..], &[192, 0, 2, 77][..]));
    client.receive(&ack().answer(&renewal));
    assert!(client.turn(at(1801)).is_empty());
    assert_eq!(client.poll_timeout(at(1801)), Some(at(1801 + 1800)));
    let mut broadcasts = 0;
    let mut now = at(1801);
    while let Some(next) = client.poll_timeout(now).filter(|_| client.lease().is_some()) {
        now = next;
        broadcasts += client.turn(now).iter().filter(|frame| frame[..6] == [0xff; 6]).count();
    }
    assert_eq!(now, at(1801 + 3600));
    assert!(broadcasts >= 2, "{broadcasts} questions to everybody");
    assert_eq!(client.lease(), None);
}

#[test]
fn a_refusal_ends_the_lease_and_it_begins_anew() {
    let mut client = Client::new(MAC, 1, at(0));
    obtain(&mut client, &ack(), at(0));
    let renewal = client.turn(at(1800)).pop().expect("half of the time is over");
    client.receive(&Server { reply: 6, ..Server::default() }.answer(&renewal));
    let sent = client.turn(at(1801));
    assert_eq!(client.lease(), None);
    let sent = if sent.is_empty() { client.turn(at(1802)) } else { sent };
    assert_eq!(sent.iter().map(|frame| kind(frame)).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_server_that_is_silent_is_asked_every_few_seconds() {
    let mut client = Client::new(MAC, 1, at(0));
    let asked: usize = (0..60).map(|second| client.turn(at(second)).len()).sum();
    assert_eq!(asked, 15);
}

#[test]
fn an_address_that_no_host_can_hold_is_no_lease() {
    for (address, mask) in [
        ([127, 0, 0, 1], [255, 0, 0, 0]),
        ([192, 0, 2, 0], [255, 255, 255, 0]),
        ([192, 0, 2, 255], [255, 255, 255, 0]),
        ([10, 0, 0, 1], [0, 0, 0, 0]),
        ([10, 0, 0, 1], [128, 0, 0, 0]),
        ([0, 1, 2, 3], [255, 0, 0, 0]),
    ] {
        let mut client = Client::new(MAC, 1, at(0));
        obtain(&mut client, &Server { address, mask, ..ack() }, at(0));
        assert_eq!(client.lease(), None, "{address:?}");
    }
}

#[test]
fn what_is_for_another_client_is_passed_over() {
    let mut client = Client::new(MAC, 1, at(0));
    let discover = client.turn(at(0)).pop().expect("it asks");
    let answer = Server::default().answer(&discover);
    // The transaction id, the client's MAC, the server's port, the cookie, the protocol.
    for changed in [42 + 4, 42 + 28, 35, 42 + 236, 23] {
        let mut other = answer.clone();
        other[changed] ^= 1;
        client.receive(&other);
        assert!(client.turn(at(0)).is_empty(), "byte {changed}");
    }
    client.receive(&answer);
    assert_eq!(client.turn(at(0)).len(), 1);
}

proptest! {
    /// Whatever a server says, wherever it is cut or changed: no panic, and nothing on the wire but DHCP.
    #[test]
    fn no_answer_does_harm(
        seed: u64,
        lease: u32,
        changes in proptest::collection::vec((0_usize..360, any::<u8>()), 0..6),
        cut in 0_usize..400,
        more in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut client = Client::new(MAC, seed, at(0));
        let mut now = at(0);
        for reply in [2, 5, 5, 6, 2, 5] {
            for question in client.turn(now) {
                prop_assert_eq!(&question[12..14], [8, 0]);
                prop_assert_eq!(&question[34..38], [0, 68, 0, 67]);
                let mut answer = Server { reply, lease, ..Server::default() }.answer(&question);
                client.receive(&answer);
                answer.extend(&more);
                for (place, value) in &changes {
                    if let Some(byte) = answer.get_mut(*place) {
                        *byte = *value;
                    }
                }
                answer.truncate(cut.max(1));
                client.receive(&answer);
                client.receive(&frame(&more));
            }
            let next = client.poll_timeout(now);
            now = next.map_or(now, |next| next.max(now)).max(now + Duration::from_secs(1));
        }
    }
}
