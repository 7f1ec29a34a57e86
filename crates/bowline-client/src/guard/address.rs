//! Which addresses and names are public.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Why an address is not of the public web.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inside {
    Unspecified,
    Loopback,
    Private,
    LinkLocal,
    Shared,
    Metadata,
    Multicast,
    Documentation,
    Benchmarking,
    Reserved,
    Embedded,
}

impl fmt::Display for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "the unspecified address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::Shared => "a shared address (CGNAT)",
            Self::Metadata => "an address of a cloud's own services",
            Self::Multicast => "a multicast address",
            Self::Documentation => "an address for documentation",
            Self::Benchmarking => "an address for benchmarks",
            Self::Reserved => "a reserved address",
            Self::Embedded => "an IPv6 address that stands for an IPv4 address",
        })
    }
}

/// A range of addresses: its first bits.
type Range4 = ([u8; 4], u32, Inside);
type Range6 = ([u16; 8], u32, Inside);

/// IANA's special-purpose registry of IPv4, and what clouds have beside it.
/// Source: <https://www.iana.org/assignments/iana-ipv4-special-registry/>.
const NOT_PUBLIC_4: [Range4; 17] = [
    ([0, 0, 0, 0], 8, Inside::Unspecified),
    ([10, 0, 0, 0], 8, Inside::Private),
    ([100, 64, 0, 0], 10, Inside::Shared),
    ([127, 0, 0, 0], 8, Inside::Loopback),
    ([169, 254, 0, 0], 16, Inside::LinkLocal),
    ([172, 16, 0, 0], 12, Inside::Private),
    ([192, 0, 0, 0], 24, Inside::Reserved),
    ([192, 0, 2, 0], 24, Inside::Documentation),
    ([192, 88, 99, 0], 24, Inside::Reserved),
    ([192, 168, 0, 0], 16, Inside::Private),
    ([198, 18, 0, 0], 15, Inside::Benchmarking),
    ([198, 51, 100, 0], 24, Inside::Documentation),
    ([203, 0, 113, 0], 24, Inside::Documentation),
    // What Azure's machines ask for their configuration lies among public addresses.
    ([168, 63, 129, 16], 32, Inside::Metadata),
    ([224, 0, 0, 0], 4, Inside::Multicast),
    ([255, 255, 255, 255], 32, Inside::Reserved),
    ([240, 0, 0, 0], 4, Inside::Reserved),
];

/// Of IPv6, only 2000::/3 is given out at all; these are within it, or need another word than "reserved".
/// Source: <https://www.iana.org/assignments/iana-ipv6-special-registry/>.
const NOT_PUBLIC_6: [Range6; 17] = [
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, Inside::Unspecified),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, Inside::Loopback),
    // IPv4-mapped, and the older IPv4-compatible.
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, Inside::Embedded),
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, Inside::Embedded),
    // IPv4-translated (RFC 2765), NAT64, and NAT64 of one's own.
    ([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, Inside::Embedded),
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, Inside::Embedded),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, Inside::Embedded),
    // Teredo, 6to4.
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, Inside::Embedded),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, Inside::Embedded),
    ([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, Inside::Benchmarking),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, Inside::Documentation),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Inside::Documentation),
    // The rest of what the IETF keeps for protocols.
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Inside::Reserved),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Inside::Private),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Inside::LinkLocal),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, Inside::Private),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Inside::Multicast),
];

/// Why that address is not of the public web; `None` if it is.
pub(crate) fn inside(ip: IpAddr) -> Option<Inside> {
    match ip {
        IpAddr::V4(ip) => inside_4(ip),
        IpAddr::V6(ip) => inside_6(ip),
    }
}

fn inside_4(ip: Ipv4Addr) -> Option<Inside> {
    let within = |first: [u8; 4], bits: u32| {
        let mask = u32::MAX << (u32::BITS - bits);
        ip.to_bits() & mask == Ipv4Addr::from(first).to_bits()
    };
    NOT_PUBLIC_4.iter().find(|(first, bits, _)| within(*first, *bits)).map(|(_, _, inside)| *inside)
}

fn inside_6(ip: Ipv6Addr) -> Option<Inside> {
    let within = |first: [u16; 8], bits: u32| {
        let mask = u128::MAX << (u128::BITS - bits);
        ip.to_bits() & mask == Ipv6Addr::from(first).to_bits()
    };
    let known = NOT_PUBLIC_6.iter().find(|(first, bits, _)| within(*first, *bits));
    let is_given_out = within([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
    known.map(|(_, _, inside)| *inside).or((!is_given_out).then_some(Inside::Reserved))
}

/// What sort of internal name that is; `None` if it may be one of the public web. `name` is as [`url::Url`] gives it: in
/// lower case, and no address.
pub(crate) fn inside_name(name: &str) -> Option<&'static str> {
    /// RFC 6761, 6762, 8375, 7686; and what clouds and companies use inside.
    const ENDS: [(&str, &str); 12] = [
        ("localhost", "this machine"),
        ("localdomain", "this machine"),
        ("local", "a host of the local network (.local)"),
        ("lan", "a host of the local network (.lan)"),
        ("home.arpa", "a host of the local network (.home.arpa)"),
        ("internal", "an internal host (.internal)"),
        ("intranet", "an internal host (.intranet)"),
        ("corp", "an internal host (.corp)"),
        ("private", "an internal host (.private)"),
        ("onion", "a hidden service"),
        ("test", "a host for tests (.test)"),
        ("invalid", "a host that never exists (.invalid)"),
    ];
    let name = name.trim_end_matches('.');
    let below = |end: &str| name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let known = ENDS.iter().find(|(end, _)| below(end)).map(|(_, what)| *what);
    known.or((!name.contains('.')).then_some("a host by a single word"))
}
