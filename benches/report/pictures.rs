//! The pictures of a report. Colours are those of Okabe and Ito, which people with any kind of
//! colour vision can tell apart.

use plotters::style::RGBColor;

use super::Results;
use super::axis::Axis;
use super::chart::{Chart, Series};
use crate::measure::growth::{Alive, Living};
use crate::measure::latency::nines;
use crate::measure::rates::{self, Cell, Run, USUAL, Workload};
use crate::measure::{Kind, Pair, Spread};
use crate::support::Fallible;
use crate::support::role::{Strategy, Transport};

const GREY: RGBColor = RGBColor(0x88, 0x88, 0x88);

const SMALL: (u32, u32) = (440, 320);
const LEFT: u32 = 62;

/// A picture and what is to be said about it.
#[derive(Debug)]
pub struct Figure {
    /// Under which heading it belongs.
    pub group: &'static str,
    pub caption: String,
    pub file: String,
    pub svg: String,
}

/// Those there are results for.
pub fn all(results: &Results) -> Fallible<Vec<Figure>> {
    let mut figures = Vec::new();
    by_hand(&results.cells, &mut figures)?;
    for &transport in Transport::ALL {
        throughput(&results.cells, transport, &mut figures)?;
    }
    for &transport in Transport::ALL {
        distribution(&results.cells, transport, &mut figures)?;
    }
    living(&results.alive, &mut figures)?;
    sequence(results, &mut figures)?;
    Ok(figures)
}

fn colour(strategy: Strategy) -> RGBColor {
    match strategy {
        Strategy::Sync => RGBColor(0x00, 0x72, 0xb2),
        Strategy::Threading => RGBColor(0xd5, 0x5e, 0x00),
        Strategy::Forking => RGBColor(0x00, 0x9e, 0x73),
    }
}

/// Two lines in one colour.
fn series(strategy: Strategy, name: &str, points: Pair<Vec<(f64, f64)>>) -> [Series; 2] {
    [(points.ours, false), (points.twin, true)].map(|(points, by_hand)| {
        let name = if by_hand { format!("{name} by hand") } else { name.to_owned() };
        Series { name, colour: colour(strategy), by_hand, dots: true, points }
    })
}

fn points(series: &[Series]) -> impl Iterator<Item = (f64, f64)> + Clone {
    series.iter().flat_map(|series| series.points.iter().copied())
}

fn save(
    figures: &mut Vec<Figure>,
    group: &'static str,
    file: String,
    caption: String,
    chart: &Chart,
) -> Fallible<()> {
    if points(&chart.series).next().is_some() {
        figures.push(Figure { group, caption, file, svg: chart.svg()? });
    }
    Ok(())
}

/// Processor time of ours to that by hand, a row each.
fn by_hand(cells: &[Cell], figures: &mut Vec<Figure>) -> Fallible<()> {
    let usual: Vec<&Cell> =
        cells.iter().filter(|cell| cell.workload == Workload::usual(cell.workload.kind)).collect();
    let mut all = Vec::new();
    let mut ticks = Vec::new();
    for (at, cell) in usual.iter().rev().enumerate() {
        let (kind, y) = (cell.workload.kind, at as f64);
        let Spread { least, median, most } = cell.runs.ratio(|run| run.processor);
        let line = |dots, points| Series {
            name: String::new(),
            colour: colour(kind.strategy),
            by_hand: false,
            dots,
            points,
        };
        all.push(line(false, vec![(least, y), (most, y)]));
        all.push(line(true, vec![(median, y)]));
        ticks.push((y, kind.to_string()));
    }
    let ends = (-0.6, usual.len() as f64 - 0.4);
    let values: Vec<f64> = points(&all).map(|point| point.0).chain([0.9, 1.1]).collect();
    let mut x =
        Axis::logarithmic("processor time of a request, ours to that by hand", values.into_iter());
    x.ticks = [0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0]
        .into_iter()
        .filter(|at| (x.ends.0..=x.ends.1).contains(at))
        .map(|at: f64| (at, at.to_string()))
        .collect();
    let line = vec![(1.0, ends.0), (1.0, ends.1)];
    let same =
        Series { name: String::new(), colour: GREY, by_hand: true, dots: false, points: line };
    let y = Axis { title: String::new(), ends, ticks, logarithmic: false };
    if !all.is_empty() {
        all.insert(0, same);
    }
    let chart = Chart { size: (640, 90 + 24 * usual.len() as u32), left: 140, x, y, series: all };
    let caption = "The median of the rounds, and from the least to the most of them.".into();
    save(figures, "Ours and by hand", "by-hand.svg".into(), caption, &chart)
}

/// One chart for each payload, all with the same axes.
fn throughput(cells: &[Cell], transport: Transport, figures: &mut Vec<Figure>) -> Fallible<()> {
    let each = |cell: &&Cell| !cell.workload.kept;
    let rates = cells.iter().filter(each).flat_map(|cell| [&cell.runs.ours, &cell.runs.twin]);
    let rates = rates.flatten().map(|run| run.per_second);
    let callers = cells.iter().map(|cell| cell.workload.callers as f64);
    let mut payloads: Vec<usize> = cells.iter().map(|cell| cell.workload.payload).collect();
    payloads.sort_unstable();
    payloads.dedup();
    for payload in payloads {
        let mut all = Vec::new();
        for &strategy in Strategy::ALL {
            let kind = Kind { transport, strategy };
            let here =
                |cell: &&Cell| cell.workload.kind == kind && cell.workload.payload == payload;
            let of = |runs: fn(&Cell) -> &Vec<Run>| {
                let point = |cell: &Cell| {
                    let rate = Spread::median(runs(cell).iter().map(|run| run.per_second));
                    (cell.workload.callers as f64, rate)
                };
                cells.iter().filter(each).filter(here).map(point).collect()
            };
            let pair = Pair { ours: of(|cell| &cell.runs.ours), twin: of(|cell| &cell.runs.twin) };
            all.extend(series(strategy, &strategy.to_string(), pair));
        }
        let chart = Chart {
            size: SMALL,
            left: LEFT,
            x: Axis::logarithmic("clients at a time", callers.clone()),
            y: Axis::logarithmic("requests per second", rates.clone()),
            series: all.into_iter().filter(|series| !series.points.is_empty()).collect(),
        };
        let connection = if transport.is_stream() { ", a connection each" } else { "" };
        let caption = format!("{transport}, {payload} bytes{connection}");
        save(
            figures,
            "Throughput",
            format!("throughput-{transport}-{payload}.svg"),
            caption,
            &chart,
        )?;
    }
    Ok(())
}

fn distribution(cells: &[Cell], transport: Transport, figures: &mut Vec<Figure>) -> Fallible<()> {
    let mut all = Vec::new();
    for cell in cells {
        let Workload { kind, .. } = cell.workload;
        if kind.transport != transport || cell.workload != Workload::usual(kind) {
            continue;
        }
        let of = |runs: &[Run]| {
            let curve = rates::latency(runs).curve;
            curve.into_iter().enumerate().map(|(at, micros)| (nines(at), micros)).collect()
        };
        let pair = Pair { ours: of(&cell.runs.ours), twin: of(&cell.runs.twin) };
        let pair = series(kind.strategy, &kind.strategy.to_string(), pair);
        all.extend(pair.map(|series| Series { dots: false, ..series }));
    }
    let shares =
        [(0.0, "0"), (0.30103, "50"), (1.0, "90"), (2.0, "99"), (3.0, "99.9"), (4.0, "99.99")];
    let x = Axis {
        title: "share of the requests that took no longer, %".into(),
        ends: (0.0, 4.1),
        ticks: shares.map(|(at, share)| (at, share.to_owned())).into(),
        logarithmic: false,
    };
    let y = Axis::logarithmic("latency, µs", points(&all).map(|point| point.1));
    let chart = Chart { size: SMALL, left: LEFT, x, y, series: all };
    let (payload, callers) = USUAL;
    let caption = format!("{transport}, {callers} clients at a time, {payload} bytes");
    save(figures, "Latency", format!("latency-{transport}.svg"), caption, &chart)
}

fn living(all: &[Alive], figures: &mut Vec<Figure>) -> Fallible<()> {
    type Of = fn(&Living) -> f64;
    let measures: [(&str, &str, Of); 3] = [
        ("living", "processor time of a request, µs", |point| point.processor),
        ("opening", "time to open them, ms", |point| point.opened.as_secs_f64() * 1e3),
        ("resident", "resident memory of the server, MB", |point| point.resident as f64 / 1e6),
    ];
    for alive in all {
        for (file, title, of) in measures {
            let point = |rounds: &[Living]| {
                (rounds[0].connections as f64, Spread::median(rounds.iter().map(of)))
            };
            let all = (0..alive.points()).map(|at| alive.at(at));
            let ours = all.clone().map(|rounds| point(&rounds.ours)).collect();
            let twin = all.map(|rounds| point(&rounds.twin)).collect();
            let name = alive.kind.strategy.to_string();
            let series = Vec::from(series(alive.kind.strategy, &name, Pair { ours, twin }));
            let chart = Chart {
                size: SMALL,
                left: LEFT,
                x: Axis::logarithmic("living connections", points(&series).map(|point| point.0)),
                y: Axis::logarithmic(title, points(&series).map(|point| point.1)),
                series,
            };
            let transport = alive.kind.transport;
            let caption = format!("{transport}: {title}");
            save(figures, "Cost against load", format!("{file}-{transport}.svg"), caption, &chart)?;
        }
    }
    Ok(())
}

fn sequence(results: &Results, figures: &mut Vec<Figure>) -> Fallible<()> {
    for &transport in Transport::ALL {
        let here = results.sequence.iter().filter(|(kind, _)| kind.transport == transport);
        let series: Vec<Series> = here
            .map(|(kind, parts)| Series {
                name: kind.strategy.to_string(),
                colour: colour(kind.strategy),
                by_hand: false,
                dots: false,
                points: parts.iter().map(|part| (part.requests as f64, part.processor)).collect(),
            })
            .collect();
        let most = points(&series).map(|point| point.0).fold(1.0, f64::max);
        let ticks = (0..=4).map(|quarter| most * f64::from(quarter) / 4.0);
        let x = Axis {
            title: "requests so far, thousands".into(),
            ends: (0.0, most * 1.02),
            ticks: ticks.map(|at| (at, format!("{:.0}", at / 1e3))).collect(),
            logarithmic: false,
        };
        let y = Axis::logarithmic(
            "processor time of a request, µs",
            points(&series).map(|point| point.1),
        );
        let chart = Chart { size: SMALL, left: LEFT, x, y, series };
        let caption = format!("{transport}: one server all the time");
        save(figures, "Cost against load", format!("sequence-{transport}.svg"), caption, &chart)?;
    }
    Ok(())
}
