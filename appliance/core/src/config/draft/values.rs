//! What the document's single values must be beyond their type: names that boxes and links can take, ports, PCI
//! addresses, passwords.

use toml::de::DeValue;

pub(super) use crate::config::address::{
    host, host_with_prefix, own_with_prefix, port_mac, reachable, subnet,
};
use crate::config::problem::quoted;
use crate::config::scalar::{number, parsed, text};
use crate::config::types::{LinkName, Malformed, MemberName, Priority};

/// The version of the document's form: 1.
pub(super) fn schema(value: &DeValue<'_>) -> Result<(), Malformed> {
    number(value, 1, 1).map(|_: u8| ()).map_err(|wrong| Malformed {
        fix: "write 1, which is all that this version reads".to_owned(),
        ..wrong
    })
}

/// A port's number.
pub(super) fn port(value: &DeValue<'_>) -> Result<u16, Malformed> {
    number(value, 1, u16::MAX)
}

/// A priority that a configuration can hold.
pub(super) fn priority(value: &DeValue<'_>) -> Result<Priority, Malformed> {
    number(value, 1, 254).map(|number: u8| Priority::new(number).expect("the range is the type's own"))
}

/// A member's name, which becomes its box's host name.
pub(super) fn member_name(value: &DeValue<'_>) -> Result<MemberName, Malformed> {
    let name: MemberName = parsed(value)?;
    if name.as_str() == "localhost" {
        return Err(Malformed {
            what: "\"localhost\" names every box".to_owned(),
            fix: "write a name that one box has".to_owned(),
        });
    }
    Ok(name)
}

/// A segment's name, which a kernel link takes: none that the kernel gives away itself or that sysctl paths use.
pub(super) fn link_name(value: &DeValue<'_>) -> Result<LinkName, Malformed> {
    const TAKEN: [&str; 9] = ["lo", "all", "default", "tunl0", "gre0", "sit0", "bond0", "dummy0", "erspan0"];
    let name: LinkName = parsed(value)?;
    let numbered = ["eth", "wlan", "usb"].iter().any(|kind| {
        name.as_str()
            .strip_prefix(kind)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    });
    if numbered || TAKEN.contains(&name.as_str()) {
        return Err(Malformed {
            what: format!("\"{name}\" is a name that the kernel gives"),
            fix: "name the segment by what it is for, such as \"lan\"".to_owned(),
        });
    }
    Ok(name)
}

/// A PCI device's address: domain, bus, device, function.
pub(super) fn bus_address(value: &DeValue<'_>) -> Result<String, Malformed> {
    let path = text(value)?.to_ascii_lowercase();
    let hexadecimal =
        |part: &str, digits: usize| part.len() == digits && part.bytes().all(|b| b.is_ascii_hexdigit());
    let parts: Vec<&str> = path.split([':', '.']).collect();
    let well_formed = path.len() == "0000:01:00.0".len()
        && path.as_bytes()[10] == b'.'
        && matches!(parts[..], [domain, bus, device, function]
            if hexadecimal(domain, 4) && hexadecimal(bus, 2) && hexadecimal(device, 2)
                && function.bytes().all(|b| (b'0'..=b'7').contains(&b)));
    if well_formed {
        return Ok(path);
    }
    Err(Malformed {
        what: format!("{} is not a PCI address", quoted(&path)),
        fix: "write domain, bus, device and function, such as \"0000:01:00.0\"".to_owned(),
    })
}

/// v2 PASS authentication data. What was written is not repeated: it is a password, if a poor one.
pub(super) fn password(value: &DeValue<'_>) -> Result<String, Malformed> {
    let text = text(value)?;
    if (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return Ok(text);
    }
    Err(Malformed {
        what: "is not 1 to 8 ASCII characters".to_owned(),
        fix: "write what the other routers have, without what follows its eighth character".to_owned(),
    })
}

/// 1 to `longest` characters that can be shown on one line.
pub(super) fn printable(value: &DeValue<'_>, longest: usize) -> Result<String, Malformed> {
    let text = text(value)?;
    let length = text.chars().count();
    if (1..=longest).contains(&length) && text.trim() == text && !text.chars().any(char::is_control) {
        return Ok(text);
    }
    Err(Malformed {
        what: format!("{} cannot be used", quoted(&text)),
        fix: format!("write 1 to {longest} characters, no blank at either end, no control characters"),
    })
}
