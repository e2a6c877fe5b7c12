//! Strategies beside each other, and beside those by hand.

use plotters::style::RGBColor;

use super::{Figure, SIZE, colour, points, series, values};
use crate::measure::latency::nines;
use crate::measure::rates::{self, Cell, Run, USUAL, Workload};
use crate::measure::{Kind, Pair, Spread};
use crate::report::axis::Axis;
use crate::report::chart::{Chart, LEFT, Series};
use crate::support::Fallible;
use crate::support::role::{Strategy, Transport};

const GREY: RGBColor = RGBColor(0x88, 0x88, 0x88);

/// Where the names of servers stand.
const NAMES: u32 = 142;

fn usual(cells: &[Cell]) -> impl DoubleEndedIterator<Item = &Cell> {
    cells.iter().filter(|cell| cell.workload == Workload::usual(cell.workload.kind))
}

fn rate(runs: &[Run]) -> f64 {
    Spread::median(runs.iter().map(|run| run.per_second))
}

/// Processor time of ours to that by hand, a row each.
pub(super) fn by_hand(cells: &[Cell]) -> Fallible<Option<Figure>> {
    let line = |colour, by_hand, dots, points| Series {
        name: String::new(),
        colour,
        by_hand,
        dots,
        points,
    };
    let (mut all, mut ticks) = (Vec::new(), Vec::new());
    for (at, cell) in usual(cells).rev().enumerate() {
        let (kind, y) = (cell.workload.kind, at as f64);
        let Spread { least, median, most } = cell.runs.ratio(|run| run.processor);
        let colour = colour(kind.strategy);
        all.push(line(colour, false, false, vec![(least, y), (most, y)]));
        all.push(line(colour, false, true, vec![(median, y)]));
        ticks.push((y, kind.to_string()));
    }
    let (rows, ends) = (ticks.len() as u32, (-0.6, ticks.len() as f64 - 0.4));
    let [ratios, _] = values(&all);
    let near = ratios.into_iter().chain([0.9, 1.1]);
    let x = Axis::logarithmic("processor time of a request, ours / by hand", near);
    if !all.is_empty() {
        all.insert(0, line(GREY, true, false, vec![(1.0, ends.0), (1.0, ends.1)]));
    }
    let y = Axis { title: String::new(), ends, ticks, logarithmic: false };
    let chart = Chart { size: (SIZE.0, 70 + 22 * rows), left: NAMES, x, y, series: all };
    let caption = "Median of the rounds, from the least to the most".into();
    Figure::of("by-hand".into(), caption, &chart)
}

/// A chart for each transport and payload, and one where connections are kept, all of them with
/// the same axes.
pub(super) fn throughput(cells: &[Cell]) -> Fallible<Vec<Option<Figure>>> {
    let mut panels: Vec<(Transport, bool, usize)> = Vec::new();
    for Workload { kind, kept, payload, .. } in cells.iter().map(|cell| cell.workload) {
        let panel = (kind.transport, kept, payload);
        if !panels.contains(&panel) {
            panels.push(panel);
        }
    }
    panels.sort_by_key(|(transport, kept, payload)| {
        let at = Transport::ALL.iter().position(|one| one == transport);
        (at, *kept, *payload)
    });
    let all = cells.iter().flat_map(|cell| [&cell.runs.ours, &cell.runs.twin]);
    let rates = all.map(|runs| rate(runs));
    let callers = cells.iter().map(|cell| cell.workload.callers as f64);
    let x = Axis::of_each("clients at a time", callers);
    let y = Axis::logarithmic("requests per second", rates);
    let figure = |(transport, kept, payload): (Transport, bool, usize)| {
        let mut all = Vec::new();
        for &strategy in Strategy::ALL {
            let kind = Kind { transport, strategy };
            let here = |cell: &&Cell| {
                let Workload { callers, .. } = cell.workload;
                cell.workload == Workload { kind, payload, callers, kept, heap: 0 }
            };
            let of = |runs: fn(&Cell) -> &Vec<Run>| {
                let point = |cell: &Cell| (cell.workload.callers as f64, rate(runs(cell)));
                cells.iter().filter(here).map(point).collect()
            };
            let pair = Pair { ours: of(|cell| &cell.runs.ours), twin: of(|cell| &cell.runs.twin) };
            all.extend(series(strategy, pair).into_iter().filter(|one| !one.points.is_empty()));
        }
        let (file, how) = match (transport.is_stream(), kept) {
            (true, true) => ("-kept", ", connections kept"),
            (true, false) => ("", ", a connection each"),
            (false, _) => ("", ""),
        };
        let (x, y) = (x.clone(), y.clone());
        let chart = Chart { size: SIZE, left: LEFT, x, y, series: all };
        let file = format!("throughput-{transport}-{payload}{file}");
        Figure::of(file, format!("{transport}, {payload} bytes{how}"), &chart)
    };
    panels.into_iter().map(figure).collect()
}

/// The distribution of the latencies over one transport.
pub(super) fn latency(cells: &[Cell], transport: Transport) -> Fallible<Option<Figure>> {
    let mut all = Vec::new();
    for cell in usual(cells).filter(|cell| cell.workload.kind.transport == transport) {
        let of = |runs: &[Run]| {
            let curve = rates::latency(runs).curve.into_iter().enumerate();
            curve.map(|(at, micros)| (nines(at), micros)).collect()
        };
        let pair = Pair { ours: of(&cell.runs.ours), twin: of(&cell.runs.twin) };
        let pair = series(cell.workload.kind.strategy, pair);
        all.extend(pair.map(|series| Series { dots: false, ..series }));
    }
    let [_, micros] = values(&all);
    let last = points(&all).map(|point| point.0).fold(1.0, f64::max);
    let shares =
        [(0.0, "0"), (0.301, "50"), (1.0, "90"), (2.0, "99"), (3.0, "99.9"), (4.0, "99.99")];
    let x = Axis {
        title: "share of the requests that took no longer, %".into(),
        ends: (0.0, last + 0.1),
        ticks: shares.map(|(at, share)| (at, share.to_owned())).into(),
        logarithmic: false,
    };
    let y = Axis::logarithmic("latency, µs", micros);
    let chart = Chart { size: SIZE, left: LEFT, x, y, series: all };
    let (payload, callers) = USUAL;
    let caption = format!("{transport}, {callers} clients at a time, {payload} bytes");
    Figure::of(format!("latency-{transport}"), caption, &chart)
}
