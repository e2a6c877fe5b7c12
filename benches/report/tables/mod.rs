//! The tables of a report.

mod counts;
mod growth;
mod rates;

use super::Results;
use super::table::Table;
use crate::measure::Spread;

/// Those there are results for; what matters most comes last, where a terminal shows it.
pub fn all(results: &Results) -> Vec<Table> {
    let tables = [
        rates::grid(&results.cells),
        growth::sequence(&results.sequence),
        growth::living(&results.alive),
        counts::per_request(&results.counts),
        rates::usual(&results.cells),
    ];
    tables.into_iter().filter(|table| !table.rows.is_empty()).collect()
}

fn spread(spread: Spread) -> String {
    let Spread { least, median, most } = spread;
    format!("{median:.2} ({least:.2}–{most:.2})")
}
