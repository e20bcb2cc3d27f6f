//! Two questions to `nf_tables` (`include/uapi/linux/netfilter/nf_tables.h`): the ruleset's generation, and a named
//! counter. Pure; reading is total.

use crate::Count;
use crate::netlink::{Writer, attributes, take};

use super::render::TABLE;

/// `NFNL_SUBSYS_NFTABLES << 8`.
const NFTABLES: u16 = 10 << 8;
/// `NFT_MSG_GETGEN`.
const GETGEN: u16 = NFTABLES | 16;
/// `NFT_MSG_GETOBJ`.
const GETOBJ: u16 = NFTABLES | 19;
/// `NFPROTO_INET`.
const INET: u8 = 1;

/// `NFTA_GEN_ID`.
const GEN_ID: u16 = 1;
/// `NFTA_OBJ_TABLE`, `NFTA_OBJ_NAME`, `NFTA_OBJ_TYPE`, `NFTA_OBJ_DATA`.
const OBJ_TABLE: u16 = 1;
const OBJ_NAME: u16 = 2;
const OBJ_TYPE: u16 = 3;
const OBJ_DATA: u16 = 4;
/// `NFT_OBJECT_COUNTER`.
const COUNTER: u32 = 1;
/// `NFTA_COUNTER_BYTES`, `NFTA_COUNTER_PACKETS`.
const BYTES: u16 = 1;
const PACKETS: u16 = 2;

/// Asks for the generation.
pub fn get_generation(writer: &mut Writer, flags: u16, sequence: u32) {
    writer.message(GETGEN, flags, sequence, |w| w.bytes(&[0, 0, 0, 0]));
}

/// The generation in the kernel's answer.
pub fn generation(payload: &[u8]) -> Option<u32> {
    value(payload.get(4..)?, GEN_ID).and_then(|v| take(v, 0)).map(u32::from_be_bytes)
}

/// Asks for the counter `name` of our table.
pub fn get_counter(writer: &mut Writer, flags: u16, sequence: u32, name: &str) {
    writer.message(GETOBJ, flags, sequence, |w| {
        w.bytes(&[INET, 0, 0, 0]);
        w.text(OBJ_TABLE, TABLE);
        w.text(OBJ_NAME, name);
        w.attribute(OBJ_TYPE, &COUNTER.to_be_bytes());
    });
}

/// The count in the kernel's answer.
pub fn counter(payload: &[u8]) -> Option<Count> {
    let data = value(payload.get(4..)?, OBJ_DATA)?;
    let number = |kind| value(data, kind).and_then(|v| take(v, 0)).map(u64::from_be_bytes);
    Some(Count { packets: number(PACKETS)?, bytes: number(BYTES)? })
}

fn value(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(k, _)| *k == kind).map(|(_, v)| v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_the_bytes_that_the_kernel_expects() {
        let mut writer = Writer::default();
        get_generation(&mut writer, 5, 9);
        #[rustfmt::skip]
        let expected = [20, 0, 0, 0,  0x10, 0x0a, 5, 0,  9, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0];
        assert_eq!(writer.as_bytes(), expected);

        let mut writer = Writer::default();
        get_counter(&mut writer, 5, 10, "dropped");
        #[rustfmt::skip]
        let expected = [
            52, 0, 0, 0,  0x13, 0x0a, 5, 0,  10, 0, 0, 0,  0, 0, 0, 0,  1, 0, 0, 0,
            12, 0, 1, 0,  b'h', b'a', b'l', b'c', b'y', b'o', b'n', 0,
            12, 0, 2, 0,  b'd', b'r', b'o', b'p', b'p', b'e', b'd', 0,
            8, 0, 3, 0,  0, 0, 0, 1,
        ];
        assert_eq!(writer.as_bytes(), expected);
    }

    #[test]
    fn answers_are_read() {
        assert_eq!(generation(&[0, 0, 0, 0, 8, 0, 1, 0, 0, 0, 1, 2]), Some(258));
        #[rustfmt::skip]
        let payload = [
            1, 0, 0, 0,  28, 0, 4, 0x80,
            12, 0, 1, 0,  0, 0, 0, 0, 0, 0, 5, 220,
            12, 0, 2, 0,  0, 0, 0, 0, 0, 0, 0, 7,
        ];
        assert_eq!(counter(&payload), Some(Count { packets: 7, bytes: 1500 }));
        assert_eq!(counter(&payload[..30]), None);
        assert_eq!(generation(&[0, 0, 0]), None);
    }
}
