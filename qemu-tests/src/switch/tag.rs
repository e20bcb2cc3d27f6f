//! IEEE 802.1Q tags, as a switch's port puts them on what leaves there and takes them off what comes in. Pure.
//!
//! The switch itself knows one VLAN and no tags: a port that carries it tagged is one whose frames pass through here.

/// The tag's protocol number (802.1Q, table 9-1).
const TPID: [u8; 2] = [0x81, 0x00];

/// Both addresses, behind which the tag stands.
const ADDRESSES: usize = 12;

/// The frame with a tag of this VLAN. One that is no frame stays as it is.
pub fn put(frame: &[u8], id: u16) -> Vec<u8> {
    let Some((addresses, rest)) = frame.split_at_checked(ADDRESSES) else { return frame.to_vec() };
    [addresses, &TPID, &id.to_be_bytes(), rest].concat()
}

/// The frame without its tag; `None` when it has none of this VLAN.
pub fn take(frame: &[u8], id: u16) -> Option<Vec<u8>> {
    /// Without priority and drop eligibility.
    const ID: u16 = 0x0fff;
    let (addresses, rest) = frame.split_at_checked(ADDRESSES)?;
    let ([t0, t1, high, low], rest) = rest.split_first_chunk()?;
    let tagged = [*t0, *t1] == TPID && u16::from_be_bytes([*high, *low]) & ID == id;
    tagged.then(|| [addresses, rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_taken_off_where_it_was_put() {
        let frame: Vec<u8> = (0..60).collect();
        let tagged = put(&frame, 20);
        assert_eq!(tagged.len(), frame.len() + 4);
        assert_eq!(take(&tagged, 20), Some(frame.clone()));
        assert_eq!((take(&tagged, 21), take(&frame, 20), take(&frame[..13], 20)), (None, None, None));
        // With a priority, as the kernel may send it.
        let mut urgent = tagged;
        urgent[14] |= 0xe0;
        assert_eq!(take(&urgent, 20), Some(frame));
    }
}
