//! Two co-located boxes (or more) on a switch with forty clients and a gateway: the set-up of most tests.
//! What is done to the boxes is here; what is seen of them, and waited for, in [`watch`].

mod watch;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use halcyon_core::moment::Moment;

use crate::agent::Agent;
use crate::client::load::{Load, Pace};
use crate::client::talk::{Ask, Outcome, Request};
use crate::draw::{CLIENTS, Cluster};
use crate::image::Image;
use crate::keepalived::{self, Extent};
use crate::lab::{Lab, Stream};
use crate::seed::Seed;
use crate::switch::{PortId, Segment};
use crate::vm::hardware::{Access, Bus, Card, CardModel, Disk, Hardware, Start};
use crate::vm::{RunDirectory, Vm};
use crate::volume;
use crate::wording::{Strategy, Wording};

/// A box boots within this, under emulation and on a busy host.
pub const BOOTS_WITHIN: Duration = Duration::from_secs(90);

/// Two boxes, not yet switched on.
pub struct Pair {
    /// The network.
    pub lab: Arc<Lab>,
    /// Who is who.
    pub cluster: Cluster,
    /// What their document says beside that.
    pub wording: Wording,
    /// The boxes, by falling priority.
    pub boxes: Vec<Station>,
    /// The image they run.
    pub image: Image,
    stick: PathBuf,
    run: RunDirectory,
    logs: PathBuf,
}

/// A place for a box: its port on the switch, its hardware, and the machine while it is on.
pub struct Station {
    /// Its port on the switch.
    pub port: PortId,
    /// Its port on the second switch, where the strategy has one.
    pub back: Option<PortId>,
    /// The port of its second card on the first, where its cards are a bond.
    pub spare: Option<PortId>,
    /// What it is made of; may be changed while it is off.
    pub hardware: Hardware,
    machine: Option<Vm>,
    starts: usize,
}

impl Station {
    /// Whether what comes in at this port is the box's.
    pub fn has(&self, port: PortId) -> bool {
        port == self.port || Some(port) == self.spare
    }

    /// The running machine.
    ///
    /// # Errors
    /// When it is off.
    pub fn machine(&mut self) -> Result<&mut Vm> {
        self.machine.as_mut().with_context(|| format!("{} is off", self.hardware.name))
    }
}

impl Pair {
    /// Draws the cluster, signs its document, sets up network and clients. Logs of the run go to `logs`.
    pub fn new(seed: &Seed, wording: Wording, logs: &Path) -> Result<Self> {
        Self::of(Cluster::draw(seed), seed, wording, logs)
    }

    /// The same for a cluster that was drawn already.
    pub fn of(cluster: Cluster, seed: &Seed, wording: Wording, logs: &Path) -> Result<Self> {
        let image = Image::find()?;
        let run = RunDirectory::new()?;
        let ports: Vec<_> =
            cluster.services(&wording).iter().map(|service| service.port.to_string()).collect();
        let ports = ports.join(",");
        let lab = Arc::new(Lab::start(seed)?);
        let stick = run.path().join("stick.img");
        let station = |number: usize| -> Result<Station> {
            let member = &cluster.members[number];
            let socket = run.path().join(format!("{number}.net"));
            let port = lab.plug(&socket, Segment::Front)?;
            let mut cards = vec![Card { mac: member.mac, model: CardModel::Virtio, socket }];
            let mut back = None;
            if let Strategy::SecondNic { .. } = wording.strategy {
                let socket = run.path().join(format!("{number}.back.net"));
                back = Some(lab.plug(&socket, Segment::Back)?);
                cards.push(Card { mac: member.back_mac, model: CardModel::Virtio, socket });
            }
            let mut spare = None;
            if let Some(id) = wording.trunk {
                let socket = run.path().join(format!("{number}.spare.net"));
                let second = lab.plug(&socket, Segment::Front)?;
                cards.push(Card { mac: member.back_mac, model: CardModel::Virtio, socket });
                lab.with(move |network| {
                    network.switch.same_machine(second, port);
                    [port, second].into_iter().for_each(|port| network.tag(port, id));
                });
                spare = Some(second);
            }
            let hardware = Hardware {
                name: member.name.clone(),
                memory: 256,
                processors: 1,
                start: image.direct(&format!("app.ports={ports}")),
                disks: vec![Disk { file: stick.clone(), bus: Bus::Virtio, access: Access::Read }],
                cards,
                more: Vec::new(),
            };
            Ok(Station { port, back, spare, hardware, machine: None, starts: 0 })
        };
        let boxes = (0..cluster.members.len()).map(station).collect::<Result<_>>()?;
        let mut hosts = cluster.clients.clone();
        hosts.push((cluster.gateway_mac, cluster.gateway));
        hosts.extend(&cluster.guests);
        lab.add_hosts(hosts, cluster.prefix);
        if wording.ipv6 {
            let cluster = cluster.clone();
            lab.add_ipv6(move |address| cluster.ipv6(address));
        }
        Ok(Self { lab, cluster, wording, boxes, image, stick, run, logs: logs.to_owned() })
    }

    /// Puts a keepalived box in the place of `which`, which must be off.
    pub fn put_keepalived(&mut self, which: usize, extent: Extent) -> Result<()> {
        let (image, wording, run) = (&self.image, &self.wording, self.run.path());
        keepalived::replace(
            &mut self.boxes[which].hardware,
            image,
            &self.cluster,
            which,
            wording,
            extent,
            run,
        )
    }

    /// Switches the box on.
    pub fn power_on(&mut self, which: usize) -> Result<()> {
        if self.boxes[which].machine.is_some() {
            bail!("{} is on already", self.boxes[which].hardware.name);
        }
        if !self.stick.exists() && self.boxes[which].hardware.disks.iter().any(|disk| disk.file == self.stick)
        {
            let document = self.cluster.document(&self.wording);
            std::fs::write(self.logs.join("halcyon.toml"), &document).context("keeping the document")?;
            let signature = self.sign(&document)?;
            let files = [("halcyon.toml", document.as_str()), ("halcyon.toml.minisig", signature.as_str())];
            volume::write(&self.stick, &files.map(|(name, text)| (name, text.as_bytes())))?;
        }
        let station = &mut self.boxes[which];
        let machine =
            Vm::start(&station.hardware, station.starts, self.run.path(), &self.logs, self.lab.clock())?;
        self.lab.watch(machine.process());
        station.starts += 1;
        station.machine = Some(machine);
        Ok(())
    }

    /// The signature of a document by the key that the image trusts.
    pub fn sign(&self, document: &str) -> Result<String> {
        self.image.sign(document, &self.image.key, self.run.path())
    }

    /// Switches all on and waits until they serve.
    pub fn boot(&mut self) -> Result<()> {
        for which in 0..self.boxes.len() {
            self.power_on(which)?;
        }
        for which in 0..self.boxes.len() {
            self.wait_ready(which)?;
        }
        self.wait_serving()
    }

    /// Cuts the power of the box; when.
    pub fn cut_power(&mut self, which: usize) -> Moment {
        if let Some(machine) = self.boxes[which].machine.take() {
            machine.cut_power();
        }
        self.lab.now()
    }

    /// Presses the power button and waits until the box is off.
    pub fn shut_down(&mut self, which: usize, within: Duration) -> Result<()> {
        let mut machine = self.boxes[which].machine.take().context("the box is off already")?;
        machine.qmp().press_power()?;
        machine.wait_off(within)
    }

    /// Waits until the box has switched itself off.
    pub fn wait_off(&mut self, which: usize, within: Duration) -> Result<()> {
        self.boxes[which].machine.take().context("the box is off already")?.wait_off(within)
    }

    /// Pulls the box's cable, or puts it back: the switch's port and the link that the card shows.
    pub fn set_cable(&mut self, which: usize, plugged: bool) -> Result<()> {
        let port = self.boxes[which].port;
        self.lab.with(move |network| network.switch.set_cable(port, plugged));
        self.boxes[which].machine()?.qmp().set_link(0, plugged)
    }

    /// As [`set_cable`](Self::set_cable), for the second card of the box's bond.
    pub fn set_spare_cable(&mut self, which: usize, plugged: bool) -> Result<()> {
        let port = self.boxes[which].spare.context("the box has no second card on this segment")?;
        self.lab.with(move |network| network.switch.set_cable(port, plugged));
        self.boxes[which].machine()?.qmp().set_link(1, plugged)
    }

    /// Switches the second switch off or on: nothing passes it, and the cards on it show no link.
    pub fn set_back_switch(&mut self, on: bool) -> Result<()> {
        self.lab.with(move |network| network.switch.set_power(Segment::Back, on));
        for station in self.boxes.iter_mut().filter(|station| station.back.is_some()) {
            if let Some(machine) = &mut station.machine {
                machine.qmp().set_link(1, on)?;
            }
        }
        Ok(())
    }

    /// The virtual address.
    pub fn vip(&self) -> IpAddr {
        self.cluster.vip(&self.wording)
    }

    /// The service as clients know it.
    pub fn service_address(&self) -> SocketAddr {
        self.cluster.service_address(&self.wording)
    }

    /// Requests from all clients, at most eight at a time.
    pub fn requests(&self, total: usize) -> Vec<Outcome> {
        self.ask(Request::new(Ask::Name, self.service_address()), total)
    }

    /// `request`, `total` times, as [`requests`](Self::requests) does it.
    pub fn ask(&self, request: Request, total: usize) -> Vec<Outcome> {
        self.lab.run(Load {
            request,
            first_host: 0,
            sources: CLIENTS,
            first_port: None,
            pace: Pace::Count { total, parallel: 8 },
        })
    }

    /// A request from client after client, each `every`, until stopped.
    pub fn stream(&self, every: Duration) -> Stream {
        let request = Request::new(Ask::Name, self.service_address());
        self.lab.start_load(Load {
            request,
            first_host: 0,
            sources: CLIENTS,
            first_port: None,
            pace: Pace::Steady { every },
        })
    }

    /// The switch's ports of the boxes.
    pub fn ports(&self) -> Vec<PortId> {
        self.boxes.iter().map(|station| station.port).collect()
    }

    /// The agent on the box, which test images carry.
    pub fn agent(&self, which: usize) -> Agent {
        let station = &self.boxes[which];
        let ports = [station.port].into_iter().chain(station.spare).collect();
        Agent::at(&self.lab, ports, self.cluster.members[which].mac)
    }

    /// Writes the capture to the logs.
    pub fn keep_capture(&self) -> Result<()> {
        self.lab.write_capture(&self.logs.join("frames.pcap"))
    }
}

impl Image {
    /// Starts the image's slot without a disk, with the usual consoles and `more` kernel parameters.
    pub fn direct(&self, more: &str) -> Start {
        Start::Direct {
            kernel: self.kernel.clone(),
            initramfs: self.initramfs.clone(),
            parameters: format!("console=ttyS0 halcyon.report=ttyS1 {more}"),
        }
    }
}
