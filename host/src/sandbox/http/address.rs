//! Which IP addresses are public. Everything else is refused, whatever name led
//! to it, unless the operator granted it by itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not public, or nothing if it is.
#[must_use]
pub(crate) fn refusal(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => refusal_v4(address),
        IpAddr::V6(address) => refusal_v6(address),
    }
}

/// IPv4, after the registry of special-purpose addresses (RFC 6890).
fn refusal_v4(address: Ipv4Addr) -> Option<&'static str> {
    let reason = match address.octets() {
        [0, 0, 0, 0] => "unspecified address",
        [0, ..] => "address of this network",
        [127, ..] => "loopback address",
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => "private address",
        [169, 254, ..] => "link-local address",
        [100, 64..=127, ..] => "shared address of a carrier",
        // Azure answers its machines' metadata and DNS on a public address.
        [168, 63, 129, 16] => "metadata address",
        [192, 0, 0, _] | [192, 88, 99, _] => "reserved address",
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => "documentation address",
        [198, 18..=19, ..] => "benchmarking address",
        [255, 255, 255, 255] => "broadcast address",
        [224..=239, ..] => "multicast address",
        [240..=255, ..] => "reserved address",
        _ => return None,
    };
    Some(reason)
}

/// IPv6, after the same registry; addresses that carry an IPv4 address are
/// judged by it, and refused if they have no business on the public network.
fn refusal_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some("unspecified address");
    }
    if address.is_loopback() {
        return Some("loopback address");
    }
    if let Some(embedded) = embedded_v4(address) {
        return refusal_v4(embedded).or(unroutable_form(address));
    }
    let reason = match address.segments() {
        [0xfe80..=0xfebf, ..] => "link-local address",
        [0xfec0..=0xfeff, ..] => "site-local address",
        [0xfc00..=0xfdff, ..] => "private address",
        [0xff00..=0xffff, ..] => "multicast address",
        [0x0064, 0xff9b, 1, ..] => "private address",
        [0x2001, 0x0db8, ..] | [0x3fff, 0x0000..=0x0fff, ..] => "documentation address",
        [0x2001, 0x0002, 0, ..] => "benchmarking address",
        [0x0100, 0, 0, ..] => "discarded address",
        [0x2001, 0x0000..=0x01ff, ..] => "reserved address",
        [0x2000..=0x3fff, ..] => return None,
        _ => "reserved address",
    };
    Some(reason)
}

/// The IPv4 address that an IPv6 address of a transition mechanism leads to.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        // IPv4-compatible, IPv4-mapped, IPv4-translated.
        [0, 0, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        // NAT64.
        | [0x0064, 0xff9b, 0, 0, 0, 0, high, low]
        // 6to4.
        | [0x2002, high, low, ..] => (high, low),
        // Teredo carries the client's address inverted.
        [0x2001, 0, _, _, _, _, high, low] => (!high, !low),
        // ISATAP.
        [_, _, _, _, 0x0000 | 0x0200, 0x5efe, high, low] => (high, low),
        _ => return None,
    };
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    Some(Ipv4Addr::new(a, b, c, d))
}

/// Why an IPv6 address around a public IPv4 address is refused nonetheless.
/// NAT64, 6to4 and Teredo are how some networks reach the public IPv4 one.
fn unroutable_form(address: Ipv6Addr) -> Option<&'static str> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] => None,
        [0x0064, 0xff9b, ..] | [0x2001..=0x2002, ..] => None,
        [0, ..] => Some("reserved address"),
        [0xfe80..=0xfebf, ..] => Some("link-local address"),
        [0xfc00..=0xfdff, ..] => Some("private address"),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("reserved address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_address_has_its_reason() {
        for (address, reason) in [
            ("0.0.0.0", "unspecified address"),
            ("0.1.2.3", "address of this network"),
            ("127.0.0.1", "loopback address"),
            ("127.255.255.254", "loopback address"),
            ("10.0.0.1", "private address"),
            ("172.16.0.1", "private address"),
            ("172.31.255.255", "private address"),
            ("192.168.1.1", "private address"),
            ("169.254.169.254", "link-local address"),
            ("100.64.0.1", "shared address of a carrier"),
            ("100.100.100.200", "shared address of a carrier"),
            ("100.127.255.255", "shared address of a carrier"),
            ("168.63.129.16", "metadata address"),
            ("192.0.0.192", "reserved address"),
            ("192.0.2.1", "documentation address"),
            ("198.51.100.1", "documentation address"),
            ("203.0.113.1", "documentation address"),
            ("198.18.0.1", "benchmarking address"),
            ("198.19.255.255", "benchmarking address"),
            ("224.0.0.1", "multicast address"),
            ("239.255.255.255", "multicast address"),
            ("240.0.0.1", "reserved address"),
            ("255.255.255.255", "broadcast address"),
            ("::", "unspecified address"),
            ("::1", "loopback address"),
            ("fe80::1", "link-local address"),
            ("febf::1", "link-local address"),
            ("fec0::1", "site-local address"),
            ("fc00::1", "private address"),
            ("fd00:ec2::254", "private address"),
            ("ff02::1", "multicast address"),
            ("2001:db8::1", "documentation address"),
            ("3fff::1", "documentation address"),
            ("2001:2::1", "benchmarking address"),
            ("2001:20::1", "reserved address"),
            ("100::1", "discarded address"),
            ("64:ff9b:1::1", "private address"),
            ("4000::1", "reserved address"),
            // Addresses that carry a refused one.
            ("::ffff:127.0.0.1", "loopback address"),
            ("::ffff:169.254.169.254", "link-local address"),
            ("::127.0.0.1", "loopback address"),
            ("::8.8.8.8", "reserved address"),
            ("::ffff:0:10.0.0.1", "private address"),
            ("64:ff9b::10.0.0.1", "private address"),
            ("64:ff9b::7f00:1", "loopback address"),
            ("2002:7f00:1::", "loopback address"),
            ("2002:c0a8:101::1", "private address"),
            // Teredo of 10.0.0.1: the bits are inverted.
            ("2001:0:4136:e378:8000:63bf:f5ff:fffe", "private address"),
            ("2600::5efe:10.0.0.1", "private address"),
            ("fe80::5efe:8.8.8.8", "link-local address"),
        ] {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!(refusal(parsed), Some(reason), "{address}");
        }
    }

    #[test]
    fn public_addresses_pass() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "2001:4860:4860::8888",
        ] {
            assert_eq!(refusal(address.parse().unwrap()), None, "{address}");
        }
    }
}
