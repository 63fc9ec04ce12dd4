//! Reading while 64 snapshots wait and a plug-in hangs, against reading alone.

use std::time::{Duration, Instant};

use crate::reading::{elements, pass, records, with_elements};
use crate::table::{median, row, us};

const WRITERS: usize = 64;
const PASSES: usize = 15;
const SNAPSHOT: Duration = Duration::from_secs(5);

/// Prints the row.
pub fn compare() {
    let hang = std::env::temp_dir().join(format!("osc-bench-hang.{}", std::process::id()));
    let more = format!(",snap_seconds={},hang={}", SNAPSHOT.as_secs(), hang.display());
    let (agent, server) = with_elements(1_000, &more);
    let names = elements(&server);
    let files = records(&server.join("se"), &names);
    pass(&files);
    let alone = median((0..PASSES).map(|_| pass(&files)).collect());
    std::fs::write(&hang, "").expect("the temporary directory can be written");
    let refresh = server.join("refresh");
    let refresher = std::thread::spawn(move || std::fs::write(refresh, "now"));
    let writers: Vec<_> = names[..WRITERS]
        .iter()
        .map(|name| {
            let control = server.join("se").join(name).join("snapshot");
            std::thread::spawn(move || std::fs::write(control, "s1"))
        })
        .collect();
    // Until the first processes of the calls sleep.
    std::thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    let beside = median((0..PASSES).map(|_| pass(&files)).collect());
    assert!(begun.elapsed() < SNAPSHOT - Duration::from_secs(2), "no snapshot waited any more");
    let waiting = writers.iter().filter(|writer| !writer.is_finished()).count();
    let _ = std::fs::remove_file(&hang);
    for writer in writers {
        let _ = writer.join();
    }
    let _ = refresher.join();
    drop(agent);
    row(
        &format!("reading 1000 records beside {waiting} waiting snapshots and a plug-in that hangs"),
        &us(beside),
        &format!("alone {}", us(alone)),
        beside / alone,
        "1",
    );
}
