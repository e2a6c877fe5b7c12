//! What a request costs as connections add up, and as requests do.

use super::{Figure, SIZE, colour, series, values};
use crate::measure::living::{Alive, Living};
use crate::measure::{Pair, Spread};
use crate::report::Results;
use crate::report::axis::Axis;
use crate::report::chart::{Chart, LEFT, Series};
use crate::support::Fallible;
use crate::support::role::Transport;

/// What is measured of living connections, and what it is called.
type Measure = (&'static str, &'static str, &'static str, fn(&Living) -> f64);

const PROCESSOR: &str = "processor time of a request, µs";

const MEASURES: [Measure; 3] = [
    ("living", "a request beside living connections", PROCESSOR, |point| point.processor),
    ("opening", "opening them", "processor time to open them all, ms", |point| {
        point.opened.as_secs_f64() * 1e3
    }),
    ("resident", "memory", "resident memory of the server, MB", |point| {
        point.resident as f64 / 1e6
    }),
];

pub(super) fn living(all: &[Alive]) -> Fallible<Vec<Option<Figure>>> {
    let figures = Transport::ALL.iter().flat_map(|transport| {
        let here: Vec<&Alive> = all.iter().filter(|one| one.kind.transport == *transport).collect();
        MEASURES.map(|measure| living_measure(*transport, &here, measure))
    });
    figures.collect()
}

fn living_measure(
    transport: Transport,
    all: &[&Alive],
    (file, what, title, of): Measure,
) -> Fallible<Option<Figure>> {
    let point =
        |rounds: &[Living]| (rounds[0].connections as f64, Spread::median(rounds.iter().map(of)));
    let lines = |alive: &&Alive| {
        let rounds = (0..alive.points()).map(|at| alive.at(at));
        let ours = rounds.clone().map(|rounds| point(&rounds.ours)).collect();
        let twin = rounds.map(|rounds| point(&rounds.twin)).collect();
        series(alive.kind.strategy, Pair { ours, twin })
    };
    let series: Vec<Series> = all.iter().flat_map(lines).collect();
    let [connections, costs] = values(&series);
    let x = Axis::of_each("living connections", connections);
    // Whether a cost is flat is seen where the axis begins at nothing.
    let flat = title == PROCESSOR;
    let y = if flat { Axis::from_zero(title, costs) } else { Axis::logarithmic(title, costs) };
    let chart = Chart { size: SIZE, left: LEFT, x, y, series };
    Figure::of(format!("{file}-{transport}"), format!("{transport}: {what}"), &chart)
}

pub(super) fn sequence(results: &Results, transport: Transport) -> Fallible<Option<Figure>> {
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
    let [requests, costs] = values(&series);
    let x = Axis::from_zero("requests so far", requests);
    let y = Axis::logarithmic(PROCESSOR, costs);
    let chart = Chart { size: SIZE, left: LEFT, x, y, series };
    let caption = format!("{transport}: one server all the time");
    Figure::of(format!("sequence-{transport}"), caption, &chart)
}
