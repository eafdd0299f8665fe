//! Which addresses are public, and networks that are named although they are not.
//!
//! A rule names a host, and whoever owns the name says which address that is: of a database in the operator's own
//! network, of the metadata service of a cloud. So the address is looked at again, after it was resolved.

use crate::error::{Error, Result};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network: an address and how many of its first bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`, `::1/128` or one address.
    ///
    /// # Errors
    /// Class Config: no such network, or bits behind the prefix.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let wrong = |what: &str| {
            let found = text.escape_debug();
            Error::config(format!("network `{found}`: {what}, expected for instance `10.0.0.0/8` or `::1`"))
        };
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong("no address"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| wrong("no number of bits"))?;
        let network = Network { address, bits };
        if bits > most {
            return Err(wrong("too many bits"));
        }
        match network.prefix(address) == Some(number(address)) {
            true => Ok(network),
            false => Err(wrong("the address has bits behind the prefix")),
        }
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.prefix(address) == Some(number(self.address))
    }

    /// An address without the bits that do not count; none: of the other version.
    fn prefix(&self, address: IpAddr) -> Option<u128> {
        let width = match (self.address, address) {
            (IpAddr::V4(_), IpAddr::V4(_)) => 32,
            (IpAddr::V6(_), IpAddr::V6(_)) => 128,
            _ => return None,
        };
        let left_out = width - u32::from(self.bits.min(128)).min(width);
        let kept = u128::MAX.checked_shl(left_out).unwrap_or(0);
        Some(number(address) & kept)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The kind of range that an address is in, where it is not public and none of `networks` names it.
pub fn refused_range(address: IpAddr, networks: &[Network]) -> Option<&'static str> {
    let inner = match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => embedded(v6).map_or(address, IpAddr::V4),
    };
    let is_named = networks.iter().any(|network| network.contains(address) || network.contains(inner));
    let range = match inner {
        IpAddr::V4(v4) => range_of_v4(v4),
        IpAddr::V6(v6) => range_of_v6(v6),
    };
    range.filter(|_| !is_named)
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, 6to4, NAT64.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let joined = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(joined(g, h)),
        // `::` and `::1` are not IPv4 addresses.
        (0, 0, 0, 0, 0, 0) if g != 0 => Some(joined(g, h)),
        (0x2002, ..) => Some(joined(b, c)),
        _ => None,
    }
}

fn range_of_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = address.octets();
    Some(match (a, b, c) {
        (0, ..) => "unspecified",
        (127, ..) => "loopback",
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => "private",
        (169, 254, _) => "link-local",
        (100, 64..=127, _) => "shared",
        (192, 0, 0 | 2) | (198, 51, 100) | (203, 0, 113) | (198, 18..=19, _) | (192, 88, 99) => "reserved",
        (224..=239, ..) => "multicast",
        (240..=255, ..) => "reserved",
        _ => return None,
    })
}

fn range_of_v6(address: Ipv6Addr) -> Option<&'static str> {
    let [a, b, ..] = address.segments();
    Some(match (a, b) {
        _ if address.is_loopback() => "loopback",
        _ if address.is_unspecified() => "unspecified",
        (0xfc00..=0xfdff, _) => "private",
        (0xfe80..=0xfebf, _) => "link-local",
        (0xfec0..=0xfeff, _) => "site-local",
        (0xff00..=0xffff, _) => "multicast",
        // Of the rest only 2000::/3 is given out; in it, Teredo and documentation are nobody's.
        (0x2001, 0x0000..=0x01ff | 0x0db8) | (0x3fff, 0x0000..=0x0fff) => "reserved",
        (0x2000..=0x3fff, _) => return None,
        _ => "reserved",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_reached_unless_their_network_is_named() {
        let check = |address: &str, expected: Option<&str>| {
            assert_eq!(refused_range(address.parse().unwrap(), &[]), expected, "{address}");
        };
        for public in
            ["1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "192.167.0.1", "2606:4700::1111", "::ffff:1.1.1.1"]
        {
            check(public, None);
        }
        check("127.0.0.1", Some("loopback"));
        check("127.255.255.255", Some("loopback"));
        check("0.0.0.0", Some("unspecified"));
        check("10.1.2.3", Some("private"));
        check("172.16.0.1", Some("private"));
        check("192.168.0.1", Some("private"));
        check("169.254.169.254", Some("link-local"));
        check("100.64.0.1", Some("shared"));
        check("198.18.0.1", Some("reserved"));
        check("224.0.0.1", Some("multicast"));
        check("255.255.255.255", Some("reserved"));
        check("::1", Some("loopback"));
        check("::", Some("unspecified"));
        check("fd00::1", Some("private"));
        check("fe80::1", Some("link-local"));
        check("fec0::1", Some("site-local"));
        check("ff02::1", Some("multicast"));
        check("2001:db8::1", Some("reserved"));
        check("2001::1", Some("reserved"));
        check("4000::1", Some("reserved"));
        // IPv4 in IPv6's clothes.
        for disguised in ["::ffff:127.0.0.1", "::127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1"] {
            check(disguised, Some("loopback"));
        }
        check("64:ff9b:1::1", Some("reserved"));
    }

    #[test]
    fn a_network_is_named_by_its_prefix() {
        let networks = ["10.1.0.0/16", "::1", "fd00::/8"].map(|text| Network::parse(text).unwrap());
        let refused = |address: &str| refused_range(address.parse().unwrap(), &networks).is_some();
        assert!(!refused("10.1.255.1") && refused("10.2.0.1") && !refused("::ffff:10.1.0.1"));
        assert!(!refused("::1") && refused("127.0.0.1") && !refused("fdff::1"));
        let all = [Network::parse("0.0.0.0/0").unwrap()];
        assert!(refused_range("127.0.0.1".parse().unwrap(), &all).is_none());
        assert!(refused_range("::1".parse().unwrap(), &all).is_some());
        for wrong in ["", "10.0.0.1/8", "10.0.0.0/33", "::/129", "10.0.0.0/x", "example.org", "10.0.0.0/-1"] {
            assert!(Network::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(networks[0].to_string(), "10.1.0.0/16");
    }
}
