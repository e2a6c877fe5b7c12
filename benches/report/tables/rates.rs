//! Throughput, processor time and latency.

use super::spread;
use crate::measure::Pair;
use crate::measure::Spread;
use crate::measure::latency::Latency;
use crate::measure::rates::{self, Cell, Run, USUAL, Workload};
use crate::report::table::{Table, number};

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

pub(super) fn usual(cells: &[Cell]) -> Table {
    let usual = cells.iter().filter(|cell| cell.workload == Workload::usual(cell.workload.kind));
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
            "{callers} clients at a time, {payload} bytes, a connection each where there are \
             connections. Medians of the rounds; the ratios are ours to that by hand, taken within \
             each round: median (least–most). Processor time is that of the server, its threads and \
             its children. Latencies in µs."
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

pub(super) fn grid(cells: &[Cell]) -> Table {
    let row = |Cell { workload, runs }: &Cell| {
        let Workload { kind, payload, callers, kept, heap } = workload;
        let connection = match (kind.transport.is_stream(), kept) {
            (false, _) => "none",
            (true, false) => "one each",
            (true, true) => "kept",
        };
        let with = if *heap > 0 { format!(", {heap} MB of heap") } else { String::new() };
        let (transport, strategy) =
            (kind.transport.to_string(), format!("{}{with}", kind.strategy));
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
        rows: cells.iter().map(row).collect(),
    }
}
