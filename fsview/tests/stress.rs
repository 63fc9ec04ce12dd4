//! Everything at once: readers, walkers and writers while the model changes. What must hold is checked by each of them.

mod common;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Mount, done, element, fake, out};
use fsview::Change;

#[test]
fn readers_walkers_and_writers_get_along_with_a_stream_of_changes() {
    let name = "readers_walkers_and_writers_get_along_with_a_stream_of_changes";
    let Some(mount) = Mount::new(name, fake(100, 3000)) else { return };
    mount.fake.state().answer = Some(done("op"));
    let stop = AtomicBool::new(false);
    let going = || !stop.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in (0..100).cycle().take_while(|_| going()) {
                let text = fs::read_to_string(mount.se(n).join("record")).unwrap();
                assert!(text.starts_with("{\"id\"") && text.ends_with("\"}\n"), "torn: {text:?}");
                let pad = text.split("\"pad\":\"").nth(1).unwrap().trim_end_matches("\"}\n").as_bytes();
                assert!(pad.iter().all(|byte| byte == &pad[0]), "torn: {text:?}");
            }
        });
        scope.spawn(|| {
            while going() {
                let records = out("find . -name record -path '*/se-0*' | wc -l", &mount.ss());
                assert_eq!(records.trim(), "100");
            }
        });
        scope.spawn(|| {
            while going() {
                out("for n in 1 2 3 4 5; do echo x > se/se-0000$n/snapshot; done", &mount.ss());
            }
        });
        let until = Instant::now() + Duration::from_secs(3);
        for version in 0.. {
            if Instant::now() > until {
                break;
            }
            let se = format!("se-{:05}", version % 100);
            mount.fake.put_element(common::SS, &se, element(&se, version, 1000 + version % 3000));
            mount.tree().changed(Change::Element { ss: common::SS.into(), se: se.as_str().into() });
            if version % 10 == 0 {
                mount.update("comes-and-goes", (version % 20 == 0).then(|| element("x", version, 100)));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    mount.tree().settle();
    for n in 0..100 {
        let record =
            mount.fake.state().elements[&(common::SS.into(), format!("se-{n:05}").into())].record.clone();
        assert_eq!(fs::read_to_string(mount.se(n).join("record")).unwrap(), format!("{record}\n"));
    }
}

#[test]
fn twenty_writers_of_one_file_are_all_taken_without_waiting_for_each_other() {
    let name = "twenty_writers_of_one_file_are_all_taken_without_waiting_for_each_other";
    let Some(mount) = Mount::new(name, fake(1, 100)) else { return };
    let writers: Vec<_> = (0..20)
        .map(|n| {
            let mut command = std::process::Command::new("bash");
            command.arg("-c").arg(format!("echo {n} > snapshot")).current_dir(mount.se(0)).spawn().unwrap()
        })
        .collect();
    mount.fake.await_requests(20);
    let waiting = std::mem::take(&mut mount.fake.state().waiting);
    waiting.into_iter().for_each(|(_, answer)| answer(done("op")));
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
}
