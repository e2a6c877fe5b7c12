//! Cost against load.

use super::spread;
use crate::measure::living::{Alive, Living};
use crate::measure::sequence::Part;
use crate::measure::{Kind, Pair, Spread};
use crate::report::table::{Table, number};

pub(super) fn living(all: &[Alive]) -> Table {
    let rows = all.iter().flat_map(|alive| {
        (0..alive.points()).map(|at| {
            let Pair { ours, twin } = alive.at(at);
            let of = |of: fn(&Living) -> f64| {
                [&ours, &twin].map(|points| number(Spread::median(points.iter().map(of))))
            };
            let mut row = vec![alive.kind.to_string(), ours[0].connections.to_string()];
            row.extend(of(|point| point.processor));
            row.extend(of(|point| point.opened.as_secs_f64() * 1e3));
            row.push(spread(alive.at(at).ratio(|point| point.opened.as_secs_f64())));
            row.extend(of(|point| point.resident as f64 / 1e3));
            row
        })
    });
    Table {
        title: "Living connections",
        note: "A request beside so many idle connections; the server's processor time in which \
               all of these were opened; what is resident of it then, all in all."
            .into(),
        words: 1,
        columns: vec![
            "server",
            "living",
            "ours µs CPU",
            "hand µs CPU",
            "ours ms CPU to open",
            "hand ms CPU to open",
            "open ×",
            "ours kB",
            "hand kB",
        ],
        rows: rows.collect(),
    }
}

pub(super) fn sequence(all: &[(Kind, Vec<Part>)]) -> Table {
    let rows = all.iter().filter_map(|(kind, parts)| {
        let (first, last) = (parts.first()?, parts.last()?);
        let costs = Spread::of(parts.iter().map(|part| part.processor));
        Some(vec![
            kind.to_string(),
            number(last.requests as f64),
            number(first.processor),
            number(last.processor),
            format!("{} ({}–{})", number(costs.median), number(costs.least), number(costs.most)),
            number(first.resident as f64 / 1e3),
            number(last.resident as f64 / 1e3),
        ])
    });
    Table {
        title: "Many requests in sequence",
        note:
            "One server all the time. Processor time of a request in the first and the last part \
               of the sequence, and in all parts: median (least–most)."
                .into(),
        words: 1,
        columns: vec![
            "server",
            "requests",
            "first µs CPU",
            "last µs CPU",
            "all µs CPU",
            "first kB",
            "last kB",
        ],
        rows: rows.collect(),
    }
}
