//! Where a request comes from: the address of its connection, or what a proxy that is trusted says.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;

use crate::settings::Networks;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Each proxy adds the address it was called from at the right. So it is read from there, as long as the one who
/// wrote an entry is trusted: what lies left of that, anybody may have made up.
pub(super) fn of(connection: IpAddr, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    let mut origin = connection.to_canonical();
    if !trusted.contains(origin) {
        return origin;
    }
    let lines = headers.get_all(FORWARDED_FOR).iter().rev().map(|line| line.to_str().unwrap_or_default());
    for entry in lines.flat_map(|line| line.rsplit(',')) {
        // Not an address ("unknown"): whoever passed it on is as far back as can be seen.
        let Some(address) = address(entry.trim()) else { return origin };
        origin = address.to_canonical();
        if !trusted.contains(origin) {
            return origin;
        }
    }
    origin
}

/// Some proxies add the port.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(entry);
    bare.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn origin(connection: &str, lines: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let trusted = Networks::parse(&["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"]).unwrap();
        of(connection.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_proxy_that_is_not_trusted_says_nothing() {
        assert_eq!(origin("192.0.2.1", &["198.51.100.9"]), "192.0.2.1");
        assert_eq!(origin("::ffff:192.0.2.1", &[]), "192.0.2.1");
        assert_eq!(origin("127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn the_right_most_address_that_no_trusted_proxy_has_is_the_callers() {
        for connection in ["127.0.0.1", "::ffff:127.0.0.1", "2001:db8::7"] {
            assert_eq!(origin(connection, &["203.0.113.5, 198.51.100.9"]), "198.51.100.9");
            assert_eq!(origin(connection, &["203.0.113.5, 198.51.100.9,10.1.1.1 , 10.2.2.2"]), "198.51.100.9");
            assert_eq!(origin(connection, &["203.0.113.5", "198.51.100.9", "10.1.1.1"]), "198.51.100.9");
        }
        assert_eq!(origin("10.0.0.1", &["10.0.0.2, 10.0.0.3"]), "10.0.0.2", "all are trusted: the first");
    }

    #[test]
    fn ports_and_brackets_are_read_and_garbage_hides_nobody() {
        for (entry, expected) in [
            ("198.51.100.9:4711", "198.51.100.9"),
            ("[2001:db9::1]:4711", "2001:db9::1"),
            ("[2001:db9::1]", "2001:db9::1"),
            ("::ffff:198.51.100.9", "198.51.100.9"),
            ("198.51.100.9, unknown", "127.0.0.1"),
            ("198.51.100.9, unknown, 10.0.0.4", "10.0.0.4"),
            ("", "127.0.0.1"),
        ] {
            assert_eq!(origin("127.0.0.1", &[entry]), expected, "{entry}");
        }
    }
}
