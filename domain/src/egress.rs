//! Which addresses outgoing requests may connect to: those of the public internet, and the ranges
//! that an operator allows in addition.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Network;

/// IPv4 ranges that are not globally reachable, by IANA's registry.
const NON_PUBLIC_V4: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// IPv6: global addresses are in `2000::/3`, except for these ranges.
const NON_PUBLIC_V6: &[(Ipv6Addr, u8)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// True if the address is on the public internet.
pub fn is_public(address: IpAddr) -> bool {
    let within = |range: IpAddr, prefix, address| {
        Network::new(range, prefix).is_ok_and(|range| range.contains(address))
    };
    match address.to_canonical() {
        address @ IpAddr::V4(_) => {
            !NON_PUBLIC_V4.iter().any(|(range, prefix)| within((*range).into(), *prefix, address))
        }
        // Addresses that embed an IPv4 address for translation (NAT64, 6to4, Teredo) are outside
        // 2000::/3 or in one of the excluded ranges.
        address @ IpAddr::V6(_) => {
            let global = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0).into();
            within(global, 3, address)
                && !NON_PUBLIC_V6
                    .iter()
                    .any(|(range, prefix)| within((*range).into(), *prefix, address))
        }
    }
}

/// True if an outgoing request may connect to the address.
pub fn may_connect(address: IpAddr, allowed: &[Network]) -> bool {
    is_public(address) || allowed.iter().any(|range| range.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_globally_reachable_addresses_are_public() {
        for public in ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.8.9.10",
            "169.254.169.254",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.0.1",
            "198.19.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[test]
    fn an_operator_can_allow_a_non_public_range() {
        let allowed = ["127.0.0.1".parse().unwrap()];
        assert!(may_connect("127.0.0.1".parse().unwrap(), &allowed));
        assert!(may_connect("::ffff:127.0.0.1".parse().unwrap(), &allowed));
        assert!(!may_connect("127.0.0.2".parse().unwrap(), &allowed));
        assert!(may_connect("8.8.8.8".parse().unwrap(), &[]));
    }
}
