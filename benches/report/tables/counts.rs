//! What does not depend on the moment.

use crate::measure::Pair;
use crate::measure::ceilings;
use crate::measure::counts::Counts;
use crate::report::table::Table;

pub(super) fn per_request(all: &[Counts]) -> Table {
    let digits = |value: f64| if value.is_finite() { format!("{value:.1}") } else { "–".into() };
    let cells = |pair: &Option<Pair<f64>>, most: f64| match pair {
        Some(Pair { ours, twin }) => [digits(*ours), digits(*twin), digits(most)],
        None => [const { String::new() }; 3],
    };
    let rows = all.iter().map(|counts| {
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
        note: "The same in every run, so ours may not be above \"most\" \
               (benches/measure/ceilings.rs), nor make more system calls than by hand, but under \
               threading and thread-pool, where who takes a request is chance. System calls (strace), \
               allocations of heap memory, user instructions (callgrind). Empty: not counted; –: as \
               many as there are."
            .into(),
        words: 1,
        columns: vec![
            "server",
            "calls",
            "hand",
            "most",
            "allocations",
            "hand",
            "most",
            "instructions",
            "hand",
            "most",
        ],
        rows: rows.collect(),
    }
}
