//! PID 1 and its units: what a unit is allowed, and units that misbehave.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use halcyon_qemu_tests::agent::{Agent, HALCTL};
use halcyon_qemu_tests::pair::{BOOTS_WITHIN, Pair};
use halcyon_qemu_tests::wording::Wording;

use crate::case::{Case, Story, ensure};

/// The cases of this file.
pub(crate) const CASES: &[Case] = &[
    Case { name: "units::confinement", machines: 1, tell: confinement },
    Case { name: "units::misfits", machines: 1, tell: misfits },
    // Alone: what another machine does to a start of two seconds would be all there is to see.
    Case { name: "units::start_and_memory", machines: 2, tell: start_and_memory },
];

/// CAP_NET_BIND_SERVICE, capability.h.
const NET_BIND_SERVICE: u32 = 10;

/// PID 1 may hold this much memory, KiB.
const SMALL: u64 = 8 * 1024;

fn confinement(story: &mut Story) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        story.step("boots", |_| {
            pair.power_on(0)?;
            pair.wait_ready(0)
        })?;
        let agent = pair.agent(0);
        let pid = process_of(pair, "idle")?;
        story.step("the idle unit is exactly what its file says", |_| {
            let text = agent.process(pid)?;
            let status = fields(&text);
            let field = |name: &str| status.get(name).cloned().unwrap_or_default();
            let wanted = format!("{:016x}", 1_u64 << NET_BIND_SERVICE);
            for set in ["CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"] {
                ensure(field(set) == wanted, || format!("{set} is {}, not {wanted}", field(set)))?;
            }
            ensure(field("Uid").split_whitespace().all(|id| id == "4711"), || {
                format!("Uid is {}", field("Uid"))
            })?;
            ensure(field("NoNewPrivs") == "1", || format!("NoNewPrivs is {}", field("NoNewPrivs")))?;
            let group = text.lines().find_map(|line| line.strip_prefix("0::")).context("no cgroup")?;
            let limit = agent.read(&format!("/sys/fs/cgroup{group}/memory.max"))?;
            ensure(limit.trim() == (24 * 1024 * 1024).to_string(), || format!("memory.max is {limit}"))?;
            let open: Vec<_> = text.split("[fd]\n").nth(1).unwrap_or_default().lines().collect();
            ensure(open.len() == 3, || format!("open files: {}", open.join(", ")))?;
            let environment = agent.read(&format!("/proc/{pid}/environ"))?;
            ensure(environment.contains("HALCYON_TEST=four words of environment"), || {
                environment.replace('\0', " ")
            })
        })
    })
}

fn misfits(story: &mut Story) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        let parameters = format!("app.ports={} test.misfits", pair.cluster.port);
        pair.boxes[0].hardware.start = pair.image.direct(&parameters);
        story.step("serves beside units that misbehave", |_| {
            pair.power_on(0)?;
            pair.wait_ready(0)?;
            let name = pair.cluster.members[0].name.clone();
            pair.wait_served_by(&[&name])
        })?;
        let agent = pair.agent(0);
        story.step("the pauses of a unit that crashes for ever grow", |story| {
            let report = &pair.boxes[0].machine()?.report;
            let starts = || -> Vec<f64> {
                let events = report.events();
                let starts = events.iter().filter(|event| event.is_unit("misfit-crash", "started"));
                starts.map(|event| event.uptime()).collect()
            };
            let mark = report.mark();
            for _ in 0..2 {
                report.expect_after(mark, "another start", BOOTS_WITHIN, |event| {
                    event.is_unit("misfit-crash", "started")
                })?;
            }
            let starts = starts();
            let pauses: Vec<_> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
            story.note(format!("pauses {pauses:.1?} s"));
            let (first, last) =
                (pauses.first().copied().unwrap_or_default(), pauses.last().copied().unwrap_or_default());
            ensure(last > 2.0 * first.max(0.1), || format!("it is started every {last:.1} s: {pauses:?}"))
        })?;
        story.step("a thousand orphans leave no zombie, and PID 1 is small", |story| {
            let orphans = process_of(pair, "misfit-orphans")?;
            wait_orphaned(&agent, orphans)?;
            let zombies = zombies(&agent)?;
            let status = fields(&agent.process(1)?);
            let resident = kibibytes(&status, "VmRSS")?;
            story.note(format!("PID 1 holds {resident} KiB, {zombies} zombies"));
            ensure(zombies <= 2, || format!("{zombies} zombies"))?;
            ensure(resident <= SMALL, || format!("PID 1 holds {resident} KiB"))
        })?;
        story.step("a unit that ignores TERM does not hold the shutdown up", |story| {
            let began = pair.lab.now();
            pair.shut_down(0, Duration::from_secs(30))?;
            story.note(format!("off after {:.1} s", pair.lab.now().since(began).as_secs_f64()));
            Ok(())
        })
    })
}

/// How fast the box is on the wire, and what our programs hold in a machine of 256 MiB.
fn start_and_memory(story: &mut Story) -> Result<()> {
    /// From PID 1's start to the VRRP socket, seconds, the median of several starts. A quiet host takes half of it; the
    /// rest is for a busy one.
    const SOCKET_WITHIN: f64 = 3.0;
    const STARTS: usize = 5;
    story.with_pair(Wording::default(), |story, pair| {
        story.step("the VRRP socket is open in time", |story| {
            let (mut sockets, mut backups) = (Vec::new(), Vec::new());
            for start in 0..STARTS {
                pair.power_on(0)?;
                pair.wait_ready(0)?;
                let report = &pair.boxes[0].machine()?.report;
                let boot = report.expect("boot", BOOTS_WITHIN, |event| event.kind() == "boot")?;
                let vrrp = report.expect("vrrp", BOOTS_WITHIN, |event| {
                    event.kind() == "vrrp" && event.text("state") == "backup"
                })?;
                backups.push(vrrp.uptime() - boot.uptime());
                let log = pair.agent(0).run(&[HALCTL, "logs", "10000"], "")?;
                sockets.push(socket_open(&log)? - boot.uptime());
                if start + 1 < STARTS {
                    pair.cut_power(0);
                }
            }
            sockets.sort_by(f64::total_cmp);
            backups.sort_by(f64::total_cmp);
            let median = sockets[STARTS / 2];
            story.note(format!("median {median:.2} s of {sockets:.2?}; backup after {backups:.2?}"));
            ensure(median <= SOCKET_WITHIN, || format!("{median:.2} s, {SOCKET_WITHIN} s promised"))
        })?;
        story.step("what our programs hold", |story| {
            let agent = pair.agent(0);
            for unit in ["engine", "logd", "console"] {
                let Ok(pid) = process_of(pair, unit) else { continue };
                story.note(format!("{unit} {} KiB", kibibytes(&fields(&agent.process(pid)?), "VmRSS")?));
            }
            story.note(format!("PID 1 {} KiB", kibibytes(&fields(&agent.process(1)?), "VmRSS")?));
            let memory = fields(&agent.read("/proc/meminfo")?);
            story.note(format!(
                "available {} KiB of {}",
                kibibytes(&memory, "MemAvailable")?,
                kibibytes(&memory, "MemTotal")?
            ));
            Ok(())
        })
    })
}

/// When the engine says that its first VRRP socket was open, seconds since the kernel started.
fn socket_open(log: &str) -> Result<f64> {
    let line = log.lines().find(|line| line.contains("VRRP socket open")).context("no socket was opened")?;
    let at = line.split_whitespace().find_map(|word| word.strip_prefix("at=")?.strip_suffix('s'));
    at.and_then(|at| at.parse().ok()).with_context(|| format!("no moment in {line:?}"))
}

/// The process of a unit, by its last report.
fn process_of(pair: &mut Pair, unit: &str) -> Result<i32> {
    let report = &pair.boxes[0].machine()?.report;
    report.expect(unit, Duration::from_secs(20), |event| event.is_unit(unit, "started"))?;
    let events = report.events();
    let started = events.iter().rev().find(|event| event.is_unit(unit, "started"));
    let pid = started.and_then(|event| event.number("pid"));
    Ok(pid.with_context(|| format!("{unit} reported no process"))? as i32)
}

/// Waits until the unit has no children left to make: it sleeps.
fn wait_orphaned(agent: &Agent, pid: i32) -> Result<()> {
    for _ in 0..2_000 {
        // It prints once when all are left behind, then parks for good.
        let children = agent.read(&format!("/proc/{pid}/task/{pid}/children"))?;
        let state = fields(&agent.process(pid)?).get("State").cloned().unwrap_or_default();
        if children.trim().is_empty() && state.starts_with('S') && is_parked(agent, pid)? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!("the orphans are not all left behind")
}

fn is_parked(agent: &Agent, pid: i32) -> Result<bool> {
    Ok(agent.read(&format!("/proc/{pid}/wchan"))?.contains("futex"))
}

fn zombies(agent: &Agent) -> Result<usize> {
    let script = "for f in /proc/[0-9]*/stat; do read -r line < $f && echo \"$line\"; done; true";
    let all = agent.shell(script, "")?;
    Ok(all.lines().filter(|line| line.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))).count())
}

/// `Name: value` lines.
fn fields(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

fn kibibytes(status: &BTreeMap<String, String>, field: &str) -> Result<u64> {
    let value = status.get(field).with_context(|| format!("no {field}"))?;
    value.trim_end_matches(" kB").parse().with_context(|| format!("{field} is {value}"))
}
