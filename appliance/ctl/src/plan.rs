//! `plan`: what the planner wants in the kernel of one member, for a state of the cluster that the arguments describe.
//! The engine on the box calls the same planner; [`picture`] is the form it is shown in.

mod picture;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use halcyon_core::config::Config;
use halcyon_core::config::types::{InstanceId, MemberName};
use halcyon_core::plan::{Health, View, VrrpState, plan};

use crate::check::checked;
use picture::Picture;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The document
    file: PathBuf,
    /// Whose kernel
    #[arg(long)]
    member: String,
    /// State of a virtual router there: init, backup, master or fault; backup where none is given
    #[arg(long, value_name = "[INTERFACE/]ID=STATE")]
    vrrp: Vec<String>,
    /// A server whose checks fail; the others pass
    #[arg(long, value_name = "SERVICE/SERVER")]
    down: Vec<String>,
    /// The segment for forwarding has no carrier there
    #[arg(long)]
    forward_down: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<()> {
    let file = &arguments.file;
    let document = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let config = checked(file, &document, &mut io::stderr())?;
    let me = member(&config, &arguments.member)?;
    let mut view = view(&config, &arguments.vrrp, &arguments.down)?;
    view.forward_down = arguments.forward_down;
    let picture = Picture::of(&config, me, &view, &plan(&config, me, &view));
    if arguments.json {
        serde_json::to_writer_pretty(&mut *out, &picture)?;
        writeln!(out)?;
    } else {
        write!(out, "{picture}")?;
    }
    Ok(())
}

fn member<'c>(config: &'c Config, name: &str) -> Result<&'c MemberName> {
    let known = config.members.keys();
    known.clone().find(|known| known.as_str() == name).ok_or_else(|| {
        let known: Vec<&str> = known.map(MemberName::as_str).collect();
        anyhow!("no member is called {name:?}; the document has {}", known.join(", "))
    })
}

/// The cluster as the arguments describe it: backup and healthy where they say nothing.
fn view(config: &Config, vrrp: &[String], down: &[String]) -> Result<View> {
    let mut view = View::default();
    for id in config.vrrp.keys() {
        view.vrrp.insert(id.clone(), VrrpState::Backup);
    }
    for argument in vrrp {
        let (id, state) = argument
            .split_once('=')
            .ok_or_else(|| anyhow!("--vrrp {argument} has no state; write it as in --vrrp 51=master"))?;
        let state = match state {
            "init" => VrrpState::Init,
            "backup" => VrrpState::Backup,
            "master" => VrrpState::Master,
            "fault" => VrrpState::Fault,
            _ => bail!("--vrrp {argument}: {state:?} is no state; write init, backup, master or fault"),
        };
        view.vrrp.insert(instance(config, id)?.clone(), state);
    }
    for service in config.services.values() {
        for server in service.servers.keys() {
            view.health.insert((service.name.clone(), server.clone()), Health::Up);
        }
    }
    for argument in down {
        let server = view
            .health
            .iter_mut()
            .find(|((service, server), _)| format!("{service}/{server}") == *argument)
            .map(|(_, health)| health);
        let Some(health) = server else {
            let known: Vec<String> = view.health.keys().map(|(s, server)| format!("{s}/{server}")).collect();
            bail!("--down {argument}: there is no such server; the document has {}", known.join(", "));
        };
        *health = Health::Down;
    }
    Ok(view)
}

fn instance<'c>(config: &'c Config, text: &str) -> Result<&'c InstanceId> {
    let fits = |id: &&InstanceId| id.to_string() == text || id.vrid.get().to_string() == text;
    let fitting: Vec<&InstanceId> = config.vrrp.keys().filter(fits).collect();
    let names = |ids: &[&InstanceId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match fitting[..] {
        [id] => Ok(id),
        [] => {
            let known: Vec<&InstanceId> = config.vrrp.keys().collect();
            bail!("there is no virtual router {text:?}; the document has {}", names(&known))
        }
        _ => bail!("{text} could be {}; write the interface too", names(&fitting)),
    }
}

#[cfg(test)]
mod tests;
