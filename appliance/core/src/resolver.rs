//! Whom workloads ask for names. Nothing of Halcyon's own ever does: documents hold addresses. Decides what
//! `/etc/resolv.conf`, which leads to `/run/halcyon/resolv.conf`, says.

use std::fmt::Write;
use std::net::IpAddr;

/// A C library asks no more name servers than this (`MAXNS`, resolv.h).
pub const MOST: usize = 3;

/// The file for these name servers (resolv.conf(5)), of which the first [`MOST`] count; `None`: no file, for nobody is to be
/// asked.
pub fn file(servers: &[IpAddr]) -> Option<String> {
    if servers.is_empty() {
        return None;
    }
    let mut text = "# From the cluster document, or from the DHCP server where it names none.\n".to_owned();
    for server in servers.iter().take(MOST) {
        writeln!(text, "nameserver {server}").expect("a String takes all");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_its_line_up_to_the_third() {
        assert_eq!(file(&[]), None);
        let servers: Vec<IpAddr> =
            ["192.0.2.1", "2001:db8::1", "192.0.2.2", "192.0.2.3"].map(|text| text.parse().unwrap()).into();
        let text = file(&servers).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines, ["nameserver 192.0.2.1", "nameserver 2001:db8::1", "nameserver 192.0.2.2"]);
    }
}
