//! Measures what `docs/PERFORMANCE.md` tells: every figure as a ratio of two things done in this run.
//!
//! Run by `scripts/bench`, which builds what is compared with: `bench PASSTHROUGH_LL [tree] [surviving] [refresh]`, without a
//! part all of it. Prints Markdown.

mod busy;
mod listening;
mod reading;
mod refresh;
mod surviving;
mod table;
mod tree;

use std::path::PathBuf;

fn main() {
    let mut words = std::env::args().skip(1);
    let passthrough = words.next().map(PathBuf::from);
    let parts: Vec<String> = words.collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|word| word == part);
    if wanted("tree") {
        table::head("Reading the tree");
        for count in [1_000, 10_000] {
            tree::compare(count, passthrough.as_deref());
        }
        busy::compare();
    }
    if wanted("surviving") {
        table::head("Outliving the agent");
        surviving::compare();
    }
    if wanted("refresh") {
        refresh::compare();
    }
}
