//! How long requests took: not the mean, but what share of them took how long.

use std::time::Duration;

use super::Spread;

/// So many points of a distribution for each further nine of its share.
const STEPS: i32 = 10;

/// As far as to 99.99 %.
const NINES: i32 = 4;

/// In microseconds.
#[derive(Debug, Clone)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    /// At the shares of [`share`], as many as there are requests for.
    pub curve: Vec<f64>,
}

/// The share of the requests at a point of the curve: 0, … 0.9, … 0.99, … 0.9999.
fn share(at: i32) -> f64 {
    1.0 - 10_f64.powf(f64::from(-at) / f64::from(STEPS))
}

/// Where a point of the curve lies: at how many nines.
pub fn nines(at: usize) -> f64 {
    at as f64 / f64::from(STEPS)
}

impl Latency {
    pub fn of(mut latencies: Vec<Duration>) -> Self {
        latencies.sort();
        let count = latencies.len() as f64;
        let at = |share: f64| {
            let last = latencies.len().saturating_sub(1);
            let nearest = (share * count) as usize;
            latencies.get(nearest.min(last)).map_or(f64::NAN, |one| one.as_secs_f64() * 1e6)
        };
        // Beyond these, one request alone would be the distribution.
        let known = (0..=NINES * STEPS).take_while(|at| (1.0 - share(*at)) * count >= 1.0);
        let curve = known.map(|point| at(share(point))).collect();
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), curve }
    }

    /// The medians of several rounds, at the points that each of them has.
    pub fn median(rounds: &[&Self]) -> Self {
        let of = |one: fn(&Self) -> f64| Spread::median(rounds.iter().map(|of| one(of)));
        let points = rounds.iter().map(|one| one.curve.len()).min().unwrap_or(0);
        let point = |at: usize| Spread::median(rounds.iter().map(|one| one.curve[at]));
        let curve = (0..points).map(point).collect();
        Self { p50: of(|one| one.p50), p99: of(|one| one.p99), p999: of(|one| one.p999), curve }
    }
}
