//! The table that the bench prints, and the statistics in it.

/// One line of the table: what was measured, what it is held against, their ratio and the target.
pub fn row(what: &str, measured: &str, against: &str, ratio: f64, wanted: &str) {
    let ratio = if ratio != 0.0 && ratio < 0.1 { format!("{ratio:.4}") } else { format!("{ratio:.2}") };
    println!("| {what} | {measured} | {against} | {ratio} | {wanted} |");
}

/// The head of a table.
pub fn head(title: &str) {
    println!("\n## {title}\n");
    println!("| what | measured | against | ratio | wanted |");
    println!("| --- | --- | --- | --- | --- |");
}

/// The value in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Microseconds.
pub fn us(value: f64) -> String {
    format!("{value:.1} µs")
}

/// Milliseconds.
pub fn ms(value: f64) -> String {
    format!("{value:.0} ms")
}
