//! The control socket: takes one JSON request per line from local programs and hands each to the driver, with who asks.
//! Decides who may ask for what; never what the answer is.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use halcyon_core::control::{Request, Response, SOCKET};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::UCred;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::shelf;

/// The longest that a peer may say, in bytes: a document of the largest size, escaped, and a little.
const LONGEST: u64 = 3 << 20;
/// How long a peer may take for a request, and the driver for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request on its way to the driver, and where its answer goes.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub request: Request,
    /// Who asks, as a record of the configuration keeps it.
    pub who: String,
    /// From where.
    pub from: String,
    /// Where the answer goes; dropping it answers "busy".
    pub answer: oneshot::Sender<Response>,
}

/// Accepts peers until it is dropped. Must run inside a [`LocalSet`](tokio::task::LocalSet).
pub async fn serve(to_driver: mpsc::Sender<Asked>) {
    let listener = match listen() {
        Ok(listener) => listener,
        Err(error) => {
            warn!(%error, socket = SOCKET, "the control socket cannot be opened: halctl will not work");
            return std::future::pending().await;
        }
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::task::spawn_local(peer(stream, to_driver.clone()));
            }
            Err(error) => {
                warn!(%error, "a control connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn listen() -> io::Result<UnixListener> {
    match fs::remove_file(SOCKET) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(SOCKET)?;
    // Anyone on the box may connect; what they may ask is decided by who they are.
    fs::set_permissions(SOCKET, fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

async fn peer(stream: UnixStream, to_driver: mpsc::Sender<Asked>) {
    let Ok(who) = stream.peer_cred() else { return };
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read.take(LONGEST)).lines();
    while let Ok(Ok(Some(line))) = timeout(PATIENCE, lines.next_line()).await {
        let response = match serde_json::from_str::<Request>(&line) {
            Err(error) => Response::Refused(format!("the request is not understood: {error}")),
            Ok(request) => match forbidden(&request, who.uid()) {
                Some(why) => Response::Refused(why),
                None => ask(request, &who, &to_driver).await,
            },
        };
        let mut text =
            serde_json::to_string(&response).expect("a response has string keys and whole numbers");
        text.push('\n');
        if write.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The user that the consoles run as (`overlay/usr/lib/halcyon/units/console.toml`). What a person at a console may do
/// is for the console to decide, which knows the person.
const CONSOLE: u32 = 902;

/// What a request changes or learns that is not for everybody, in words; `None`: it only reads.
fn change(request: &Request) -> Option<&'static str> {
    match request {
        Request::Status
        | Request::Ipvs
        | Request::Ports
        | Request::ConfigShow { .. }
        | Request::ConfigHistory
        | Request::ConfigDiff { .. }
        | Request::ConfigVolumes
        | Request::JoinProgress
        | Request::KeyShow => None,
        Request::ConfigApply { .. }
        | Request::ConfigApplyVolume { .. }
        | Request::SetUp { .. }
        | Request::ConfigConfirm
        | Request::ConfigRollback { .. } => Some("change the configuration"),
        Request::Unlock { .. } => Some("try a password"),
        Request::ConfigDocument => Some("read the document with its secrets"),
        Request::KeyRotate => Some("make a new key"),
        Request::JoinOpen | Request::JoinClose | Request::Join { .. } => Some("have a box join"),
        Request::Failover => Some("hand over"),
        Request::Release => Some("let go of a hold"),
    }
}

/// Reading is free to every local program; changing anything is for consoles and root.
fn forbidden(request: &Request, uid: u32) -> Option<String> {
    let change = change(request).filter(|_| uid != 0 && uid != CONSOLE)?;
    Some(format!("only the administrator may {change}; use the console"))
}

/// From where a process asks: its terminal, else its number.
fn place(pid: i32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    terminal(&stat).unwrap_or_else(|| format!("process {pid}"))
}

/// The controlling terminal that `/proc/PID/stat` names in its seventh field (proc_pid_stat(5)), of the kinds that a
/// box's consoles have (Documentation/admin-guide/devices.txt: 4 and 229).
fn terminal(stat: &str) -> Option<String> {
    // The second field, a name in parentheses, may hold anything.
    let (_, behind) = stat.rsplit_once(')')?;
    let device: u32 = behind.split_whitespace().nth(4)?.parse().ok()?;
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    match (major, minor) {
        (4, 0..64) => Some(format!("tty{minor}")),
        (4, _) => Some(format!("ttyS{}", minor - 64)),
        (229, _) => Some(format!("hvc{minor}")),
        _ => None,
    }
}

async fn ask(request: Request, peer: &UCred, to_driver: &mpsc::Sender<Asked>) -> Response {
    let uid = peer.uid();
    let who = match uid {
        0 => "root".to_owned(),
        CONSOLE => "console".to_owned(),
        other => format!("user {other}"),
    };
    let from = peer.pid().map_or_else(String::new, place);
    if let Some(change) = change(&request) {
        info!(uid, "asked to {change}");
    }
    let (answer, answered) = oneshot::channel();
    let asked = async {
        let (request, from) = match off_volume(request, from).await? {
            Ok(request) => request,
            Err(response) => return Some(response),
        };
        to_driver.send(Asked { request, who, from, answer }).await.ok()?;
        answered.await.ok()
    };
    match timeout(PATIENCE, asked).await {
        Ok(Some(response)) => response,
        _ => Response::Refused("the engine is busy; ask again".into()),
    }
}

/// Reads volumes where the driver, which waits for no disk, is asked for what lies on one: the request as the driver
/// knows it, and from where it comes then; or an answer at once. `None`: the reader failed.
async fn off_volume(request: Request, from: String) -> Option<Result<(Request, String), Response>> {
    match request {
        Request::ConfigVolumes => {
            let text = tokio::task::spawn_blocking(shelf::listing).await.ok()?;
            Some(Err(Response::Text(text)))
        }
        Request::ConfigApplyVolume { file, confirm_within } => {
            let found = tokio::task::spawn_blocking(move || shelf::find(&file)).await.ok()?;
            let given = found.and_then(|volume| {
                let text = |file: Result<Vec<u8>, String>| {
                    String::from_utf8(file?).map_err(|_| "it is not UTF-8 text".to_owned())
                };
                Ok((text(volume.document)?, text(volume.signature)?, volume.device))
            });
            Some(match given {
                Err(why) => Err(Response::Refused(why)),
                Ok((document, signature, device)) => {
                    let from = format!("volume {device}, by {from}");
                    Ok((Request::ConfigApply { document, signature, confirm_within }, from))
                }
            })
        }
        other => Some(Ok((other, from))),
    }
}

#[cfg(test)]
mod tests {
    use halcyon_core::control::Typed;

    use super::*;

    #[test]
    fn reading_is_free_and_changing_is_not() {
        assert_eq!(forbidden(&Request::Status, 65534), None);
        assert_eq!(forbidden(&Request::Ipvs, 65534), None);
        assert_eq!(forbidden(&Request::ConfigShow { generation: None }, 65534), None);
        let apply =
            Request::ConfigApply { document: String::new(), signature: String::new(), confirm_within: None };
        let changes = [
            Request::Failover,
            Request::Release,
            Request::ConfigConfirm,
            Request::ConfigRollback { generation: None },
            Request::SetUp { document: String::new(), confirm_within: None },
            Request::ConfigApplyVolume { file: "next.toml".into(), confirm_within: None },
            Request::KeyRotate,
            Request::Unlock { password: Typed("x".into()) },
            Request::ConfigDocument,
            apply,
        ];
        for change in changes {
            assert_eq!(forbidden(&change, 0), None);
            assert_eq!(forbidden(&change, CONSOLE), None);
            let refusal = forbidden(&change, 65534).unwrap();
            assert!(refusal.starts_with("only the administrator may "), "{refusal}");
        }
    }

    #[test]
    fn who_asks_is_placed_by_the_terminal() {
        let stat = |device: u32| format!("77 (a) b) S 1 77 77 {device} 77 4194304 0");
        assert_eq!(terminal(&stat(4 << 8 | 64)), Some("ttyS0".into()));
        assert_eq!(terminal(&stat(4 << 8 | 1)), Some("tty1".into()));
        assert_eq!(terminal(&stat(229 << 8)), Some("hvc0".into()));
        assert_eq!(terminal(&stat(136 << 8 | 3)), None);
        for strange in ["", "77 (x", &stat(0)] {
            assert_eq!(terminal(strange), None);
        }
        assert_eq!(place(-1), "process -1");
    }

    #[tokio::test]
    async fn a_request_reaches_the_driver_and_nonsense_is_answered() {
        tokio::task::LocalSet::new()
            .run_until(async {
                let (ours, theirs) = UnixStream::pair().unwrap();
                let (send, mut receive) = mpsc::channel::<Asked>(1);
                tokio::task::spawn_local(peer(theirs, send));
                tokio::task::spawn_local(async move {
                    let asked = receive.recv().await.unwrap();
                    assert_eq!(asked.request, Request::Ipvs);
                    asked.answer.send(Response::Text("table".into())).unwrap();
                });
                let (read, mut write) = ours.into_split();
                let mut lines = BufReader::new(read).lines();
                write.write_all(b"what?\n{\"verb\":\"ipvs\"}\n").await.unwrap();
                assert!(lines.next_line().await.unwrap().unwrap().contains("not understood"));
                assert_eq!(lines.next_line().await.unwrap().unwrap(), r#"{"text":"table"}"#);
            })
            .await;
    }
}
