//! The tables of a report.

use super::Results;
use super::table::{Table, number};
use crate::ceilings;
use crate::measure::growth::Living;
use crate::measure::latency::Latency;
use crate::measure::rates::{self, Cell, Run, USUAL, Workload};
use crate::measure::{Pair, Spread};

/// Those there are results for; what matters most comes last, where a terminal shows it.
pub fn all(results: &Results) -> Vec<Table> {
    let tables =
        [grid(results), sequence(results), living(results), counts(results), usual(results)];
    tables.into_iter().filter(|table| !table.rows.is_empty()).collect()
}

fn spread(spread: Spread) -> String {
    let Spread { least, median, most } = spread;
    format!("{median:.2} ({least:.2}–{most:.2})")
}

fn median(runs: &[Run], of: fn(&Run) -> f64) -> String {
    number(Spread::median(runs.iter().map(of)))
}

fn per_second(run: &Run) -> f64 {
    run.per_second
}

fn processor(run: &Run) -> f64 {
    run.processor
}

fn latency(runs: &[Run]) -> String {
    let Latency { p50, p99, p999, .. } = rates::latency(runs);
    format!("{} / {} / {}", number(p50), number(p99), number(p999))
}

fn measures(Pair { ours, twin }: &Pair<Vec<Run>>) -> Vec<String> {
    vec![
        median(ours, per_second),
        median(twin, per_second),
        median(ours, processor),
        median(twin, processor),
    ]
}

fn usual(results: &Results) -> Table {
    let usual =
        results.cells.iter().filter(|cell| cell.workload == Workload::usual(cell.workload.kind));
    let row = |Cell { workload, runs }: &Cell| {
        let mut row = vec![workload.kind.to_string()];
        row.extend(measures(runs));
        row.extend([runs.ratio(per_second), runs.ratio(processor)].map(spread));
        row.extend([&runs.ours, &runs.twin].map(|runs| latency(runs)));
        row
    };
    let (payload, callers) = USUAL;
    Table {
        title: "Ours and by hand",
        note: format!(
            "{callers} clients at a time, {payload} bytes, a connection each where there are connections. \
             Medians of the rounds; the ratios are ours to that by hand, taken within each round: median \
             (least–most). Processor time is the server's, with its threads and children. Latencies in µs."
        ),
        words: 1,
        columns: vec![
            "server",
            "ours /s",
            "hand /s",
            "ours µs CPU",
            "hand µs CPU",
            "rate ×",
            "CPU ×",
            "ours p50 / p99 / p99.9",
            "hand p50 / p99 / p99.9",
        ],
        rows: usual.map(row).collect(),
    }
}

fn grid(results: &Results) -> Table {
    let row = |Cell { workload, runs }: &Cell| {
        let Workload { kind, payload, callers, kept } = workload;
        let connection = match (kind.transport.is_stream(), kept) {
            (false, _) => "none",
            (true, false) => "one each",
            (true, true) => "kept",
        };
        let (transport, strategy) = (kind.transport.to_string(), kind.strategy.to_string());
        let mut row =
            vec![transport, strategy, connection.into(), payload.to_string(), callers.to_string()];
        row.extend(measures(runs));
        row.push(spread(runs.ratio(processor)));
        row.push(latency(&runs.ours));
        row
    };
    Table {
        title: "Transport × strategy × payload × concurrency",
        note: "Payloads in bytes; clients at a time. Medians of the rounds, as below.".into(),
        words: 3,
        columns: vec![
            "transport",
            "strategy",
            "connection",
            "payload",
            "clients",
            "ours /s",
            "hand /s",
            "ours µs CPU",
            "hand µs CPU",
            "CPU ×",
            "ours p50 / p99 / p99.9 µs",
        ],
        rows: results.cells.iter().map(row).collect(),
    }
}

fn counts(results: &Results) -> Table {
    let digits = |value: f64| if value.is_finite() { format!("{value:.1}") } else { "–".into() };
    let cells = |pair: &Option<Pair<f64>>, most: f64| match pair {
        Some(Pair { ours, twin }) => [digits(*ours), digits(*twin), digits(most)],
        None => [const { String::new() }; 3],
    };
    let rows = results.counts.iter().map(|counts| {
        let most = ceilings::of(counts.kind);
        let mut row = vec![counts.kind.to_string()];
        row.extend(cells(&counts.calls, most.calls));
        row.extend(cells(&counts.allocations, most.allocations));
        let above = counts.instructions.as_ref().map_or(0.0, |pair| pair.twin);
        row.extend(cells(&counts.instructions, most.instructions + above));
        row
    });
    Table {
        title: "Counts per request",
        note: "The same in every run, so ours may not be above \"most\" (benches/ceilings.rs): system calls \
               (strace), allocations of heap memory, user instructions (callgrind). Nor are there more calls than by hand. Empty: not counted; –: anything."
            .into(),
        words: 1,
        columns: vec![
            "server", "calls", "hand", "most", "allocations", "hand", "most", "instructions", "hand", "most",
        ],
        rows: rows.collect(),
    }
}

fn living(results: &Results) -> Table {
    let rows = results.alive.iter().flat_map(|alive| {
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
        note: "A request beside so many idle connections; the server's processor time in which all of these were opened; what is \
               resident of the server then, all in all."
            .into(),
        words: 1,
        columns: vec![
            "server", "living", "ours µs CPU", "hand µs CPU", "ours ms CPU to open", "hand ms CPU to open", "open ×",
            "ours kB", "hand kB",
        ],
        rows: rows.collect(),
    }
}

fn sequence(results: &Results) -> Table {
    let rows = results.sequence.iter().filter_map(|(kind, parts)| {
        let (first, last) = (parts.first()?, parts.last()?);
        let all = Spread::of(parts.iter().map(|part| part.processor));
        Some(vec![
            kind.to_string(),
            number(last.requests as f64),
            number(first.processor),
            number(last.processor),
            format!("{} ({}–{})", number(all.median), number(all.least), number(all.most)),
            number(first.resident as f64 / 1e3),
            number(last.resident as f64 / 1e3),
        ])
    });
    Table {
        title: "Many requests in sequence",
        note: "One server all the time. Processor time of a request in the first and the last part of the \
               sequence, and in all parts: median (least–most)."
            .into(),
        words: 1,
        columns: vec![
            "server", "requests", "first µs CPU", "last µs CPU", "all µs CPU", "first kB", "last kB",
        ],
        rows: rows.collect(),
    }
}
