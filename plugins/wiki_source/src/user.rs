//! What kind of user a name belongs to.
//!
//! The feeds carry no account status, so the name is what there is: an IP address is an editor
//! without an account, `~2025-12345-67` a temporary account, anything else a registered one. An
//! all-digit name is no address. Nothing is looked up here.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::from_utf8;

/// A kind of user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserKind {
    Ip4,
    Ip6,
    Temporary,
    Named,
}

impl UserKind {
    /// The kind of a name, as MediaWiki writes names.
    pub(crate) fn of(name: &[u8]) -> Self {
        match name {
            [b'~', rest @ ..] if is_temporary(rest) => UserKind::Temporary,
            [b':' | b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..] => of_address(name).unwrap_or(UserKind::Named),
            _ => UserKind::Named,
        }
    }

    /// The word in the column `userKind`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            UserKind::Ip4 => "ip4",
            UserKind::Ip6 => "ip6",
            UserKind::Temporary => "temp",
            UserKind::Named => "named",
        }
    }

    /// Whether the name is an IP address.
    pub(crate) fn is_address(self) -> bool {
        matches!(self, UserKind::Ip4 | UserKind::Ip6)
    }
}

fn of_address(name: &[u8]) -> Option<UserKind> {
    // Most names end here, at their first letter that no address has.
    if !name.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':')) {
        return None;
    }
    let name = from_utf8(name).ok()?;
    let ip4 = name.parse::<Ipv4Addr>().map(|_| UserKind::Ip4);
    ip4.ok().or_else(|| name.parse::<Ipv6Addr>().map(|_| UserKind::Ip6).ok())
}

/// A year of four digits, then groups of one to five digits, each after a hyphen.
fn is_temporary(rest: &[u8]) -> bool {
    let is_number = |group: &[u8]| group.iter().all(u8::is_ascii_digit);
    let mut groups = rest.split(|byte| *byte == b'-');
    let has_year = groups.next().is_some_and(|year| year.len() == 4 && is_number(year));
    let mut groups = groups.peekable();
    has_year && groups.peek().is_some() && groups.all(|group| (1..=5).contains(&group.len()) && is_number(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: UserKind, names: &[&str]) {
        for name in names {
            assert_eq!(UserKind::of(name.as_bytes()), kind, "{name}");
        }
    }

    #[test]
    fn names_tell_the_kind() {
        check(UserKind::Ip4, &["192.0.2.17", "1.2.3.4", "255.255.255.255"]);
        check(UserKind::Ip6, &["2001:DB8:0:0:0:0:0:7", "2001:db8::7", "::1", "FE80:0:0:0:0:0:0:A"]);
        check(UserKind::Temporary, &["~2025-12345-67", "~2026-17", "~2026-1-2-3"]);
        check(UserKind::Named, &["", "20240713", "1234567", "192.0.2", "192.0.2.300", "192.0.2.xxx", "1.2.3.4.5"]);
        check(UserKind::Named, &["Beef", "a:b", "~", "~2025", "~2025-", "~2025-123456", "~25-1", "~2025-1x", "2025-1"]);
        check(UserKind::Named, &["Ж", "~Ж", "Dead:Beef"]);
    }
}
