//! Serves a tree of N elements with records of about 1 KiB, for measuring: `bench_tree MOUNTPOINT [N]`, until its standard input ends.
//! Each line of input prints the requests of the record connection so far and the resident memory.

use std::io::BufRead;

#[path = "../tests/common/mod.rs"]
mod common;

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(mountpoint), count) = (args.next(), args.next()) else {
        eprintln!("usage: bench_tree MOUNTPOINT [ELEMENTS]");
        std::process::exit(2);
    };
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(10_000);
    let begun = std::time::Instant::now();
    let mounted = match fsview::mount(fsview::Options::new(mountpoint), common::fake(count, 1023)) {
        Ok(mounted) => mounted,
        Err(error) => {
            eprintln!("bench_tree: {error}");
            std::process::exit(1);
        }
    };
    println!("serving {count} elements below ss/{}/se after {:?}", common::SS, begun.elapsed());
    for _ in std::io::stdin().lock().lines() {
        let stats = mounted.tree();
        let stats = stats.record_stats();
        let asked: Vec<String> = stats
            .all()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{name}={count}"))
            .collect();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let rss = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default().to_owned();
        println!("requests={} {} {rss}", stats.requests(), asked.join(" "));
    }
}
