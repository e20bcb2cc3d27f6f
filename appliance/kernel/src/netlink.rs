//! Netlink framing (RFC 3549 §2.2, `include/uapi/linux/netlink.h`) and a blocking socket for families that answer before
//! `send` returns: generic netlink and nfnetlink. Knows messages and attributes; what they mean is [`ipvs`](crate::ipvs)'s
//! and [`nft`](crate::nft)'s.
//!
//! Writing and reading are pure. Reading is total: what is cut short or lies about its length ends the iteration.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
    socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// `NLM_F_REQUEST`: a message to the kernel.
pub const REQUEST: u16 = 0x01;
/// `NLM_F_ACK`: answer even if all went well.
pub const ACK: u16 = 0x04;
/// `NLM_F_DUMP`: tell everything.
pub const DUMP: u16 = 0x300;

const ERROR: u16 = 2;
const DONE: u16 = 3;
const HEADER: usize = 16;
const NESTED: u16 = 0x8000;
const TYPE_MASK: u16 = 0x3fff;

/// Messages in the making.
#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Appends a message; `body` writes what follows its header.
    pub fn message(&mut self, kind: u16, flags: u16, sequence: u32, body: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.bytes(&[0; 4]);
        self.bytes(&kind.to_ne_bytes());
        self.bytes(&flags.to_ne_bytes());
        self.bytes(&sequence.to_ne_bytes());
        self.bytes(&[0; 4]);
        body(self);
        let length = u32::try_from(self.0.len() - start).unwrap_or(u32::MAX);
        self.0[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Appends bytes as they are: a family's own header.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Appends an attribute, padded to four bytes. `value` has at most 65 531 bytes.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nested(kind, |w| w.bytes(value));
    }

    /// Appends a `u32` attribute in the machine's byte order.
    pub fn u32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// Appends a `u16` attribute in the machine's byte order.
    pub fn u16(&mut self, kind: u16, value: u16) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// Appends text with the zero byte that the kernel expects after it.
    pub fn text(&mut self, kind: u16, value: &str) {
        self.nested(kind, |w| {
            w.bytes(value.as_bytes());
            w.bytes(&[0]);
        });
    }

    /// Appends an attribute that holds the attributes that `body` writes.
    pub fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        self.nested(kind | NESTED, body);
    }

    fn nested(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.bytes(&[0; 2]);
        self.bytes(&kind.to_ne_bytes());
        body(self);
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        let padded = self.0.len().next_multiple_of(4);
        self.0.resize(padded, 0);
    }

    /// The messages so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// One message from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_seq`: which request it answers.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// The messages of a datagram.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(take(bytes, 0)?)).ok()?;
        let payload = bytes.get(HEADER..length)?;
        let message = Message {
            kind: u16::from_ne_bytes(take(bytes, 4)?),
            sequence: u32::from_ne_bytes(take(bytes, 8)?),
            payload,
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes of a message or of another attribute: type (without its flags) and value.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(take(bytes, 0)?));
        let kind = u16::from_ne_bytes(take(bytes, 2)?) & TYPE_MASK;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// `N` bytes from `at`, if they are there.
pub(crate) fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// A blocking netlink socket to one family of the kernel.
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket to `family`, e.g. [`SockProtocol::NetlinkGeneric`].
    pub fn open(family: SockProtocol) -> io::Result<Self> {
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, family)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        // The kernel answers before `send` returns; only a lost answer could be waited for.
        setsockopt(&fd.as_fd(), sockopt::ReceiveTimeout, &TimeVal::seconds(2))?;
        Ok(Self { fd, sequence: 0, buffer: vec![0; 64 * 1024] })
    }

    /// A number that no request of this socket has had for a long time.
    pub fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Sends one request and hands every message that answers it to `each`, until the kernel says that it is done.
    /// `write` gets the writer, the flags to use and the sequence number. With [`DUMP`] the kernel ends a list, with
    /// [`ACK`] it acknowledges.
    pub fn request(
        &mut self,
        flags: u16,
        write: impl FnOnce(&mut Writer, u16, u32),
        mut each: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let sequence = self.next_sequence();
        let mut writer = Writer::default();
        write(&mut writer, REQUEST | flags, sequence);
        self.send(writer.as_bytes())?;
        loop {
            let length = self.receive()?;
            for message in messages(&self.buffer[..length]).filter(|m| m.sequence == sequence) {
                match message.kind {
                    DONE | ERROR => return status(message.payload),
                    _ => each(message.payload),
                }
            }
        }
    }

    /// Sends many requests in one datagram and returns each one's outcome. `write` appends request `i` with the given
    /// flags and sequence number.
    ///
    /// The kernel works a datagram off in order and reports failures whether or not a message asks for an answer
    /// (`netlink_rcv_skb`, net/netlink/af_netlink.c), so only the last one asks: success costs nothing.
    pub fn pipeline(
        &mut self,
        count: usize,
        mut write: impl FnMut(&mut Writer, usize, u16, u32),
    ) -> io::Result<Vec<io::Result<()>>> {
        let mut results: Vec<io::Result<()>> = (0..count).map(|_| Ok(())).collect();
        let mut sequences = Vec::with_capacity(count);
        let mut writer = Writer::default();
        for i in 0..count {
            let sequence = self.next_sequence();
            sequences.push(sequence);
            let flags = if i + 1 == count { REQUEST | ACK } else { REQUEST };
            write(&mut writer, i, flags, sequence);
        }
        let Some(&last) = sequences.last() else { return Ok(results) };
        self.send(writer.as_bytes())?;
        loop {
            let length = self.receive()?;
            for message in messages(&self.buffer[..length]).filter(|m| m.kind == ERROR) {
                let Some(i) = sequences.iter().position(|s| *s == message.sequence) else { continue };
                results[i] = status(message.payload);
                if message.sequence == last {
                    return Ok(results);
                }
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        send(self.fd.as_raw_fd(), bytes, MsgFlags::empty())?;
        Ok(())
    }

    fn receive(&mut self) -> io::Result<usize> {
        let length = recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_TRUNC)?;
        if length > self.buffer.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer of more than 64 KiB"));
        }
        Ok(length)
    }
}

/// The outcome in an `NLMSG_ERROR` or `NLMSG_DONE` message: 0 or a negative errno.
fn status(payload: &[u8]) -> io::Result<()> {
    let code = take(payload, 0).map_or(0, i32::from_ne_bytes);
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code.saturating_neg())) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut w = Writer::default();
        for sequence in [7, 8] {
            w.message(0x21, REQUEST, sequence, |w| {
                w.u16(1, 2);
                w.nest(2, |w| w.text(3, "lan"));
            });
        }
        let read: Vec<Message<'_>> = messages(w.as_bytes()).collect();
        assert_eq!(read.iter().map(|m| (m.kind, m.sequence)).collect::<Vec<_>>(), [(0x21, 7), (0x21, 8)]);
        let outer: Vec<_> = attributes(read[0].payload).collect();
        assert_eq!(outer, [(1, &[2, 0][..]), (2, &[8, 0, 3, 0, b'l', b'a', b'n', 0])]);
        assert_eq!(attributes(outer[1].1).collect::<Vec<_>>(), [(3, &b"lan\0"[..])]);
    }

    #[test]
    fn lengths_that_lie_end_the_reading() {
        // An attribute shorter than its own header, one longer than what is there, a message of length 0.
        assert_eq!(attributes(&[3, 0, 1, 0, 9, 9, 9, 9]).count(), 0);
        assert_eq!(attributes(&[4, 0, 1, 0, 9, 0, 2, 0, 1]).count(), 1);
        assert_eq!(messages(&[0; 32]).count(), 0);
        assert_eq!(messages(&[16, 0, 0, 0]).count(), 0);
    }

    #[test]
    fn an_errno_becomes_an_error() {
        assert!(status(&[0; 4]).is_ok());
        assert_eq!(status(&(-17_i32).to_ne_bytes()).unwrap_err().raw_os_error(), Some(17));
        assert!(status(&i32::MIN.to_ne_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(messages(&bytes).count() <= bytes.len() / 16 + 1);
            prop_assert!(attributes(&bytes).count() <= bytes.len() / 4 + 1);
        }
    }

    /// The controller answers in every namespace, so the socket can be tried wherever generic netlink exists.
    #[test]
    fn requests_and_pipelines_are_answered_one_by_one() {
        let Ok(mut socket) = Socket::open(SockProtocol::NetlinkGeneric) else {
            println!("skipped: no generic netlink here");
            return;
        };
        let family = |name: &'static str| {
            move |w: &mut Writer, flags: u16, sequence: u32| {
                w.message(0x10, flags, sequence, |w| {
                    w.bytes(&[3, 2, 0, 0]);
                    w.text(2, name);
                });
            }
        };
        let mut answers = 0;
        socket.request(ACK, family("nlctrl"), |_| answers += 1).unwrap();
        assert_eq!(answers, 1);
        let refused = socket.request(ACK, family("no-such-family"), |_| ()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotFound);

        let names = ["nlctrl", "no-such-family", "nlctrl", "nor-this", "nlctrl"];
        let results = socket.pipeline(names.len(), |w, i, flags, s| family(names[i])(w, flags, s)).unwrap();
        let went_well: Vec<bool> = results.iter().map(Result::is_ok).collect();
        assert_eq!(went_well, [true, false, true, false, true]);
        assert!(socket.pipeline(0, |_, _, _, _| ()).unwrap().is_empty());
        answers = 0;
        socket
            .request(
                DUMP,
                |w, flags, s| w.message(0x10, flags, s, |w| w.bytes(&[3, 2, 0, 0])),
                |_| answers += 1,
            )
            .unwrap();
        assert!(answers >= 1);
    }
}
