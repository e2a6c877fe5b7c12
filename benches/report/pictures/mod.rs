//! The pictures of a report. Colours are those of Okabe and Ito, which people with any kind of
//! colour vision can tell apart; what is written by hand is dashed besides.

mod comparison;
mod load;

use plotters::style::RGBColor;

use super::Results;
use super::chart::{Chart, Series};
use crate::measure::Pair;
use crate::support::Fallible;
use crate::support::role::{Strategy, Transport};

const SIZE: (u32, u32) = (440, 320);

/// Pictures under one heading.
#[derive(Debug)]
pub struct Group {
    pub title: &'static str,
    pub figures: Vec<Figure>,
}

/// A picture and what is to be said about it.
#[derive(Debug)]
pub struct Figure {
    pub caption: String,
    pub file: String,
    pub svg: String,
}

/// Those there are results for.
pub fn all(results: &Results) -> Fallible<Vec<Group>> {
    let cells = &results.cells;
    let mut groups = [
        ("Ours and by hand", vec![comparison::by_hand(cells)?]),
        ("Throughput", comparison::throughput(cells)?),
        ("Latency", each_transport(|transport| comparison::latency(cells, transport))?),
        ("Cost against load", load::living(&results.alive)?),
    ];
    groups[3].1.extend(each_transport(|transport| load::sequence(results, transport))?);
    let groups = groups.into_iter().map(|(title, figures)| {
        let figures = figures.into_iter().flatten().collect();
        Group { title, figures }
    });
    Ok(groups.filter(|group| !group.figures.is_empty()).collect())
}

fn each_transport<V>(of: impl Fn(Transport) -> Fallible<V>) -> Fallible<Vec<V>> {
    Transport::ALL.iter().copied().map(of).collect()
}

impl Figure {
    /// None where there is nothing to draw.
    fn of(file: String, caption: String, chart: &Chart) -> Fallible<Option<Self>> {
        if points(&chart.series).next().is_none() {
            return Ok(None);
        }
        Ok(Some(Self { caption, file: file + ".svg", svg: chart.svg()? }))
    }
}

fn colour(strategy: Strategy) -> RGBColor {
    match strategy {
        Strategy::Sync => RGBColor(0x00, 0x72, 0xb2),
        Strategy::Threading => RGBColor(0xd5, 0x5e, 0x00),
        Strategy::Fresh => RGBColor(0xcc, 0x79, 0xa7),
        Strategy::ThreadPool => RGBColor(0x56, 0xb4, 0xe9),
        Strategy::Forking => RGBColor(0x00, 0x9e, 0x73),
        Strategy::PreForking => RGBColor(0xe6, 0x9f, 0x00),
        Strategy::Selecting => RGBColor(0xf0, 0xe4, 0x42),
        Strategy::SelectingPool => RGBColor(0x80, 0x80, 0x00),
    }
}

/// Two lines in one colour.
fn series(strategy: Strategy, points: Pair<Vec<(f64, f64)>>) -> [Series; 2] {
    let (colour, dots) = (colour(strategy), true);
    let name = strategy.to_string();
    let ours = Series { name, colour, by_hand: false, dots, points: points.ours };
    let name = "by hand".to_owned();
    [ours, Series { name, colour, by_hand: true, dots, points: points.twin }]
}

fn points(series: &[Series]) -> impl Iterator<Item = (f64, f64)> + Clone {
    series.iter().flat_map(|series| series.points.iter().copied())
}

/// The values along each axis.
fn values(series: &[Series]) -> [Vec<f64>; 2] {
    let (xs, ys) = points(series).unzip();
    [xs, ys]
}
