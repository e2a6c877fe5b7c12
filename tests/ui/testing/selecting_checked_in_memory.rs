//! A strategy is checked in memory too, where nothing is said of over what.

use socketserver::testing::{Check, strategy};
use socketserver::{Selecting, Sync};

fn main() {
    // It needs descriptors: `.over(OverTcp)` is missing. `keeps_the_laws!` says this.
    let kept = Check::check(strategy(|| Selecting::new(Sync)));
    drop(kept);
}
