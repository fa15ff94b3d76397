//! Sockets and name lookups, which no guest gets. Each attempt is refused here,
//! before the engine is asked, and counted.
//!
//! A socket is refused when it is made, so that no address is ever handed over.

use std::collections::BTreeMap;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::ResolveAddressStream;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::{Network, TcpSocket, UdpSocket};

use super::guest::GuestState;
use crate::report::text::cut;
use crate::report::{Denied, DeniedCount};

/// Names that are told apart: a guest may not fill the host's memory with them, or
/// the report, which has room for a hundred attempts of all kinds.
const NAMES: usize = 20;
/// Bytes of a name that are kept, as many as DNS takes.
const NAME_BYTES: usize = 253;

/// What a guest asked for of sockets and names, and how often.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    made: BTreeMap<String, u64>,
    looked_up: BTreeMap<String, u64>,
}

impl Sockets {
    fn make(&mut self, protocol: &str, family: IpAddressFamily) {
        let family = match family {
            IpAddressFamily::Ipv4 => "IPv4",
            IpAddressFamily::Ipv6 => "IPv6",
        };
        *self.made.entry(format!("open a {protocol} socket ({family})")).or_default() += 1;
    }

    fn look_up(&mut self, name: &str) {
        let attempt = format!("look up {}", cut(name, NAME_BYTES));
        let known = self.looked_up.contains_key(&attempt) || self.looked_up.len() < NAMES;
        let attempt = if known { attempt } else { "look up other names".to_owned() };
        *self.looked_up.entry(attempt).or_default() += 1;
    }

    /// What was refused, and how often.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = DeniedCount> {
        let attempts = self.made.iter().chain(&self.looked_up);
        attempts.map(|(attempt, count)| {
            let reason = "connectors get no sockets and no name lookups, only HTTP".to_owned();
            DeniedCount { denied: Denied { attempt: attempt.clone(), reason, grant: None }, count: *count }
        })
    }
}

/// Replaces the functions by which a guest gets sockets and addresses.
pub(crate) fn add_to_linker<B: Send + 'static>(linker: &mut Linker<GuestState<B>>) -> wasmtime::Result<()> {
    type Cx<'a, B> = StoreContextMut<'a, GuestState<B>>;

    linker.allow_shadowing(true);
    linker.instance("wasi:sockets/tcp-create-socket@0.2.12")?.func_wrap(
        "create-tcp-socket",
        |mut cx: Cx<'_, B>, (family,): (IpAddressFamily,)| {
            cx.data_mut().sockets.make("TCP", family);
            Ok((Err::<Resource<TcpSocket>, _>(ErrorCode::AccessDenied),))
        },
    )?;
    linker.instance("wasi:sockets/udp-create-socket@0.2.12")?.func_wrap(
        "create-udp-socket",
        |mut cx: Cx<'_, B>, (family,): (IpAddressFamily,)| {
            cx.data_mut().sockets.make("UDP", family);
            Ok((Err::<Resource<UdpSocket>, _>(ErrorCode::AccessDenied),))
        },
    )?;
    linker.instance("wasi:sockets/ip-name-lookup@0.2.12")?.func_wrap(
        "resolve-addresses",
        |mut cx: Cx<'_, B>, (_, name): (Resource<Network>, String)| {
            cx.data_mut().sockets.look_up(&name);
            Ok((Err::<Resource<ResolveAddressStream>, _>(ErrorCode::PermanentResolverFailure),))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_cannot_fill_the_report_with_names_and_nothing_goes_uncounted() {
        let mut sockets = Sockets::default();
        for n in 0..5_000 {
            sockets.look_up(&format!("{n}.example.com"));
            sockets.make("TCP", IpAddressFamily::Ipv4);
        }
        sockets.make("UDP", IpAddressFamily::Ipv6);
        sockets.look_up(&"x".repeat(1_000_000));
        let told: Vec<(String, u64)> =
            sockets.refusals().map(|refusal| (refusal.denied.attempt, refusal.count)).collect();
        assert_eq!(told[0], ("open a TCP socket (IPv4)".to_owned(), 5_000));
        assert_eq!(told[1], ("open a UDP socket (IPv6)".to_owned(), 1));
        assert_eq!(told.len(), 2 + NAMES + 1);
        let names = told.iter().skip(2);
        assert_eq!(names.map(|(_, count)| count).sum::<u64>(), 5_001);
    }

    #[test]
    fn a_long_name_is_kept_in_part() {
        let mut sockets = Sockets::default();
        sockets.look_up(&"ä".repeat(1_000_000));
        let attempt = sockets.refusals().next().unwrap().denied.attempt;
        assert_eq!(attempt, format!("look up {}", "ä".repeat(126)));
    }
}
