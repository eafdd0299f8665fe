//! Which addresses are public, and networks that are granted although they are not.
//!
//! A rule names a host, and whoever owns the name says which address that is: of a database in the operator's own
//! network, of a cloud's metadata service. So the address is looked at again after it was resolved. The ranges are those
//! of IANA's registries of special-purpose addresses (RFC 6890) as of 2025.

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
    /// Class Config: no such network, bits behind the prefix, or IPv4 in the form of IPv6: that is granted as IPv4.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let wrong = |what: &str| {
            let found = text.escape_debug();
            Error::config(format!("network `{found}`: {what}, expected for instance `10.0.0.0/8` or `::1`"))
        };
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong("no address"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) if bits.chars().all(|c| c.is_ascii_digit()) => {
                bits.parse().map_err(|_| wrong("no number of bits"))?
            }
            Some(_) => return Err(wrong("no number of bits")),
        };
        let network = Network { address, bits };
        if bits > most {
            return Err(wrong("too many bits"));
        }
        if network.prefix(address) != Some(number(address)) {
            return Err(wrong("the address has bits behind the prefix"));
        }
        match address {
            // Such a grant would do nothing: what is in them is looked at, not they.
            IpAddr::V6(v6) if bits >= 96 && embedded(v6).is_some() && !TEREDO.contains(address) => {
                Err(wrong("it stands for IPv4 addresses"))
            }
            _ => Ok(network),
        }
    }

    const fn v4(a: u8, b: u8, c: u8, bits: u8) -> Self {
        Network { address: IpAddr::V4(Ipv4Addr::new(a, b, c, 0)), bits }
    }

    const fn v6(a: u16, b: u16, bits: u8) -> Self {
        Network { address: IpAddr::V6(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0)), bits }
    }

    const fn one(address: IpAddr) -> Self {
        Network { address, bits: if address.is_ipv4() { 32 } else { 128 } }
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
        let left_out = u32::saturating_sub(width, self.bits.into());
        Some(number(address) & u128::MAX.checked_shl(left_out).unwrap_or(0))
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

/// Why an address is not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// `loopback`, `private` and so on.
    pub class: &'static str,
    /// The network to grant, to reach it.
    pub network: Network,
}

/// The first of these that an address is in says what it is.
const NOT_PUBLIC: &[(Network, &str)] = &[
    (Network::one(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), "unspecified"),
    (Network::v4(0, 0, 0, 8), "reserved"),
    (Network::v4(10, 0, 0, 8), "private"),
    (Network::v4(100, 64, 0, 10), "shared by a carrier"),
    (Network::v4(127, 0, 0, 8), "loopback"),
    (Network::v4(169, 254, 0, 16), "link-local"),
    (Network::v4(172, 16, 0, 12), "private"),
    (Network::v4(192, 0, 0, 24), "reserved"),
    (Network::v4(192, 0, 2, 24), "for documentation"),
    (Network::v4(192, 88, 99, 24), "reserved"),
    (Network::v4(192, 168, 0, 16), "private"),
    (Network::v4(198, 18, 0, 15), "for benchmarks"),
    (Network::v4(198, 51, 100, 24), "for documentation"),
    (Network::v4(203, 0, 113, 24), "for documentation"),
    (Network::v4(224, 0, 0, 4), "multicast"),
    (Network::one(IpAddr::V4(Ipv4Addr::BROADCAST)), "broadcast"),
    (Network::v4(240, 0, 0, 4), "reserved"),
    (Network::one(IpAddr::V6(Ipv6Addr::UNSPECIFIED)), "unspecified"),
    (Network::one(IpAddr::V6(Ipv6Addr::LOCALHOST)), "loopback"),
    (Network::v6(0xfc00, 0, 7), "private"),
    (Network::v6(0xfe80, 0, 10), "link-local"),
    (Network::v6(0xfec0, 0, 10), "site-local"),
    (Network::v6(0xff00, 0, 8), "multicast"),
    (TEREDO, "of Teredo"),
    (Network::v6(0x2001, 0, 23), "reserved"),
    (Network::v6(0x2001, 0x0db8, 32), "for documentation"),
    (Network::v6(0x3fff, 0, 20), "for documentation"),
];

const TEREDO: Network = Network::v6(0x2001, 0, 32);
/// The only part of IPv6 that is given out.
const GIVEN_OUT: Network = Network::v6(0x2000, 0, 3);

/// Why an address may not be reached: it is not public, and none of `networks` has it. An IPv6 address that stands for
/// an IPv4 one is reached where that is.
pub fn refused(address: IpAddr, networks: &[Network]) -> Option<Refused> {
    let inner = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => embedded(v6),
    };
    let known = NOT_PUBLIC.iter().find(|(network, _)| network.contains(address));
    let range = match known {
        Some((network, class)) => Some(Refused { class, network: *network }),
        None if address.is_ipv4() || inner.is_some() || GIVEN_OUT.contains(address) => None,
        None => Some(Refused { class: "reserved", network: Network::one(address) }),
    };
    let is_granted = || networks.iter().any(|network| network.contains(address));
    range.filter(|_| !is_granted()).or_else(|| inner.and_then(|inner| refused(IpAddr::V4(inner), networks)))
}

/// The IPv4 address that an IPv6 one leads to: mapped and compatible (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056),
/// Teredo (RFC 4380).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let joined = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => joined(g, h),
        // `::`, `::1` and what is around them are no IPv4 addresses.
        (0, 0, 0, 0, 0, 0) if g != 0 => joined(g, h),
        (0x2002, ..) => joined(b, c),
        (0x2001, 0, ..) => joined(!g, !h),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| Network::parse(text).unwrap()).collect()
    }

    #[test]
    fn only_public_addresses_are_reached() {
        let check = |address: &str, class: &str, network: &str| {
            let refused = refused(address.parse().unwrap(), &[]).unwrap_or_else(|| panic!("{address} is reached"));
            assert_eq!((refused.class, &*refused.network.to_string()), (class, network), "{address}");
        };
        check("0.0.0.0", "unspecified", "0.0.0.0/32");
        check("0.1.2.3", "reserved", "0.0.0.0/8");
        check("10.1.2.3", "private", "10.0.0.0/8");
        check("172.16.0.0", "private", "172.16.0.0/12");
        check("172.31.255.255", "private", "172.16.0.0/12");
        check("192.168.0.1", "private", "192.168.0.0/16");
        check("100.127.255.255", "shared by a carrier", "100.64.0.0/10");
        check("127.255.255.255", "loopback", "127.0.0.0/8");
        check("169.254.169.254", "link-local", "169.254.0.0/16");
        check("192.0.0.170", "reserved", "192.0.0.0/24");
        check("192.0.2.1", "for documentation", "192.0.2.0/24");
        check("192.88.99.1", "reserved", "192.88.99.0/24");
        check("198.19.255.255", "for benchmarks", "198.18.0.0/15");
        check("198.51.100.1", "for documentation", "198.51.100.0/24");
        check("203.0.113.1", "for documentation", "203.0.113.0/24");
        check("224.0.0.1", "multicast", "224.0.0.0/4");
        check("239.255.255.255", "multicast", "224.0.0.0/4");
        check("240.0.0.1", "reserved", "240.0.0.0/4");
        check("255.255.255.255", "broadcast", "255.255.255.255/32");
        check("::", "unspecified", "::/128");
        check("::1", "loopback", "::1/128");
        check("::2", "reserved", "::2/128");
        check("fdff::1", "private", "fc00::/7");
        check("febf::1", "link-local", "fe80::/10");
        check("fec0::1", "site-local", "fec0::/10");
        check("ff02::1", "multicast", "ff00::/8");
        check("2001::1", "of Teredo", "2001::/32");
        check("2001:1ff::1", "reserved", "2001::/23");
        check("2001:db8::1", "for documentation", "2001:db8::/32");
        check("3fff:fff::1", "for documentation", "3fff::/20");
        check("4000::1", "reserved", "4000::1/128");
        check("64:ff9b:1::1", "reserved", "64:ff9b:1::1/128");
        check("::ffff:0:127.0.0.1", "reserved", "::ffff:0:7f00:1/128");
        // IPv4 in IPv6's clothes.
        for disguised in ["::ffff:127.0.0.1", "::127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1"] {
            check(disguised, "loopback", "127.0.0.0/8");
        }
        check("::ffff:169.254.169.254", "link-local", "169.254.0.0/16");
        check("64:ff9b::10.0.0.1", "private", "10.0.0.0/8");
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:200::1",
            "2001:db9::1",
            "2003::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
        ] {
            assert_eq!(refused(public.parse().unwrap(), &[]), None, "{public}");
        }
    }

    #[test]
    fn a_network_is_granted_by_its_prefix() {
        let granted = networks(&["10.1.0.0/16", "::1", "fd00::/8"]);
        let is_refused = |address: &str| refused(address.parse().unwrap(), &granted).is_some();
        assert!(!is_refused("10.1.255.1") && is_refused("10.2.0.1") && !is_refused("::ffff:10.1.0.1"));
        assert!(!is_refused("::1") && is_refused("127.0.0.1") && !is_refused("fdff::1") && is_refused("fc00::1"));
        let all = networks(&["0.0.0.0/0"]);
        assert!(refused("127.0.0.1".parse().unwrap(), &all).is_none());
        assert!(refused("::1".parse().unwrap(), &all).is_some());
        // A grant for the clothes is none for who is in them: this Teredo address leads to 127.0.0.1.
        let teredo = "2001::80ff:fffe".parse().unwrap();
        assert_eq!(refused(teredo, &networks(&["2001::/32", "::/0"])).map(|refused| refused.class), Some("loopback"));
        assert_eq!(refused(teredo, &networks(&["2001::/32", "127.0.0.0/8"])), None);
        assert!(refused("::ffff:127.0.0.1".parse().unwrap(), &networks(&["::/0"])).is_some());
    }

    #[test]
    fn what_is_no_network_is_told() {
        for (text, expected) in [
            ("", "no address"),
            ("example.org", "no address"),
            ("10.0.0/8", "no address"),
            ("10.0.0.1/8", "bits behind the prefix"),
            ("10.0.0.0/33", "too many bits"),
            ("::/129", "too many bits"),
            ("10.0.0.0/x", "no number of bits"),
            ("10.0.0.0/", "no number of bits"),
            ("10.0.0.0/+8", "no number of bits"),
            ("10.0.0.0/256", "no number of bits"),
            ("::ffff:10.0.0.0/104", "stands for IPv4"),
        ] {
            let error = Network::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn an_ipv4_address_is_refused_in_all_its_forms_or_in_none(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            // Below 0.1.0.0 the compatible form is not one of IPv4, and reserved as that.
            prop_assume!(bits > 0xffff);
            let (high, low) = ((bits >> 16) as u16, bits as u16);
            let forms = [
                v4.to_ipv6_mapped(),
                v4.to_ipv6_compatible(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            ];
            for form in forms {
                prop_assert_eq!(refused(IpAddr::V6(form), &[]), refused(IpAddr::V4(v4), &[]), "{}", form);
            }
        }

        #[test]
        fn a_network_reads_as_it_is_written(bits in 0_u8..=32, address: u32) {
            let kept = address & u32::MAX.checked_shl(u32::from(32 - bits)).unwrap_or(0);
            let network = Network { address: IpAddr::V4(Ipv4Addr::from_bits(kept)), bits };
            prop_assert_eq!(Network::parse(&network.to_string()).unwrap(), network);
            prop_assert!(network.contains(IpAddr::V4(Ipv4Addr::from_bits(address))));
        }
    }
}
