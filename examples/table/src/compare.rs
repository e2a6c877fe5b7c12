//! The server beside the loop by hand: rows per second of both, in turns.

use std::io::{self, Write};
use std::time::Instant;

use crate::desk::Terms;
use crate::work::Work;
use crate::{Asked, by_hand, serve};

/// So many rows each time, so many rounds of both.
pub(crate) struct Rounds {
    pub(crate) rows: i64,
    pub(crate) rounds: u32,
}

/// Each round is one of the server and one of the loop, and who is first changes from round to round.
/// Says what came of each, and the median of their ratios.
pub(crate) fn compare(asked: &Asked, terms: &Terms, rounds: &Rounds) -> io::Result<()> {
    let terms = Terms { until_empty: true, ..terms.clone() };
    let work = Work::new(asked.output.as_deref())?;
    let mut ratios = Vec::new();
    // The first warms what there is to warm, and does not count.
    for round in 0..=rounds.rounds {
        let (mut server, mut by_hand) = (0.0, 0.0);
        for turn in [round, round + 1] {
            terms.database.open()?.fill(rounds.rows, "{}")?;
            let begun = Instant::now();
            let rate = if turn % 2 == 0 { &mut server } else { &mut by_hand };
            if turn % 2 == 0 {
                serve(asked, &terms)?;
            } else {
                by_hand::serve(&terms, &work)?;
            }
            *rate = rounds.rows as f64 / begun.elapsed().as_secs_f64();
        }
        let ratio = server / by_hand;
        let counts = if round == 0 { " (not counted)" } else { "" };
        let said = format!("server {server:.0}/s, by hand {by_hand:.0}/s: {ratio:.3}{counts}\n");
        io::stdout().write_all(said.as_bytes())?;
        if round > 0 {
            ratios.push(ratio);
        }
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
    let said = format!("median {median:.3} of {} rounds ({least:.3} to {most:.3})\n", ratios.len());
    io::stdout().write_all(said.as_bytes())
}
