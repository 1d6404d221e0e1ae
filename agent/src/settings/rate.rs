//! So many in so long: `200/s`, `30/m`, `1000/h`.

use std::num::NonZeroU32;

use governor::Quota;

/// As many may come at once as in the whole time; then one by one, as their time comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(Quota);

impl Rate {
    /// None when it is not written like that.
    pub fn parse(text: &str) -> Option<Self> {
        let (count, unit) = text.split_once('/')?;
        let count = count.trim().parse().ok()?;
        let quota = match unit.trim() {
            "s" => Quota::per_second(count),
            "m" => Quota::per_minute(count),
            "h" => Quota::per_hour(count),
            _ => return None,
        };
        // More than one a nanosecond cannot be told apart.
        (!quota.replenish_interval().is_zero()).then_some(Self(quota))
    }

    pub(crate) fn quota(self) -> Quota {
        self.0
    }

    /// For failed attempts of one address, unless the agent's config says otherwise.
    pub(super) fn of_failed_attempts() -> Self {
        Self(Quota::per_minute(NonZeroU32::new(30).expect("30 is not 0")))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::time::Duration;

    use super::*;

    #[test]
    fn rates_are_counts_per_second_minute_or_hour() {
        for (text, every) in [("200/s", 5), ("30/m", 2_000), (" 60 / h ", 60_000)] {
            let quota = Rate::parse(text).unwrap().quota();
            assert_eq!(quota.replenish_interval(), Duration::from_millis(every), "{text}");
        }
        assert_eq!(Rate::parse("30/m").unwrap(), Rate::of_failed_attempts());
        for wrong in ["", "200", "0/s", "-1/s", "1/d", "1/", "/s", "many/s", "1/s/s", "4000000000/s", "9999999999/h"] {
            assert_eq!(Rate::parse(wrong), None, "{wrong}");
        }
    }
}
