//! Values over time in bounded memory: when it is full, every other point goes, and from then on only every other one
//! is kept. So a curve covers all of its time, in at most [`POINTS`] points, whatever that time is.

use std::collections::VecDeque;

/// The most points of a curve.
pub const POINTS: usize = 240;

#[derive(Debug, Clone, Default)]
pub struct Series {
    points: VecDeque<(u64, f64)>,
    /// Points closer together than this are one.
    spacing: u64,
}

impl Series {
    /// The value at a time (milliseconds since 1970). The latest is always there; before it, one per spacing.
    pub fn add(&mut self, time: u64, value: f64) {
        let close = |at: usize, points: &VecDeque<(u64, f64)>| {
            points.get(at).is_some_and(|(before, _)| time < before + self.spacing)
        };
        let count = self.points.len();
        if count >= 2 && close(count - 2, &self.points) {
            self.points.pop_back();
        }
        self.points.push_back((time, value));
        if self.points.len() > POINTS {
            let span = time.saturating_sub(self.points[0].0);
            self.spacing = span * 2 / POINTS as u64;
            let mut at = 0;
            self.points.retain(|_| {
                at += 1;
                at % 2 == 1
            });
        }
    }

    /// Forgets what is older.
    pub fn forget_before(&mut self, time: u64) {
        while self.points.front().is_some_and(|(at, _)| *at < time) {
            self.points.pop_front();
        }
    }

    pub fn points(&self) -> Vec<(u64, f64)> {
        self.points.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_time_takes_no_more_room_than_a_short_one_and_keeps_both_ends() {
        let mut series = Series::default();
        for second in 0..100_000_u64 {
            series.add(second * 1000, second as f64);
            assert!(series.points().len() <= POINTS);
        }
        let points = series.points();
        assert!(points.len() > POINTS / 3, "{}", points.len());
        assert_eq!((points[0].0, points[points.len() - 1].0), (0, 99_999_000));
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let middle = points[points.len() / 2].0;
        assert!(
            (25_000_000..75_000_000).contains(&middle),
            "of one half of the time there is next to nothing: {middle}"
        );
    }

    #[test]
    fn what_is_older_is_forgotten() {
        let mut series = Series::default();
        (1..=10).for_each(|second| series.add(second * 1000, 1.0));
        series.forget_before(8_000);
        assert_eq!(series.points(), [(8_000, 1.0), (9_000, 1.0), (10_000, 1.0)]);
    }
}
