//! What checking the fields of storage elements costs: reads records, one a line, from standard
//! input, and prints how many milliseconds parsing them with all checks takes (median of nine).
//!
//! As the record's own fields are filled on the way, this is more than the checks alone.

use std::hint::black_box;
use std::io::Read as _;
use std::time::Instant;

use agent::record::{Dict as _, StorageElement};
use serde_json::Value;

fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).expect("standard input is text");
    let records: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a record is JSON")).collect();
    let mut times: Vec<f64> = (0..9)
        .map(|_| {
            let start = Instant::now();
            for record in &records {
                black_box(StorageElement::parse(record));
            }
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{:.3}", times[times.len() / 2]);
}
