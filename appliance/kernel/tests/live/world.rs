//! The world that a test runs in: namespaces, a link between two of them, and a member's wishes for it.

use std::any::type_name;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use halcyon_core::config::Port;
use halcyon_core::config::check::check;
use halcyon_core::config::types::{Cidr, LinkName, Mac};
use halcyon_core::plan::rules::Rules;
use halcyon_core::plan::state::{Address, AddressRole, KernelState, Link, Route};
use halcyon_core::plan::{View, plan};
use halcyon_core::reconcile::{Difference, diff};
use halcyon_kernel::linux::{Linux, Paths};
use halcyon_kernel::{Kernel, apply_all};

pub(crate) const MINE: Mac = Mac([0x02, 0, 0, 0, 0, 0x0a]);
pub(crate) const THEIRS: Mac = Mac([0x02, 0, 0, 0, 0, 0x0b]);
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

/// Runs `body`, a closure of the test itself, in namespaces of its own: the test's program is started again below
/// `unshare`, for this test alone. The link `eth0` (MAC [`MINE`]) leads to `eth0` of the namespace `peer` (MAC [`THEIRS`],
/// 192.0.2.2/24).
pub(crate) fn in_namespace<B: FnOnce() -> F, F: Future<Output = ()>>(body: B) {
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
    // "live::guard::some_test::{{closure}}": what names no test runs none, which the count below tells.
    let test = type_name::<B>().split("::").skip(1).take_while(|part| !part.starts_with('{'));
    let output = Command::new("unshare")
        .arg("-rmn")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &test.collect::<Vec<_>>().join("::"), "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let (told, complaint) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.contains("1 passed"), "{told}\n{complaint}");
}

pub(crate) fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn kernel() -> Linux {
    Linux::open(&Paths { rules: "/run/rules".into(), nft: nft(), ..Paths::default() }).unwrap()
}

fn nft() -> PathBuf {
    sh("command -v nft").trim().into()
}

pub(crate) fn name(text: &str) -> LinkName {
    text.parse().unwrap()
}

pub(crate) fn cidr(text: &str) -> Cidr {
    let (address, prefix) = text.split_once('/').unwrap();
    Cidr::new(address.parse().unwrap(), prefix.parse().unwrap()).unwrap()
}

/// A member that is master of a virtual address with one service, and guards it against its peer.
pub(crate) fn desired() -> KernelState {
    let lan = Some(name("lan"));
    let mut state = KernelState::default();
    state.links.insert(name("lan"), Link { device: Port::Mac(MINE).into(), mtu: Some(1400) });
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

/// The rules of a member with these MACs and services behind [`VIP`], TCP 80 and UDP 53, as the planner makes them.
pub(crate) fn rules(leaving: bool) -> Rules {
    let mut document = include_str!("../../../../examples/pair.toml").to_owned();
    for (written, here) in [
        ("192.168.0.236", "192.0.2.1"),
        ("192.168.0.238", "192.0.2.3"),
        ("192.168.0.239", "192.0.2.100"),
        ("192.168.0.1\"", "192.0.2.254\""),
        ("52:54:00:", "02:00:00:"),
        ("8898", "80"),
    ] {
        document = document.replace(written, here);
    }
    let (_, service) = document.split_at(document.find("[[service]]").unwrap());
    let (service, _) = service.split_at(service.find("[observe]").unwrap());
    let names = service
        .replace("\"pos\"", "\"names\"")
        .replace("= 80\n", "= 53\n")
        .replace("\"tcp\"\nf", "\"udp\"\nf");
    let names = names.replace("kind = \"tcp\"", "kind = \"tcp\"\nport = 80");
    document = document.replace("[observe]", &(names + "[observe]"));
    let view = View { leaving, ..View::default() };
    plan(&check(&document).unwrap(), &"castor".parse().unwrap(), &view).state.rules
}

pub(crate) async fn reconcile(kernel: &mut Linux, desired: &KernelState) -> Difference {
    let observed = kernel.observe(desired).await.unwrap();
    let difference = diff(desired, &observed);
    let applied = apply_all(kernel, &difference.ops).await;
    assert!(applied.failed.is_empty(), "{:?}", applied.failed);
    difference
}
