//! A refresh of 10,000 elements, the memory that they take, and a start with them.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::listening::Client;
use crate::reading::{elements, pass, records, resident, restart, wakeups, with_elements};
use crate::table::{head, median, ms, row};

const COUNT: usize = 10_000;
const ROUNDS: usize = 5;
const MEMORY_MB: f64 = 60.0;
const READY_MS: f64 = 500.0;

/// Prints the tables.
pub fn compare() {
    let changes = std::env::temp_dir().join(format!("osc-bench-changes.{}", std::process::id()));
    let (mut agent, server) = with_elements(COUNT, &format!(",changes={}", changes.display()));
    let after_register = resident(agent.pid());
    let mut versions = String::new();
    let mut refresh = |changed: usize| {
        if changed > 0 {
            versions += &format!("{} {changed}\n", versions.lines().count() + 1);
            std::fs::write(&changes, &versions).expect("the temporary directory can be written");
        }
        let start = Instant::now();
        std::fs::write(server.join("refresh"), "now").expect("a refresh works");
        start.elapsed().as_secs_f64() * 1e3
    };
    head("A refresh of 10,000 elements, and D-Bus");
    refresh(COUNT);
    // Interleaved, so that all meet the same machine.
    let rounds: Vec<[f64; 4]> =
        (0..ROUNDS).map(|_| [refresh(0), refresh(1), refresh(100), refresh(COUNT)]).collect();
    let time = |at: usize| median(rounds.iter().map(|round| round[at]).collect());
    let ratio = |at: usize| median(rounds.iter().map(|round| round[at] / round[0]).collect());
    for (at, what) in [(1, "one changed"), (2, "100 changed"), (3, "all changed")] {
        let none = format!("none changed {}", ms(time(0)));
        row(&format!("refresh of {COUNT} elements, {what}"), &ms(time(at)), &none, ratio(at), "");
    }

    let checks = checks(&server);
    row(
        &format!("checking every field of {COUNT} elements"),
        &ms(checks),
        &format!("a refresh that changes all {}", ms(time(3))),
        checks / time(3),
        "≤ 0.1",
    );
    let after_refresh = resident(agent.pid());
    let files = records(&server.join("se"), &elements(&server));
    let address = agent.bus.as_ref().expect("it has a bus").address.clone();
    let client = Client::connect(&address);
    pass(&files);
    std::thread::sleep(Duration::from_millis(300));
    let (signals, requests) = (client.changes(), wakeups(agent.pid()));
    pass(&files);
    let idle = wakeups(agent.pid()) - requests;
    refresh(0);
    let (told, before) = (client.changes() - signals, wakeups(agent.pid()));
    pass(&files);
    let asked = (wakeups(agent.pid()) - before).saturating_sub(idle);
    row(
        "signals about elements after a refresh that changed none",
        &told.to_string(),
        "10000 elements",
        told as f64 / COUNT as f64,
        "0",
    );
    row(
        "wake-ups of the agent for reading all records after it",
        &asked.to_string(),
        "10000 records",
        asked as f64 / COUNT as f64,
        "0",
    );
    let signals = client.changes();
    refresh(1);
    let told = client.changes() - signals;
    row(
        "signals about elements after a refresh that changed one",
        &told.to_string(),
        "1 element",
        told as f64,
        "1",
    );

    let after_reading = resident(agent.pid());
    let uuid = server.file_name().and_then(|name| name.to_str()).expect("a UUID").to_owned();
    let path = client.server(&uuid);
    client.managed(&path);
    let rounds: Vec<(f64, f64)> = (0..ROUNDS)
        .map(|_| {
            let (managed, bytes) = client.managed(&path);
            assert!(bytes > COUNT * 500, "{path} manages {bytes} bytes");
            (managed, pass(&files) * COUNT as f64 / 1e3)
        })
        .collect();
    row(
        "GetManagedObjects of the storage server, 10000 elements",
        &ms(median(rounds.iter().map(|round| round.0).collect())),
        &format!("reading their records, warm {}", ms(median(rounds.iter().map(|round| round.1).collect()))),
        median(rounds.iter().map(|round| round.0 / round.1).collect()),
        "",
    );

    head("Memory and start, 10,000 elements of about 1 KiB");
    let memory = |what: &str, mb: f64| {
        row(&format!("resident memory {what}"), &format!("{mb:.1} MB"), "60 MB", mb / MEMORY_MB, "≤ 1");
    };
    memory("after registering", after_register);
    memory(&format!("after {} refreshes, six of them of all elements", 4 * ROUNDS + 1), after_refresh);
    memory("after reading everything", after_reading);
    memory(&format!("after sending everything on D-Bus, {} times", ROUNDS + 1), resident(agent.pid()));
    drop(client);
    let starts: Vec<f64> = (0..ROUNDS).map(|_| restart(&mut agent, &server).as_secs_f64() * 1e3).collect();
    memory("after a start and its refresh", resident(agent.pid()));
    pass(&files);
    memory("after that and reading everything", resident(agent.pid()));
    let ready = median(starts);
    row("start to READY, 10000 elements in the store", &ms(ready), "500 ms", ready / READY_MS, "≤ 1");
    let _ = std::fs::remove_file(&changes);
}

/// Milliseconds for checking the records of all elements, as a refresh that changes them does.
fn checks(server: &Path) -> f64 {
    let mut records = Vec::new();
    for name in elements(server) {
        records.extend(std::fs::read(server.join("se").join(name).join("record")).expect("a record"));
    }
    let program = tests::program("examples/bench_checks");
    let mut command = Command::new(program);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("it is piped").write_all(&records).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("it prints a number")
}
