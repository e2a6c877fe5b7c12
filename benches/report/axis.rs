//! An axis: where values lie, and which of them are written down.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// Room beyond the values, as a factor.
const BEYOND: f64 = 1.2;

#[derive(Debug, Clone)]
pub struct Axis {
    pub title: String,
    pub ends: (f64, f64),
    pub ticks: Vec<(f64, String)>,
    pub logarithmic: bool,
}

impl Axis {
    /// A logarithmic one around these values.
    pub fn logarithmic(title: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let (least, most) = ends(values);
        let ends = (least / BEYOND, most * BEYOND);
        let factors: &[f64] = match ends.1 / ends.0 {
            150.0.. => &[1.0],
            12.0.. => &[1.0, 2.0, 5.0],
            2.5.. => &[1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0],
            _ => &[1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
        };
        let decades = ends.0.log10().floor() as i32..=ends.1.log10().ceil() as i32;
        let ticks = decades.flat_map(|decade| factors.iter().map(move |factor| (factor, decade)));
        Self::new(title, ends, ticks.map(|(factor, decade)| factor * 10_f64.powi(decade)), true)
    }

    /// A logarithmic one where each value is written down.
    pub fn of_each(title: &str, values: impl IntoIterator<Item = f64> + Clone) -> Self {
        let mut axis = Self::logarithmic(title, values.clone());
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        axis.ticks = values.into_iter().map(|value| (value, short(value))).collect();
        axis
    }

    /// A linear one that begins at nothing.
    pub fn from_zero(title: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let most = ends(values).1 * BEYOND.sqrt();
        let decade = 10_f64.powf(most.log10().floor());
        let factors = [0.1, 0.2, 0.25, 0.5, 1.0, 2.0];
        let steps = factors.into_iter().map(|factor| factor * decade);
        let step = steps.into_iter().find(|step| most / step <= 6.0).unwrap_or(most);
        Self::new(title, (0.0, most), (0..=6).map(|at| f64::from(at) * step), false)
    }

    fn new(
        title: &str,
        ends: (f64, f64),
        ticks: impl Iterator<Item = f64>,
        logarithmic: bool,
    ) -> Self {
        let seen = ticks.filter(|value| (ends.0..=ends.1).contains(value));
        let ticks = seen.map(|value| (value, short(value))).collect();
        Self { title: title.into(), ends, ticks, logarithmic }
    }

    fn measure(&self, value: f64) -> f64 {
        if self.logarithmic { value.log10() } else { value }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let [value, least, most] = [*value, self.ends.0, self.ends.1].map(|at| self.measure(at));
        from + (f64::from(to - from) * (value - least) / (most - least)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.iter().map(|tick| tick.0).collect()
    }

    fn range(&self) -> Range<f64> {
        self.ends.0..self.ends.1
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, at: &f64) -> String {
        let tick = self.ticks.iter().find(|tick| tick.0 == *at);
        tick.map(|tick| tick.1.clone()).unwrap_or_default()
    }
}

/// The least and the most of what is there.
fn ends(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let known = values.into_iter().filter(|value| value.is_finite() && *value > 0.0);
    let (least, most) =
        known.fold((f64::INFINITY, 0.0_f64), |(least, most), one| (least.min(one), most.max(one)));
    if least <= most { (least, most) } else { (1.0, 10.0) }
}

/// 0.5, 20, 1k, 1.5M; what arithmetic has left behind them is rounded away.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        1e6.. => (value / 1e6, "M"),
        1e3.. => (value / 1e3, "k"),
        _ => (value, ""),
    };
    format!("{}{unit}", (value * 1e3).round() / 1e3)
}
