//! Curves over time as SVG, drawn here: pages need no script and no other host to show them.

use super::words;

/// Of the drawing's own coordinates; the style sheet scales it.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 120.0;
/// Finer than that nobody sees it, and a page may have many curves.
const DRAWN: usize = 80;

/// What the template `chart.html` draws.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// Unique on its page.
    pub id: String,
    pub title: String,
    /// The curve in words, for those who do not see it.
    pub summary: String,
    /// `x,y x,y ...`
    pub curve: String,
    /// The same, closed along the axis.
    pub area: String,
    pub top: String,
    pub from: String,
    pub to: String,
}

impl Chart {
    /// A curve through points (milliseconds since 1970, value), oldest first. None where there is nothing to see: no time
    /// has passed, or all of it is nothing.
    pub fn new(id: String, title: String, points: &[(u64, f64)], unit: fn(f64) -> String) -> Option<Self> {
        let (&(first, _), &(last, now)) = (points.first()?, points.last()?);
        let most = points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        if first >= last || most <= 0.0 {
            return None;
        }
        let place = |&(time, value): &(u64, f64)| {
            let x = time.saturating_sub(first) as f64 / (last - first) as f64 * WIDTH;
            format!("{x:.0},{:.1}", HEIGHT - value.max(0.0) / most * HEIGHT)
        };
        // The latest is always drawn.
        let drawn = points.iter().rev().step_by(points.len().div_ceil(DRAWN));
        let curve = drawn.map(place).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join(" ");
        let clock = |time: u64| words::time(&producer::utc(time)).get(11..19).unwrap_or_default().to_owned();
        Some(Self {
            id,
            summary: format!("{title}: now {}, at most {} since {} UTC", unit(now), unit(most), clock(first)),
            title,
            area: format!("0,{HEIGHT} {curve} {WIDTH},{HEIGHT}"),
            curve,
            top: unit(most),
            from: clock(first),
            to: clock(last),
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn chart(points: &[(u64, f64)]) -> Option<Chart> {
        Chart::new("c".into(), "Depth".into(), points, |value| format!("{value:.0} jobs"))
    }

    #[test]
    fn a_curve_spans_the_drawing_and_is_told_in_words() {
        let chart = chart(&[(1_000, 0.0), (2_000, 50.0), (3_000, 100.0)]).unwrap();
        assert_eq!(chart.curve, "0,120.0 300,60.0 600,0.0");
        assert_eq!(chart.summary, "Depth: now 100 jobs, at most 100 jobs since 00:00:01 UTC");
        assert_eq!((chart.from.as_str(), chart.to.as_str()), ("00:00:01", "00:00:03"));
    }

    #[test]
    fn where_there_is_nothing_to_see_there_is_no_curve() {
        assert_eq!(chart(&[(1_000, 0.0), (2_000, 0.0)]), None);
        assert_eq!(chart(&[(1_000, 7.0)]), None);
        assert_eq!(chart(&[]), None);
    }
}
