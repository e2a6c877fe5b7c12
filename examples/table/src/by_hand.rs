//! The same without a server: the loop that one would write by hand, on the same queries.

use std::io;
use std::thread;

use crate::desk::Terms;
use crate::store::End;
use crate::work::Work;

/// Handles rows, one after the other, until none is left. Returns how many it has.
pub(crate) fn serve(terms: &Terms, work: &Work) -> io::Result<u64> {
    let mut store = terms.database.open()?;
    let mut handled = 0;
    loop {
        let claims = store.claim(terms.batch, terms.lease)?;
        if claims.is_empty() {
            if store.count()?.open == 0 {
                return Ok(handled);
            }
            thread::sleep(terms.interval);
        }
        let mut ends = Vec::with_capacity(claims.len());
        for claim in &claims {
            let error = work.perform(claim).err().map(|error| error.to_string());
            ends.push(End { id: claim.id, number: claim.number, error });
        }
        store.settle(&ends, terms.retry)?;
        handled += claims.len() as u64;
    }
}
