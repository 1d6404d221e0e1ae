//! When a schedule's ticks are planned. Owns cron, time zones and jitter; knows no Redis, and no clock of its own.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;

use crate::options::values;

/// Ticks that were missed are counted one by one up to so many.
const MOST_COUNTED: u64 = 10_000;
/// How far back the last tick is looked for, in milliseconds: ever farther, so that few ticks are gone through.
const BACK: [u64; 6] = [60_000, 3_600_000, 86_400_000, 8 * 86_400_000, 32 * 86_400_000, u64::MAX];
/// So many ticks are looked at to see how close they follow each other.
const SAMPLE: usize = 100;

/// The instants of a schedule. All instants are milliseconds since 1970.
#[derive(Debug, Clone)]
pub struct Timetable {
    name: String,
    cron: Cron,
    zone: Tz,
    jitter: u64,
}

/// What was planned and did not have its turn yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The last tick whose time has come.
    pub tick: u64,
    /// How many lie before it.
    pub earlier: u64,
    /// The last of these.
    pub before: Option<u64>,
}

impl Timetable {
    /// As in the config. Errors begin with the key.
    pub fn of(entry: &config::Schedule) -> Result<Self, String> {
        let cron: Cron = entry.cron.parse().map_err(|error| format!("cron = {:?}: {error}", entry.cron))?;
        let zone = entry.time_zone.parse().map_err(|_| {
            format!("time_zone = {:?} is not known: write it as \"Europe/Berlin\" or \"UTC\"", entry.time_zone)
        })?;
        let jitter = entry.jitter.as_deref().map(values::duration).transpose();
        let jitter = jitter.map_err(|problem| format!("jitter: {problem}"))?.unwrap_or_default();
        let jitter = u64::try_from(jitter.as_millis()).map_err(|_| "jitter is far too long".to_owned())?;
        let table = Self { name: entry.name.clone(), cron, zone, jitter };
        let first: Vec<u64> = table.from(0).take(SAMPLE).collect();
        if first.is_empty() {
            return Err(format!("cron = {:?} never comes", entry.cron));
        }
        match first.windows(2).map(|pair| pair[1] - pair[0]).min() {
            // Ticks have their turns in order.
            Some(closest) if jitter >= closest => Err(format!(
                "jitter = {:?} is not shorter than the time between two ticks ({:?})",
                entry.jitter.as_deref().unwrap_or_default(),
                Duration::from_millis(closest)
            )),
            _ => Ok(table),
        }
    }

    /// The next planned instant after this one.
    pub fn next(&self, after: u64) -> Option<u64> {
        let after = i64::try_from(after).ok()?;
        let start = self.zone.timestamp_millis_opt(after).single()?;
        let next = self.cron.find_next_occurrence(&start, false).ok()?.timestamp_millis();
        u64::try_from(next).ok().filter(|_| next > after)
    }

    /// When a tick is fired: up to the jitter later, the same for whoever asks.
    pub fn fire_time(&self, tick: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.name, tick).hash(&mut hasher);
        tick + hasher.finish() % (self.jitter + 1)
    }

    /// When the next tick is fired, of those after `after` of which none is due `now`.
    pub fn next_fire(&self, after: u64, now: u64) -> Option<u64> {
        // One whose time is over may still be waiting for its jitter.
        self.from(after.max(now.saturating_sub(self.jitter + 1)))
            .map(|tick| self.fire_time(tick))
            .find(|time| *time > now)
    }

    /// What is due of the ticks after `after`.
    pub fn due(&self, after: u64, now: u64) -> Option<Due> {
        let last = self.last(after, now)?;
        let tick = if self.fire_time(last) <= now { last } else { self.last(after, last - 1)? };
        let earlier = self.from(after).take_while(|earlier| *earlier < tick).zip(0..MOST_COUNTED).count() as u64;
        let before = if earlier == 0 { None } else { self.last(after, tick - 1) };
        Some(Due { tick, earlier, before })
    }

    /// The last planned instant after `after` that is not later than `until`.
    fn last(&self, after: u64, until: u64) -> Option<u64> {
        for window in BACK {
            let from = after.max(until.saturating_sub(window));
            let last = self.from(from).take_while(|tick| *tick <= until).last();
            if last.is_some() || from == after {
                return last;
            }
        }
        None
    }

    /// All planned instants after this one.
    fn from(&self, after: u64) -> impl Iterator<Item = u64> {
        std::iter::successors(self.next(after), |tick| self.next(*tick))
    }

    /// What its instants follow from.
    pub fn expression(&self) -> String {
        format!("{} {}", self.cron.pattern, self.zone)
    }

    /// An instant as people in its time zone write it.
    pub fn local(&self, instant: u64) -> String {
        let utc = i64::try_from(instant).ok().and_then(DateTime::<Utc>::from_timestamp_millis);
        utc.map_or_else(|| "-".into(), |utc| utc.with_timezone(&self.zone).format("%Y-%m-%d %H:%M:%S %Z").to_string())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use config::{CatchUp, Overlap};
    use protocol::run::Direction;
    use serde_json::Map;

    use super::*;

    fn entry(cron: &str, zone: &str, jitter: Option<&str>) -> config::Schedule {
        config::Schedule {
            name: "nightly".into(),
            cron: cron.into(),
            time_zone: zone.into(),
            direction: Direction::Push,
            other: "b".into(),
            catch_up: CatchUp::None,
            overlap: Overlap::Skip,
            jitter: jitter.map(str::to_owned),
            yes_i_mean: None,
            options: Map::new(),
        }
    }

    fn table(cron: &str, zone: &str) -> Timetable {
        Timetable::of(&entry(cron, zone, None)).unwrap()
    }

    fn at(text: &str) -> u64 {
        u64::try_from(DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()).unwrap()
    }

    /// All ticks of a stretch of time as it passes, looked at every `step` seconds.
    fn ticks(table: &Timetable, from: &str, until: &str, step: u64) -> Vec<String> {
        let (mut now, mut handled, mut found) = (at(from), at(from), Vec::new());
        while now <= at(until) {
            if let Some(due) = table.due(handled, now) {
                assert_eq!((due.earlier, due.before), (0, None));
                handled = due.tick;
                found.push(table.local(due.tick));
            }
            now += step * 1000;
        }
        found
    }

    #[test]
    fn a_night_in_which_the_clock_is_set_ahead_has_its_tick_once() {
        let paris = table("30 2 * * *", "Europe/Paris");
        let found = ticks(&paris, "2027-03-27T12:00:00Z", "2027-03-30T12:00:00Z", 60);
        assert_eq!(
            found,
            ["2027-03-28 03:00:00 CEST", "2027-03-29 02:30:00 CEST", "2027-03-30 02:30:00 CEST"],
            "02:30 does not exist on the 28th"
        );
    }

    #[test]
    fn a_night_in_which_the_clock_is_set_back_has_its_tick_once_and_every_hour_its_own() {
        let paris = table("30 2 * * *", "Europe/Paris");
        let found = ticks(&paris, "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z", 60);
        assert_eq!(found, ["2026-10-25 02:30:00 CEST", "2026-10-26 02:30:00 CET"], "02:30 comes twice on the 25th");
        let hourly = table("30 * * * *", "Europe/Paris");
        let found = ticks(&hourly, "2026-10-25T00:00:00Z", "2026-10-25T02:45:00Z", 60);
        assert_eq!(found, ["2026-10-25 02:30:00 CEST", "2026-10-25 02:30:00 CET", "2026-10-25 03:30:00 CET"]);
    }

    #[test]
    fn whoever_looks_late_finds_the_last_tick_and_how_many_came_before() {
        let nightly = table("0 3 * * *", "UTC");
        let due = nightly.due(at("2026-11-20T03:00:00Z"), at("2026-11-23T09:00:00Z")).unwrap();
        let expected = Due { tick: at("2026-11-23T03:00:00Z"), earlier: 2, before: Some(at("2026-11-22T03:00:00Z")) };
        assert_eq!(due, expected);
        assert_eq!(nightly.due(due.tick, at("2026-11-24T02:59:59Z")), None);
        assert_eq!(nightly.due(due.tick, at("2026-11-24T03:00:00Z")).unwrap().earlier, 0);
        let yearly = table("0 0 29 2 *", "UTC");
        let due = yearly.due(at("2000-01-01T00:00:00Z"), at("2026-11-23T09:00:00Z")).unwrap();
        assert_eq!((due.tick, due.earlier), (at("2024-02-29T00:00:00Z"), 6));
        let often = table("* * * * * *", "UTC").due(at("2000-01-01T00:00:00Z"), at("2026-11-23T09:00:00Z")).unwrap();
        assert_eq!((often.tick, often.earlier), (at("2026-11-23T09:00:00Z"), MOST_COUNTED));
    }

    #[test]
    fn jitter_makes_ticks_late_by_less_than_it_and_always_by_the_same() {
        let late = Timetable::of(&entry("*/10 * * * *", "UTC", Some("5m"))).unwrap();
        let mut found: Vec<u64> = late
            .from(at("2026-11-23T00:00:00Z"))
            .take(100)
            .map(|tick| {
                let fire = late.fire_time(tick);
                assert!(fire - tick <= 300_000 && fire == late.clone().fire_time(tick));
                assert_eq!(late.due(tick - 1, fire - 1), None);
                assert_eq!(late.due(tick - 1, fire).unwrap().tick, tick);
                fire - tick
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        assert!(found.len() > 50, "{found:?}");
    }

    #[test]
    fn each_mistake_names_its_key() {
        let error = |cron, zone, jitter| Timetable::of(&entry(cron, zone, jitter)).unwrap_err();
        assert!(error("every night", "UTC", None).starts_with("cron = \"every night\""));
        assert!(error("0 25 * * *", "UTC", None).starts_with("cron"));
        assert!(error("0 0 30 2 *", "UTC", None).contains("never comes"));
        assert!(error("0 3 * * *", "Paris", None).starts_with("time_zone = \"Paris\""));
        assert!(error("0 3 * * *", "UTC", Some("soon")).starts_with("jitter"));
        assert!(error("*/5 * * * *", "UTC", Some("5m")).contains("not shorter"));
    }
}
