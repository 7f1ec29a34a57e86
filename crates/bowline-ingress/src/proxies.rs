//! Who the client is, where proxies stand in front.
//!
//! What must never happen here: a header believed that an untrusted peer sent.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, HeaderName, header, request::Parts},
};
use ipnet::IpNet;

/// As most proxies say for whom they speak: `X-Forwarded-For: client, proxy1`.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Longest chain of proxies that is followed.
const HOPS_MAX: usize = 16;

/// The proxies that stand in front: what they say of a client is believed.
///
/// A proxy must set `X-Forwarded-For` or `Forwarded` (RFC 7239) itself: add the address that it sees at the right end.
/// The client is the right-most address there that is no trusted proxy. If a request has both headers and they name
/// different clients, or what stands there is no address, nobody is believed and the proxy counts as the client.
///
/// ```
/// use bowline_ingress::TrustedProxies;
///
/// assert!(TrustedProxies::parse("10.0.0.0/8, 2001:db8::/32, 127.0.0.1").is_ok());
/// assert!(TrustedProxies::parse("none").is_ok());
/// assert!(TrustedProxies::parse("my-proxy").is_err());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// Who sent a request, as far as it can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// This address, and nobody in between that speaks for several.
    Known(IpAddr),
    /// This address, behind which there may be several clients.
    Peer(IpAddr),
    /// The server around the routes does not say.
    Unknown,
}

impl Client {
    pub(crate) fn address(self) -> Option<IpAddr> {
        match self {
            Self::Known(address) | Self::Peer(address) => Some(address),
            Self::Unknown => None,
        }
    }

    /// For the log: why it may not send to a route with a list of addresses.
    pub(crate) fn why_not(self) -> String {
        match self {
            Self::Known(address) => format!("{address} is not in the route's allow_ips"),
            Self::Peer(address) => format!(
                "{address} is not in the route's allow_ips, and is a proxy that names no client, or \
                 BOWLINE_TRUSTED_PROXIES does not say so"
            ),
            Self::Unknown => {
                "the route has allow_ips, and the server around it says nobody's address (axum: \
                              into_make_service_with_connect_info::<SocketAddr>())"
                    .into()
            }
        }
    }
}

impl TrustedProxies {
    /// Nothing stands in front: each peer is a client.
    pub fn none() -> Self {
        Self::default()
    }

    /// Addresses and ranges, separated by commas; or `none`.
    ///
    /// # Errors
    /// What is wrong, if something in the list is no address and no range.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "none" => Ok(Self::none()),
            text => {
                text.split(',').map(|range| parse_range(range.trim())).collect::<Result<_, _>>().map(Self)
            }
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(&address))
    }

    /// Whether connections of that peer are a client's own.
    pub(crate) fn is_client(&self, peer: IpAddr) -> bool {
        !self.trusts(peer.to_canonical())
    }

    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        if !self.trusts(peer) {
            return Client::Known(peer);
        }
        let by_list = self.last_untrusted(headers, &X_FORWARDED_FOR, parse_address);
        let by_pairs = self.last_untrusted(headers, &header::FORWARDED, parse_forwarded);
        match (by_list, by_pairs) {
            (Chain::Names(client), Chain::Absent) | (Chain::Absent, Chain::Names(client)) => {
                Client::Known(client)
            }
            (Chain::Names(one), Chain::Names(other)) if one == other => Client::Known(one),
            (Chain::Absent | Chain::Malformed | Chain::Names(_), _) => Client::Peer(peer),
        }
    }

    /// From right to left: each proxy adds at the right end, so that what a client made up stands further left.
    fn last_untrusted(
        &self,
        headers: &HeaderMap,
        name: &HeaderName,
        parse: fn(&str) -> Option<IpAddr>,
    ) -> Chain {
        let lines: Vec<_> = headers.get_all(name).iter().collect();
        let mut chain = Chain::Absent;
        let mut hops = 0;
        for line in lines.into_iter().rev() {
            // Of a line that is no text, nothing can be said.
            let Ok(line) = line.to_str() else { return Chain::Malformed };
            for hop in line.rsplit(',') {
                hops += 1;
                let address = parse(hop.trim()).filter(|_| hops <= HOPS_MAX);
                let Some(address) = address else { return Chain::Malformed };
                chain = Chain::Names(address);
                if !self.trusts(address) {
                    return chain;
                }
            }
        }
        chain
    }
}

/// What one header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chain {
    Absent,
    Names(IpAddr),
    Malformed,
}

/// Who sent this request.
pub(crate) fn client(proxies: Option<&TrustedProxies>, parts: &Parts) -> Client {
    let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() else {
        return Client::Unknown;
    };
    let peer = peer.ip().to_canonical();
    match proxies {
        Some(proxies) => proxies.client(peer, &parts.headers),
        // A proxy may stand in front of which nobody has told us.
        None => Client::Peer(peer),
    }
}

/// An address (`192.0.2.1`, `2001:db8::1`) or a range (`192.0.2.0/24`).
pub(crate) fn parse_range(text: &str) -> Result<IpNet, String> {
    let range = text.parse::<IpNet>().ok();
    let address = || text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
    range.or_else(address).ok_or_else(|| {
        format!("{text:?} is no address and no range; write one as 192.0.2.0/24 or 2001:db8::1")
    })
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address = text.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.or_else(bare).map(|address: IpAddr| address.to_canonical())
}

/// One hop of `Forwarded`: `for="[2001:db8::1]:4711";proto=https`. Addresses hold no comma, and what holds one in quotes
/// is taken for malformed: so a quote that a client leaves open swallows nothing.
fn parse_forwarded(hop: &str) -> Option<IpAddr> {
    let mut addresses = hop.split(';').filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    });
    let (Some(value), None) = (addresses.next(), addresses.next()) else { return None };
    match value.strip_prefix('"') {
        Some(quoted) => parse_address(quoted.strip_suffix('"')?),
        None => parse_address(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn who(peer: &str, headers: &[(&'static str, &str)]) -> Client {
        let proxies = TrustedProxies::parse("10.0.0.0/8, fd00::/8").unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let peer: IpAddr = peer.parse().unwrap();
        proxies.client(peer.to_canonical(), &map)
    }

    fn known(address: &str) -> Client {
        Client::Known(address.parse().unwrap())
    }

    const UNKNOWN: Client = Client::Peer(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)));

    #[test]
    fn who_is_no_proxy_is_not_believed() {
        for header in [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")] {
            assert_eq!(who("203.0.113.9", &[header]), known("203.0.113.9"));
        }
        assert_eq!(who("::ffff:203.0.113.9", &[("x-forwarded-for", "192.0.2.1")]), known("203.0.113.9"));
    }

    #[test]
    fn the_client_is_the_right_most_that_is_no_proxy() {
        for chain in [
            "192.0.2.1",
            "192.0.2.1:4711",
            "::ffff:192.0.2.1",
            "198.51.100.7, 192.0.2.1",
            "not an address, 192.0.2.1, 10.9.9.9",
            "198.51.100.7,192.0.2.1 ,fd00::5, [fd00::6]:80",
        ] {
            assert_eq!(who(PROXY, &[("x-forwarded-for", chain)]), known("192.0.2.1"), "{chain}");
        }
        let lines = [("x-forwarded-for", "198.51.100.7"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(who(PROXY, &lines), known("192.0.2.1"), "lines are one list");
        assert_eq!(who(PROXY, &[("x-forwarded-for", "10.1.1.1, 10.2.2.2")]), known("10.1.1.1"));
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_has_it() {
        for (chain, client) in [
            ("for=192.0.2.43", "192.0.2.43"),
            ("for=192.0.2.43;proto=http;by=203.0.113.43", "192.0.2.43"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=198.51.100.17, proto=https;for=192.0.2.43", "192.0.2.43"),
            ("for=192.0.2.43, for=10.0.0.2", "192.0.2.43"),
            ("for=\", for=192.0.2.43", "192.0.2.43"),
        ] {
            assert_eq!(who(PROXY, &[("forwarded", chain)]), known(client), "{chain}");
        }
        for malformed in [
            "for=unknown",
            "for=_hidden",
            "proto=https",
            "for=192.0.2.1;for=192.0.2.2",
            "for=\"192.0.2.1",
            "",
        ] {
            assert_eq!(who(PROXY, &[("forwarded", malformed)]), UNKNOWN, "{malformed}");
        }
    }

    #[test]
    fn a_chain_that_cannot_be_read_or_that_differs_names_nobody() {
        let long = ["10.0.0.2"; HOPS_MAX + 1].join(",");
        for malformed in ["", "unknown", "192.0.2.1,", "192.0.2.1 10.0.0.2", "192.0.2.300", "::ffff:", &long]
        {
            assert_eq!(who(PROXY, &[("x-forwarded-for", malformed)]), UNKNOWN, "{malformed}");
        }
        assert_eq!(who(PROXY, &[]), UNKNOWN);
        let both = |one, other| who(PROXY, &[("x-forwarded-for", one), ("forwarded", other)]);
        assert_eq!(both("192.0.2.1", "for=192.0.2.1"), known("192.0.2.1"));
        assert_eq!(both("192.0.2.1", "for=192.0.2.2"), UNKNOWN);
        assert_eq!(both("192.0.2.1", "for=_hidden"), UNKNOWN);
    }

    #[test]
    fn ranges_are_told_apart_from_other_text() {
        for fine in ["192.0.2.0/24", "192.0.2.1", "2001:db8::/32", "::1", " 10.0.0.1 , ::1"] {
            assert!(TrustedProxies::parse(fine).is_ok(), "{fine}");
        }
        for wrong in ["", "proxy", "192.0.2.0/33", "192.0.2", "10.0.0.1,,::1", "None"] {
            assert!(TrustedProxies::parse(wrong).is_err(), "{wrong}");
        }
    }
}
