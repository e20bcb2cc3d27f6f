//! The packet rules at work: what the guard counts, whose a segment in mid-stream is, what the filter drops.

use std::net::Ipv4Addr;
use std::time::Duration;

use halcyon_kernel::Kernel;

use crate::world::{VIP, desired, in_namespace, kernel, reconcile, rules, sh};

/// Connects from the namespace `peer`, from `source`, and tells whether it was answered, refused or ignored.
fn connect(source: &str, to: Ipv4Addr, port: u16) -> String {
    let script = format!(
        "import socket\ns=socket.socket(); s.settimeout(0.7); s.bind(('{source}',0))\n\
         try: s.connect(('{to}',{port})); print('answered')\n\
         except ConnectionRefusedError: print('refused')\n\
         except OSError: print('ignored')"
    );
    sh(&format!("ip netns exec peer python3 -c \"{script}\"")).trim().to_owned()
}

#[test]
fn the_guard_counts_a_directors_frames_and_the_filter_drops_what_is_not_named() {
    in_namespace(async || {
        sh("ip -n peer address add 192.0.2.3/24 dev eth0 && ip -n peer address add 192.0.2.50/24 dev eth0");
        let mut kernel = kernel();
        let mut desired = desired();
        reconcile(&mut kernel, &desired).await;
        let listener = std::net::TcpListener::bind("0.0.0.0:80").unwrap();
        let _other = std::net::TcpListener::bind("0.0.0.0:81").unwrap();

        assert_eq!(connect("192.0.2.50", VIP, 80), "answered");
        let delivered = kernel.counters().unwrap().delivered;
        assert!(delivered.packets >= 3 && delivered.bytes >= 120, "{delivered:?}");
        assert_eq!(connect("192.0.2.3", VIP, 80), "answered");
        assert_eq!(kernel.counters().unwrap().delivered, delivered, "a member as client is no director");
        let dropped = kernel.counters().unwrap().dropped.packets;
        assert_eq!(connect("192.0.2.50", VIP, 81), "ignored");
        assert!(
            kernel.counters().unwrap().dropped.packets > dropped,
            "no service of this box: the last word"
        );
        assert_eq!(connect("192.0.2.50", Ipv4Addr::new(192, 0, 2, 1), 80), "ignored");

        // The box's own connection: its answers come back in.
        let server = std::thread::spawn(|| {
            sh(
                "ip netns exec peer timeout 3 python3 -c \"import socket\ns=socket.create_server(('192.0.2.2',91)); print('open', flush=True); c,_=s.accept(); print(c.recv(5))\"",
            )
        });
        let target = "192.0.2.2:91".parse().unwrap();
        let client =
            std::iter::repeat_with(|| std::net::TcpStream::connect_timeout(&target, Duration::from_secs(1)))
                .find_map(Result::ok);
        std::io::Write::write_all(&mut client.unwrap(), b"hello").unwrap();
        assert!(server.join().unwrap().contains("hello"));

        // A leaving box resets checks; the rest goes on, and so do the counters.
        desired.rules = rules(true);
        reconcile(&mut kernel, &desired).await;
        assert_eq!(connect("192.0.2.3", Ipv4Addr::new(192, 0, 2, 1), 80), "refused");
        assert_eq!(connect("192.0.2.50", VIP, 80), "answered");
        assert!(kernel.counters().unwrap().delivered.packets > delivered.packets);
        drop(listener);
    });
}

/// Readdressed before IPVS and back behind it, checksums and all: an application that is bound to the virtual
/// address alone gets what a fellow director forwarded, fragments included, and answers from that address.
#[test]
fn no_application_learns_of_the_way_past_ipvs() {
    in_namespace(async || {
        // As small as ours, so that nothing bigger than it takes comes from there.
        sh("ip -n peer link set eth0 mtu 1400 && ip -n peer address add 192.0.2.50/24 dev eth0");
        let mut kernel = kernel();
        reconcile(&mut kernel, &desired()).await;
        let listener = std::net::TcpListener::bind((VIP, 80)).unwrap();
        let datagrams = std::net::UdpSocket::bind((VIP, 53)).unwrap();
        assert_eq!(connect("192.0.2.50", VIP, 80), "answered");
        assert_eq!(listener.accept().unwrap().0.local_addr().unwrap().ip(), VIP);

        std::thread::spawn(move || {
            let mut room = [0; 9000];
            while let Ok((length, client)) = datagrams.recv_from(&mut room) {
                datagrams.send_to(&room[..length], client).unwrap();
            }
        });
        for length in [10, 1372, 4000, 8999] {
            let delivered = kernel.counters().unwrap().delivered.packets;
            let script = format!(
                "import socket\ns=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(3)\n\
                 s.bind(('192.0.2.50',0)); s.connect(('{VIP}',53)); s.send(b'x'*{length}); print(len(s.recv(9000)))"
            );
            let told = sh(&format!("ip netns exec peer python3 -c \"{script}\""));
            assert_eq!(told.trim(), length.to_string());
            assert_eq!(kernel.counters().unwrap().delivered.packets, delivered + 1, "{length} bytes");
        }
    });
}

/// "Fragmentation needed" about a datagram of the application's comes by way of the fellow that forwards for its client. It
/// is no news to a socket unless the datagram that it quotes is that socket's again.
#[test]
fn an_error_that_a_director_forwarded_reaches_the_socket_that_it_is_about() {
    in_namespace(async || {
        sh("ip -n peer address add 192.0.2.50/24 dev eth0");
        let mut kernel = kernel();
        reconcile(&mut kernel, &desired()).await;
        let _datagrams = std::net::UdpSocket::bind((VIP, 53)).unwrap();
        let script = r#"
import socket, struct
def total(data):
    s = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    s = (s & 0xffff) + (s >> 16)
    return ~(s + (s >> 16)) & 0xffff
service, client = socket.inet_aton('192.0.2.100'), socket.inet_aton('192.0.2.50')
quoted = struct.pack('!BBHHHBBH', 0x45, 0, 1300, 1, 0x4000, 64, 17, 0) + service + client
quoted += struct.pack('!HHHH', 53, 4000, 1280, 0)
error = struct.pack('!BBHHH', 3, 4, 0, 0, 1000) + quoted
error = error[:2] + struct.pack('!H', total(error)) + error[4:]
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.bind(('192.0.2.50', 0))
s.sendto(error, ('192.0.2.100', 0))
"#;
        std::fs::write("/run/error.py", script).unwrap();
        let delivered = kernel.counters().unwrap().delivered.packets;
        sh("ip netns exec peer python3 /run/error.py");
        assert_eq!(kernel.counters().unwrap().delivered.packets, delivered + 1);
        let route = sh("ip route get 192.0.2.50 from 192.0.2.100");
        assert!(route.contains("mtu 1000"), "{route}");
    });
}

/// Sends a bare TCP segment from 192.0.2.50 in the namespace `peer`, and tells the flags of the answer, if one comes.
fn segment(source_port: u16, flags: u8, sequence: u32, acknowledge: u32) -> Option<(u8, u32)> {
    let script = format!(
        r#"
import socket, struct
def total(data):
    s = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    s = (s & 0xffff) + (s >> 16)
    return ~(s + (s >> 16)) & 0xffff
source, to = socket.inet_aton('192.0.2.50'), socket.inet_aton('192.0.2.100')
tcp = struct.pack('!HHIIBBHHH', {source_port}, 80, {sequence}, {acknowledge}, 5 << 4, {flags}, 8192, 0, 0)
pseudo = source + to + struct.pack('!BBH', 0, 6, len(tcp))
tcp = tcp[:16] + struct.pack('!H', total(pseudo + tcp)) + tcp[18:]
ip = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0) + source + to
ip = ip[:10] + struct.pack('!H', total(ip)) + ip[12:]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(('eth0', 0x800))
s.settimeout(0.5)
s.send(bytes.fromhex('02000000000a') + bytes.fromhex('020000000077') + b'\x08\x00' + ip + tcp)
try:
    while True:
        frame = s.recv(2000)
        if frame[:6] == bytes.fromhex('020000000077') and frame[12:14] == b'\x08\x00' and frame[23] == 6:
            if struct.unpack('!H', frame[36:38])[0] == {source_port}:
                print(frame[47], struct.unpack('!I', frame[38:42])[0])
                break
except TimeoutError:
    pass
"#
    );
    std::fs::write("/run/segment.py", script).unwrap();
    let told = sh("ip netns exec peer python3 /run/segment.py");
    let mut numbers = told.split_whitespace().map(|n| n.parse::<u32>().unwrap());
    Some((numbers.next()?.try_into().unwrap(), numbers.next()?))
}

#[test]
fn a_segment_in_mid_stream_is_known_by_the_socket_that_expects_it() {
    in_namespace(async || {
        const SYN: u8 = 0x02;
        const ACK: u8 = 0x10;
        const RST: u8 = 0x04;
        // The peer is a client now: no member has this MAC. Its kernel must not answer for what is sent past it.
        sh(
            "ip -n peer link set eth0 address 02:00:00:00:00:77 && ip -n peer address add 192.0.2.51/24 dev eth0",
        );
        sh("ip -n peer neighbour add 192.0.2.100 lladdr 02:00:00:00:00:0a dev eth0 nud permanent");
        let mut kernel = kernel();
        reconcile(&mut kernel, &desired()).await;
        sh("ip neighbour replace 192.0.2.50 lladdr 02:00:00:00:00:77 dev lan nud permanent");
        let mut counted = || {
            let counters = kernel.counters().unwrap();
            (counters.mine.packets, counters.theirs.packets)
        };
        // Bound to any address and to the virtual one: whichever listens, it is not the one that is meant.
        for bound in ["0.0.0.0:80", "192.0.2.100:80"] {
            let listener = std::net::TcpListener::bind(bound).unwrap();
            let (mine, theirs) = counted();
            assert_eq!(connect("192.0.2.51", VIP, 80), "answered", "{bound}");
            let (mine_now, theirs_now) = counted();
            assert!(mine_now > mine, "the handshake's last segment is expected by a half-open socket");
            assert_eq!(theirs_now, theirs, "{bound}");

            let (answer, _) = segment(4001, ACK, 1, 1).expect("nothing here expects it, and so it is told");
            assert_eq!((answer & RST, counted().1), (RST, theirs + 1), "{bound}");

            let (answer, number) = segment(4002, SYN, 100, 0).unwrap();
            assert_eq!((answer, counted()), (SYN | ACK, (mine_now, theirs + 1)), "it is nobody's yet");
            assert_eq!(segment(4002, ACK, 101, number + 1), None);
            assert_eq!(counted(), (mine_now + 1, theirs + 1));
            // And now the accepted socket has its mark.
            assert_eq!(segment(4002, ACK, 101, number + 1), None);
            assert_eq!(counted(), (mine_now + 2, theirs + 1));
            let _reset = segment(4002, RST, 101, 0);
            drop(listener);
        }
    });
}
