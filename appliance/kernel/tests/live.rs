//! The edge against the kernel that runs the tests, each test in a network namespace of its own. Where that cannot be
//! had, a test says so and passes.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use halcyon_core::config::Port;
use halcyon_core::config::check::check;
use halcyon_core::config::types::{Cidr, LinkName, Mac};
use halcyon_core::plan::rules::Rules;
use halcyon_core::plan::state::{Address, AddressRole, KernelState, Link, Route};
use halcyon_core::plan::{View, plan};
use halcyon_core::reconcile::{Difference, diff};
use halcyon_kernel::linux::{Linux, Paths};
use halcyon_kernel::watch::{Change, Changes};
use halcyon_kernel::{Kernel, announce, apply_all};

const MINE: Mac = Mac([0x02, 0, 0, 0, 0, 0x0a]);
const THEIRS: Mac = Mac([0x02, 0, 0, 0, 0, 0x0b]);
const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

/// Runs `body` in namespaces of its own: the test's program is started again below `unshare`, for this test alone. The
/// link `eth0` (MAC [`MINE`]) leads to `eth0` of the namespace `peer` (MAC [`THEIRS`], 192.0.2.2/24).
fn in_namespace<F: Future<Output = ()>>(test: &str, body: impl FnOnce() -> F) {
    const INSIDE: &str = "HALCYON_TEST_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        sh("mount -t tmpfs tmpfs /run && ip netns add peer && ip link set lo up");
        sh(
            "ip link add eth0 address 02:00:00:00:00:0a type veth peer name eth0 address 02:00:00:00:00:0b netns peer",
        );
        sh(
            "ip -n peer link set lo up && ip -n peer link set eth0 up && ip -n peer address add 192.0.2.2/24 dev eth0",
        );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(body());
        return;
    }
    let tools = ["unshare -rmn true", "ip -V", "nft -v", "python3 -V"];
    if let Some(missing) =
        tools.iter().find(|t| !Command::new("sh").args(["-c", t]).output().unwrap().status.success())
    {
        println!("skipped: `{missing}` does not work here");
        return;
    }
    let output = Command::new("unshare")
        .arg("-rmn")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let (told, complaint) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.contains("1 passed"), "{told}\n{complaint}");
}

fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn kernel() -> Linux {
    Linux::open(&Paths { rules: "/run/rules".into(), nft: nft(), ..Paths::default() }).unwrap()
}

fn nft() -> PathBuf {
    sh("command -v nft").trim().into()
}

fn name(text: &str) -> LinkName {
    text.parse().unwrap()
}

fn cidr(text: &str) -> Cidr {
    let (address, prefix) = text.split_once('/').unwrap();
    Cidr::new(address.parse().unwrap(), prefix.parse().unwrap()).unwrap()
}

/// A member that is master of a virtual address with one service, and guards it against its peer.
fn desired() -> KernelState {
    let lan = Some(name("lan"));
    let mut state = KernelState::default();
    state.links.insert(name("lan"), Link { port: Port::Mac(MINE), mtu: Some(1400) });
    for (link, text, role) in [
        (lan.clone(), "192.0.2.1/24", AddressRole::Own),
        (lan.clone(), "192.0.2.100/32", AddressRole::Virtual),
        (None, "192.0.2.100/32", AddressRole::Served),
        (None, "2001:db8::100/128", AddressRole::Served),
    ] {
        state.addresses.insert(Address { link, cidr: cidr(text), role });
    }
    for (to, via) in [("0.0.0.0/0", "192.0.2.254"), ("198.51.100.0/24", "192.0.2.253")] {
        state.routes.insert(Route { to: cidr(to), via: via.parse().unwrap(), link: name("lan") });
    }
    for (path, value) in [
        ("net/ipv4/conf/all/arp_ignore", "1"),
        ("net/ipv4/conf/all/promote_secondaries", "1"),
        ("net/ipv4/tcp_fwmark_accept", "1"),
    ] {
        state.sysctls.insert(path.into(), value.into());
    }
    state.rules = rules(false);
    state
}

/// The rules of a member with these MACs and a service behind [`VIP`], as the planner makes them.
fn rules(leaving: bool) -> Rules {
    const DOCUMENT: &str = r#"
        schema = 1
        cluster = { name = "store", revision = 1, storm = "weights" }
        [[member]]
        name = "castor"
        roles = ["director", "real-server"]
        priority = 100
        [[member.interface]]
        name = "lan"
        mac = "02:00:00:00:00:0a"
        addresses = ["192.0.2.1/24"]
        [[member]]
        name = "pollux"
        roles = ["director", "real-server"]
        priority = 99
        [[member.interface]]
        name = "lan"
        mac = "02:00:00:00:00:0b"
        addresses = ["192.0.2.3/24"]
        [[vrrp]]
        id = 51
        interface = "lan"
        version = 3
        advert-interval = "100ms"
        virtual-addresses = ["192.0.2.100/24"]
        [[service]]
        name = "web"
        address = "192.0.2.100"
        port = 80
        protocol = "tcp"
        forwarding = "direct"
        scheduler = "rr"
        check = { kind = "tcp", interval = "1s", timeout = "1s", retries = 0, retry-delay = "1s" }
        server = [{ member = "castor", weight = 1 }, { member = "pollux", weight = 1 }]
        [observe]
        interface = "lan"
        port = 9780
    "#;
    let view = View { leaving, ..View::default() };
    plan(&check(DOCUMENT).unwrap(), &"castor".parse().unwrap(), &view).state.rules
}

async fn reconcile(kernel: &mut Linux, desired: &KernelState) -> Difference {
    let observed = kernel.observe(desired).await.unwrap();
    let difference = diff(desired, &observed);
    let applied = apply_all(kernel, &difference.ops).await;
    assert!(applied.failed.is_empty(), "{:?}", applied.failed);
    difference
}

#[test]
fn a_bare_box_is_brought_to_the_plan_and_an_idle_look_writes_nothing() {
    in_namespace("a_bare_box_is_brought_to_the_plan_and_an_idle_look_writes_nothing", async || {
        let (mut kernel, desired) = (kernel(), desired());
        assert!(!reconcile(&mut kernel, &desired).await.ops.is_empty());
        let writes = kernel.writes();
        assert!(writes > 0);

        assert_eq!(reconcile(&mut kernel, &desired).await, Difference::default());
        assert_eq!(kernel.writes(), writes);

        let addresses = sh("ip -o address show dev lan; ip -o address show dev lo; ip route show default");
        for part in [
            "inet 192.0.2.1/24 brd 192.0.2.255",
            "inet 192.0.2.100/32 scope",
            "2001:db8::100/128",
            "via 192.0.2.254",
        ] {
            assert!(addresses.contains(part), "{part} is not in\n{addresses}");
        }
        assert!(sh("ip link show lan").contains("mtu 1400"));
    });
}

#[test]
fn whatever_someone_changes_is_put_back() {
    in_namespace("whatever_someone_changes_is_put_back", async || {
        let (mut kernel, desired) = (kernel(), desired());
        reconcile(&mut kernel, &desired).await;
        for (vandal, repair) in [
            ("ip address del 192.0.2.100/32 dev lan", "add virtual address 192.0.2.100/32 on lan"),
            ("ip address add 203.0.113.1/24 dev lan", "delete address 203.0.113.1/24 on lan"),
            ("ip address add 203.0.113.2/32 dev lo", "delete address 203.0.113.2/32 on lo"),
            ("ip -6 address del 2001:db8::100/128 dev lo", "add served address 2001:db8::100/128 on lo"),
            ("ip route del default", "add route 0.0.0.0/0 via 192.0.2.254 on lan"),
            ("ip route replace default via 192.0.2.7", "add route 0.0.0.0/0 via 192.0.2.254 on lan"),
            ("ip route add 10.0.0.0/8 via 192.0.2.8", "delete route 10.0.0.0/8 via 192.0.2.8 on lan"),
            ("echo 0 >/proc/sys/net/ipv4/conf/all/arp_ignore", "set sysctl net.ipv4.conf.all.arp_ignore = 1"),
            ("ip link set lan mtu 1300", "set MTU of lan to 1400"),
            ("ip link set lan name eth7", "rename link eth7 to lan"),
            ("nft flush ruleset", &format!("set packet rules ({})", desired.rules)),
            ("nft add rule inet halcyon input accept", &format!("set packet rules ({})", desired.rules)),
        ] {
            sh(vandal);
            let ops: Vec<_> =
                reconcile(&mut kernel, &desired).await.ops.iter().map(ToString::to_string).collect();
            assert_eq!(ops, [repair], "after {vandal}");
            assert_eq!(reconcile(&mut kernel, &desired).await.ops, [], "after {vandal}");
        }
        // All of a link's routes go when it goes down, and with its last address.
        for vandal in ["ip link set lan down", "ip address flush dev lan"] {
            sh(vandal);
            reconcile(&mut kernel, &desired).await;
            reconcile(&mut kernel, &desired).await;
            assert_eq!(reconcile(&mut kernel, &desired).await, Difference::default(), "after {vandal}");
        }
    });
}

#[test]
fn two_ports_that_are_up_swap_their_names() {
    in_namespace("two_ports_that_are_up_swap_their_names", async || {
        sh(
            "ip link set eth0 name back up && ip link add lan address 02:00:00:00:00:0c up type veth peer name far",
        );
        let mut desired = KernelState::default();
        desired.links.insert(name("lan"), Link { port: Port::Mac(MINE), mtu: None });
        desired.links.insert(name("back"), Link { port: Port::Mac(Mac([2, 0, 0, 0, 0, 0x0c])), mtu: None });
        let mut kernel = kernel();
        reconcile(&mut kernel, &desired).await;
        assert!(sh("ip link show lan").contains("02:00:00:00:00:0a"));
        assert!(sh("ip link show back").contains("02:00:00:00:00:0c"));
        assert_eq!(reconcile(&mut kernel, &desired).await, Difference::default());
    });
}

#[test]
fn a_restarted_engine_adopts_the_rules_and_their_counters() {
    in_namespace("a_restarted_engine_adopts_the_rules_and_their_counters", async || {
        let desired = desired();
        reconcile(&mut kernel(), &desired).await;
        let mut restarted = kernel();
        assert_eq!(reconcile(&mut restarted, &desired).await, Difference::default());

        let mut changed = desired.clone();
        changed.rules.chains[0].rules.pop();
        let mut once_more = kernel();
        assert_eq!(reconcile(&mut once_more, &changed).await.ops.len(), 1, "other rules are not adopted");
        sh("nft add table inet other");
        assert_eq!(reconcile(&mut kernel(), &changed).await.ops.len(), 1, "touched rules are not adopted");
    });
}

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
    in_namespace("the_guard_counts_a_directors_frames_and_the_filter_drops_what_is_not_named", async || {
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
        assert_eq!(connect("192.0.2.50", VIP, 81), "ignored");
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
    in_namespace("a_segment_in_mid_stream_is_known_by_the_socket_that_expects_it", async || {
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

#[test]
fn an_announcement_moves_the_address_in_a_neighbours_table() {
    in_namespace("an_announcement_moves_the_address_in_a_neighbours_table", async || {
        sh("ip link set eth0 up");
        // Otherwise the peer's kernel holds on to a fresh entry for a second (arp(7)).
        sh("ip netns exec peer sh -c 'echo 0 >/proc/sys/net/ipv4/neigh/eth0/locktime'");
        sh("ip -n peer neighbour add 192.0.2.100 lladdr 02:00:00:00:00:99 dev eth0 nud reachable");
        let index: u32 = sh("ip -o link show eth0 | cut -d: -f1").trim().parse().unwrap();
        announce::send(index, MINE, &[VIP.into()]).unwrap();
        let neighbour = sh("ip -n peer neighbour show 192.0.2.100");
        assert!(neighbour.contains("02:00:00:00:00:0a"), "{neighbour}");
        assert!(announce::send(4711, MINE, &[VIP.into()]).is_err());
    });
}

#[test]
fn changes_and_neighbours_are_told() {
    in_namespace("changes_and_neighbours_are_told", async || {
        let mut changes = Changes::open().unwrap();
        sh("ip link set eth0 name lan up && ip address add 192.0.2.1/24 dev lan");
        sh("ip neighbour add 192.0.2.2 lladdr 02:00:00:00:00:0b dev lan nud reachable");
        let mut told = BTreeSet::new();
        let all = BTreeSet::from([Change::Link, Change::Address, Change::Route, Change::Neighbour]);
        while told != all {
            told.extend(tokio::time::timeout(Duration::from_secs(5), changes.next()).await.unwrap().unwrap());
        }
        let mut kernel = kernel();
        let neighbours = kernel.neighbours(&name("lan")).await.unwrap();
        assert!(neighbours.contains(&([192, 0, 2, 2].into(), THEIRS)), "{neighbours:?}");
        assert_eq!(kernel.neighbours(&name("none")).await.unwrap(), []);
    });
}
