//! Values as people write them: points in time, sizes, durations, rates.

use std::time::{Duration, SystemTime};

use bytesize::ByteSize;
use jiff::{SignedDuration, Span, Timestamp, civil, tz::TimeZone};
use protocol::pace::Rate;

/// Numbers of seconds beyond this one (the year 5138) are meant as milliseconds.
const SURELY_MILLISECONDS: i64 = 99_999_999_999;

/// A point in time, as Unix seconds: "7 days ago", "2026-11-22", "2026-11-22T10:00:00Z", 1795345966. Without an offset it is UTC.
pub fn point_in_time(text: &str, now: SystemTime) -> Result<i64, String> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return Ok(if number > SURELY_MILLISECONDS { number / 1000 } else { number });
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp.as_second());
    }
    let utc = |time: civil::DateTime| time.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp().as_second());
    if let Ok(Ok(seconds)) = text.parse::<civil::DateTime>().map(utc) {
        return Ok(seconds);
    }
    let ago = |span: Span| {
        let now = Timestamp::try_from(now)?.to_zoned(TimeZone::UTC);
        now.checked_sub(span.abs()).map(|then| then.timestamp().as_second())
    };
    text.parse::<Span>().and_then(ago).map_err(|_| {
        format!(
            "{text:?} is not a point in time: write \"7 days ago\", \"2026-11-22\", \"2026-11-22T10:00:00Z\" or Unix seconds"
        )
    })
}

/// The same, seen from now.
pub fn since(text: &str) -> Result<i64, String> {
    point_in_time(text, SystemTime::now())
}

/// A size in bytes: "10MiB", "500 KB", 1048576.
pub fn size(text: &str) -> Result<u64, String> {
    let size = text.trim().parse::<ByteSize>();
    size.map(|size| size.as_u64()).map_err(|_| format!("{text:?} is not a size: write \"10MiB\", \"500KB\" or bytes"))
}

/// A stretch of time: "500ms", "30s", "1h 30m"; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a stretch of time: write \"500ms\", \"30s\", \"1h 30m\" or seconds");
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let signed = text.parse::<SignedDuration>().map_err(|_| wrong())?;
    Duration::try_from(signed).map_err(|_| wrong())
}

/// "100/s", "100 items/s", "5MiB/s"; without "/s" the same.
pub fn rate(text: &str) -> Result<Rate, String> {
    let wrong =
        || format!("{text:?} is not a rate: write \"100/s\" or \"100 items/s\" for items, \"5MiB/s\" for bytes");
    let amount = text.trim();
    let amount = amount.strip_suffix("/s").unwrap_or(amount).trim();
    let items = amount.strip_suffix("items").unwrap_or(amount).trim();
    let rate = match items.parse::<u64>() {
        Ok(items) => Rate::Items(items),
        Err(_) => Rate::Bytes(amount.parse::<ByteSize>().map_err(|_| wrong())?.as_u64()),
    };
    match rate {
        Rate::Items(0) | Rate::Bytes(0) => Err(wrong()),
        rate => Ok(rate),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn points_in_time_are_read_as_people_write_them() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_345_966);
        for (text, seconds) in [
            ("7 days ago", 1_795_345_966 - 7 * 86_400),
            ("7 days", 1_795_345_966 - 7 * 86_400),
            ("-1 week", 1_795_345_966 - 7 * 86_400),
            ("2h 30m ago", 1_795_345_966 - 9_000),
            ("1 month ago", 1_795_345_966 - 31 * 86_400),
            ("1795345966", 1_795_345_966),
            ("1795345966123", 1_795_345_966),
            ("2026-11-22", 1_795_305_600),
            ("2026-11-22T11:12:46Z", 1_795_345_966),
            ("2026-11-22 13:12:46+02:00", 1_795_345_966),
            ("2026-11-22 11:12", 1_795_345_920),
        ] {
            assert_eq!(point_in_time(text, now), Ok(seconds), "{text}");
        }
        for text in ["yesterday-ish", "2026-13-01", "", "7", "days ago"].iter().filter(|text| **text != "7") {
            assert!(point_in_time(text, now).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_durations_and_rates_are_read_as_people_write_them() {
        assert_eq!(size("10MiB").unwrap(), 10 << 20);
        assert_eq!(size("500 KB").unwrap(), 500_000);
        assert_eq!(size("1048576").unwrap(), 1 << 20);
        assert!(size("ten").is_err());
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("1h 30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(duration("2").unwrap(), Duration::from_secs(2));
        assert!(duration("-2s").is_err() && duration("soon").is_err());
        assert_eq!(rate("100/s").unwrap(), Rate::Items(100));
        assert_eq!(rate("100 items/s").unwrap(), Rate::Items(100));
        assert_eq!(rate("5MiB/s").unwrap(), Rate::Bytes(5 << 20));
        assert!(rate("0/s").is_err() && rate("fast").is_err());
    }
}
