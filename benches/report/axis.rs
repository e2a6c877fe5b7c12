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
    pub fn logarithmic(title: &str, values: impl Iterator<Item = f64> + Clone) -> Self {
        let known = values.filter(|value| value.is_finite() && *value > 0.0);
        let least = known.clone().fold(f64::INFINITY, f64::min) / BEYOND;
        let most = known.fold(0.0, f64::max) * BEYOND;
        let ends = if least < most { (least, most) } else { (1.0, 10.0) };
        let factors: &[f64] = if ends.1 / ends.0 > 150.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let decades = ends.0.log10().floor() as i32..=ends.1.log10().ceil() as i32;
        let ticks = decades
            .flat_map(|decade| factors.iter().map(move |factor| factor * 10_f64.powi(decade)))
            .filter(|value| (ends.0..=ends.1).contains(value))
            .map(|value| (value, short(value)));
        Self { title: title.into(), ends, ticks: ticks.collect(), logarithmic: true }
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

/// 20, 1k, 500k, 1M.
fn short(value: f64) -> String {
    match value {
        1e6.. => format!("{}M", value / 1e6),
        1e3.. => format!("{}k", value / 1e3),
        1.0.. => format!("{value:.0}"),
        _ => format!("{value}"),
    }
}
