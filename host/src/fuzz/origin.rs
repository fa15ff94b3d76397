//! URLs and origins, and the addresses behind them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

use super::input::Input;
use crate::sandbox::Origin;
use crate::sandbox::http::dns;
use crate::sandbox::http::origin::{CanonicalHost, Scheme};
use crate::sandbox::http::target::Target;

/// The gate, the crate `url` and the connector see one host and one port in a
/// URL; a grant is read as it is written and covers what it says alone; no
/// address that is not public is let through without a grant of its own.
pub fn url_origin(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let addresses: [IpAddr; 2] =
        [IpAddr::V4(Ipv4Addr::from(input.array::<4>())), IpAddr::V6(Ipv6Addr::from(carrying(&mut input)))];
    let grants = [
        "https://api.example.com",
        "*.example.org",
        "localhost:8080",
        "*.localhost",
        "http://10.1.2.3",
        "[::1]",
    ];
    let grants: Vec<Origin> = grants.iter().map(|grant| grant.parse().unwrap()).collect();
    let text = String::from_utf8_lossy(input.rest());
    for text in text.split('\n').take(4) {
        grant(text);
        let Ok(uri) = text.parse::<Uri>() else { continue };
        if let Ok(target) = Target::of(&uri) {
            same_place(&uri, text, &target);
            reaches(&target, &grants, &addresses);
        }
    }
    for address in addresses {
        let host = CanonicalHost::Ip(address);
        reaches(&Target { scheme: Scheme::Http, host, port: 80 }, &grants, &[address]);
    }
}

/// Sixteen bytes, often those of an address that carries an IPv4 address.
fn carrying(input: &mut Input<'_>) -> [u8; 16] {
    let mut address: [u8; 16] = input.array();
    let prefixes: [&[u8]; 8] = [
        &[],
        &[0; 12],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
        &[0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x20, 0x02],
        &[0xfe, 0x80],
        &[0xfd],
        &[0x20, 0x01, 0, 0],
    ];
    let prefix = input.pick(&prefixes);
    address[..prefix.len()].copy_from_slice(prefix);
    address
}

/// Whatever parses the URL that the gate accepted finds the same place in it.
fn same_place(uri: &Uri, text: &str, target: &Target) {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let sent = target.uri(path).expect("a URL of what was accepted");
    // What the connector makes of what is sent, and what TCP is told.
    assert_eq!(Target::of(&sent).as_ref(), Ok(target), "{text}");
    let default = if sent.scheme_str() == Some("https") { 443 } else { 80 };
    assert_eq!(sent.port_u16().unwrap_or(default), target.port, "{text}");
    let host = sent.host().unwrap();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    match &target.host {
        CanonicalHost::Ip(ip) => assert_eq!(address, Some(*ip), "{text}"),
        CanonicalHost::Name(name) => {
            assert_eq!((address, host), (None, name.as_str()), "{text}");
            // What the system's resolver would take for an address.
            assert!(
                !name.split('.').next_back().unwrap().bytes().all(|byte| byte.is_ascii_digit()),
                "{text}"
            );
        }
    }
    assert_eq!(sent.path_and_query().map(|path| path.as_str()), Some(path), "{text}");
    let by_url = url::Url::parse(&sent.to_string()).expect("a URL to the crate url");
    assert!(by_url.username().is_empty() && by_url.password().is_none());
    assert_eq!(place(&by_url), Some((target.host.clone(), target.port)), "{text}");
    if let Ok(original) = url::Url::parse(text) {
        assert_eq!(place(&original), Some((target.host.clone(), target.port)), "{text}");
    }
    let flag = target.grant();
    let granted: Origin = flag.strip_prefix("--allow-net ").unwrap().parse().expect("the flag that is named");
    assert!(target.is_granted(&[granted]), "{flag}");
    assert!(!target.is_granted(&[]), "{text}");
}

fn place(url: &url::Url) -> Option<(CanonicalHost, u16)> {
    let host = match url.host()? {
        url::Host::Domain(name) => CanonicalHost::Name(name.strip_suffix('.').unwrap_or(name).to_owned()),
        url::Host::Ipv4(address) => CanonicalHost::Ip(address.into()),
        url::Host::Ipv6(address) => CanonicalHost::Ip(address.into()),
    };
    Some((host, url.port_or_known_default()?))
}

/// No address that is surely not public is connected to, unless it is granted by
/// itself.
fn reaches(target: &Target, grants: &[Origin], addresses: &[IpAddr]) {
    let Ok(permitted) = dns::permitted(target, grants, addresses) else { return };
    for address in permitted.iter().filter(|address| is_inside(**address)) {
        let by_itself = Target { host: CanonicalHost::Ip(*address), ..target.clone() };
        let by_name = target.host.is_localhost() && address.is_loopback() && target.is_granted(grants);
        assert!(by_itself.is_granted(grants) || by_name, "{target} reaches {address}");
    }
    assert!(permitted.iter().all(|address| addresses.contains(address)));
}

/// What the standard library knows to be no public address.
fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.is_documentation()
        }
        IpAddr::V6(v6) => {
            let carried = match v6.octets() {
                [0x20, 0x02, a, b, c, d, ..] => Some(Ipv4Addr::new(a, b, c, d)),
                [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d)),
                _ => v6.to_ipv4(),
            };
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || carried.is_some_and(|v4| is_inside(v4.into()))
        }
    }
}

/// A grant that is accepted is read again from what is shown of it, and covers
/// neither a parent of its name nor another port.
fn grant(text: &str) {
    let Ok(origin) = text.parse::<Origin>() else { return };
    let shown = origin.to_string();
    assert_eq!(shown.parse::<Origin>().as_ref(), Ok(&origin), "{text:?}");
    let authority = shown.split_once("://").map_or(shown.as_str(), |(_, rest)| rest);
    assert!(!authority.contains(['@', '/', '?', '#', '\\', ' ']), "{shown}");
    let name = authority.split(':').next().unwrap();
    for (scheme, port) in [("http", 80), ("https", 443)] {
        for host in ["evil.example", "169.254.169.254", "example.com.evil.example"] {
            let below = name.strip_prefix('*').is_some_and(|domain| host.ends_with(domain));
            assert!(!origin.matches(scheme, host, port) || name == host || below, "{shown} covers {host}");
        }
        if let Some(name) = name.strip_prefix("*.") {
            assert!(!origin.matches(scheme, name, port), "{shown} covers {name}");
            assert!(!origin.matches(scheme, &format!("x{name}"), port), "{shown} covers x{name}");
        }
    }
}
