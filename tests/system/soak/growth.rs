//! Whether something grows: the rule by which a soak fails.
//!
//! There is one sample a night. The first third of the nights, and at least [`WARM_UP`] of them, is warm-up: caches fill,
//! and what is kept for a while is not yet let go of. Through the rest goes a line: its slope is the middle one of the
//! slopes between any two samples (Theil and Sen), so that a few samples that stand out do not turn it. What the line
//! rises from the first of these nights to the last may be a tenth of the middle sample, or the slack of its kind, whichever
//! is more. What is bounded by a number that a soak does not reach is shown, and not judged.

use std::collections::BTreeMap;
use std::fmt;

use super::measure::{Kind, Measured};

/// Nights until everything that is kept for some days was let go of once (receipts stay the longest, 90 days), and files of
/// SQLite have the size at which what goes makes room for what comes: that was so after some 35 of them.
pub const WARM_UP: usize = 40;
/// Fewer say nothing.
const FEWEST: usize = 10;

/// What was measured, night by night.
#[derive(Default)]
pub struct Samples(BTreeMap<(Kind, String), Vec<f64>>);

impl Samples {
    pub fn add(&mut self, measured: &Measured) {
        let nights = self.0.values().map(Vec::len).max().unwrap_or_default();
        for (what, value) in measured {
            // What was not there before, was nothing.
            self.0.entry(what.clone()).or_insert_with(|| vec![0.0; nights]).push(*value);
        }
        for values in self.0.values_mut() {
            values.resize(nights + 1, 0.0);
        }
    }

    /// What grew, in words.
    pub fn grown(&self) -> Vec<String> {
        let judged = self.0.iter().filter(|((kind, _), _)| kind.is_judged());
        let grown = judged.filter_map(|((kind, name), values)| match rise(values) {
            None => Some(format!("{name}: {} nights are too few to say", values.len())),
            Some(rise) if rise.by > allowed(*kind, rise.middle) => Some(format!("{kind} {name}: by {:.1}", rise.by)),
            Some(_) => None,
        });
        grown.collect()
    }

    pub fn are_of_everything(&self) -> bool {
        Kind::ALL
            .iter()
            .all(|kind| self.0.iter().any(|((of, _), values)| of == kind && values.iter().any(|value| *value > 0.0)))
    }
}

struct Rise {
    /// The middle sample.
    middle: f64,
    /// From the first night after the warm-up to the last, along the line.
    by: f64,
}

fn rise(values: &[f64]) -> Option<Rise> {
    let values = values.get(WARM_UP.max(values.len() / 3)..).filter(|rest| rest.len() >= FEWEST)?;
    let pairs = (0..values.len()).flat_map(|from| (from + 1..values.len()).map(move |to| (from, to)));
    let slopes = pairs.map(|(from, to)| (values[to] - values[from]) / (to - from) as f64);
    let by = middle(slopes.collect()) * (values.len() - 1) as f64;
    Some(Rise { middle: middle(values.to_vec()), by })
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn allowed(kind: Kind, middle: f64) -> f64 {
    (middle / 10.0).max(kind.slack())
}

impl fmt::Display for Samples {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{:<12} {:<34} {:>10} {:>10} {:>10} {:>10}",
            "", "", "middle", "last", "rose by", "allowed"
        )?;
        for ((kind, name), values) in &self.0 {
            let last = values.last().copied().unwrap_or_default();
            write!(formatter, "{kind:<12} {name:<34} {:>10.1} {last:>10.1}", middle(values.clone()))?;
            match rise(values) {
                Some(rise) if kind.is_judged() => {
                    writeln!(formatter, " {:>10.1} {:>10.1}", rise.by, allowed(*kind, rise.middle))?;
                }
                Some(rise) => writeln!(formatter, " {:>10.1} {:>10}", rise.by, "bounded")?,
                None => writeln!(formatter, " {:>10}", "-")?,
            }
        }
        Ok(())
    }
}

#[test]
fn what_rises_is_told_from_what_jumps() {
    let of = |value: &dyn Fn(usize) -> f64| {
        let mut samples = Samples::default();
        (0..60).for_each(|night| samples.add(&BTreeMap::from([((Kind::Keys, "x".into()), value(night))])));
        samples.grown()
    };
    assert_eq!(of(&|_| 100.0), Vec::<String>::new());
    assert_eq!(of(&|night| if night % 7 == 0 { 900.0 } else { 100.0 + (night % 3) as f64 }), Vec::<String>::new());
    // Warm-up: it rises no more afterwards.
    assert_eq!(of(&|night| 100.0 * night.min(WARM_UP) as f64), Vec::<String>::new());
    assert_eq!(of(&|night| 100.0 + night as f64), ["keys x: by 19.0"]);
    assert_eq!(of(&|night| if night > 45 { 2.0 * night as f64 } else { 10.0 }).len(), 1);
    assert!(rise(&[1.0; WARM_UP]).is_none());
}
