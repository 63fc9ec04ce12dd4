//! Clients that share no code with us: sd-bus (`busctl`) and GDBus (`gdbus`).

use std::process::Command as Process;

use super::fake::{FS, MOUNT, PLUGIN, SS, element_id};
use super::*;
use crate::bus::{introspect, table};

/// Runs a program and returns what it printed.
async fn run(program: &str, arguments: &[&str]) -> String {
    let mut process = Process::new(program);
    process.args(arguments);
    let output =
        tokio::task::spawn_blocking(move || process.output()).await.expect("a task").expect("a program");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn every_path(operation: uuid::Uuid) -> Vec<Path> {
    vec![
        Path::Above(0),
        Path::Above(2),
        Path::Root,
        Path::Plugins,
        Path::Plugin(PLUGIN.into()),
        Path::Servers,
        Path::Server(SS),
        Path::Elements(SS),
        Path::Element(SS, element_id(0).to_string()),
        Path::FileSystems(SS),
        Path::FileSystem(SS, FS.into()),
        Path::Mounts(SS, FS.into()),
        Path::Mount(SS, FS.into(), MOUNT),
        Path::Operations,
        Path::Operation(operation),
    ]
}

#[tokio::test]
async fn busctl_finds_every_object_and_everything_in_it() {
    let it = setup(Fake::new(3)).await;
    let operation = it.fake.add_operation();
    let address = format!("--address={}", it.daemon.address);
    let tree = run("busctl", &[&address, "tree", "--list", NAME]).await;
    let mut found: Vec<&str> = tree.lines().collect();
    let mut expected: Vec<String> = every_path(operation).iter().map(Path::to_string).collect();
    expected.push(Path::Above(1).to_string());
    expected.extend((1..3).map(|number| Path::Element(SS, element_id(number).to_string()).to_string()));
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    for path in every_path(operation) {
        let text = run("busctl", &[&address, "introspect", NAME, &path.to_string()]).await;
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let has = |name: &str, kind: &str, signature: &str| {
            lines.iter().any(|words| {
                words.first() == Some(&name)
                    && words.get(1) == Some(&kind)
                    && words.get(2) == Some(&signature)
            })
        };
        for interface in introspect::interfaces(&path) {
            assert!(has(&interface.name, "interface", "-"), "{path} {}\n{text}", interface.name);
            for row in &interface.properties {
                assert!(has(&format!(".{}", row.name), "property", row.signature), "{path} {}", row.name);
            }
            for row in &interface.methods {
                let signature = if row.ins.is_empty() { "-".to_owned() } else { row.signature() };
                assert!(has(&format!(".{}", row.name), "method", &signature), "{path} {}", row.name);
            }
        }
    }
}

#[tokio::test]
async fn introspection_is_valid_and_documents_everything() {
    let it = setup(Fake::new(1)).await;
    let operation = it.fake.add_operation();
    let check = "import sys, xml.etree.ElementTree as tree\n\
        root = tree.fromstring(sys.argv[1])\n\
        bad = [e.get('name') for e in root.iter() if e.tag in ('interface', 'method', 'signal', 'property')\n\
               and not any(a.get('name') == 'org.gtk.GDBus.DocString' and a.get('value') for a in e)]\n\
        assert not bad, bad\n\
        print(len(list(root.iter('method'))), len(list(root.iter('property'))))";
    for path in every_path(operation) {
        let introspectable = "org.freedesktop.DBus.Introspectable";
        let reply = it.client.call(&path, introspectable, "Introspect", &()).await.expect("Introspect");
        let xml: String = reply.body().deserialize().expect("s");
        let (methods, properties) = introspect::interfaces(&path)
            .fold((0, 0), |sum, row| (sum.0 + row.methods.len(), sum.1 + row.properties.len()));
        assert_eq!(run("python3", &["-c", check, &xml]).await.trim(), format!("{methods} {properties}"));
    }
}

#[tokio::test]
async fn gdbus_reads_calls_and_understands_the_introspection() {
    let it = setup(Fake::new(1)).await;
    let path = Path::Element(SS, element_id(0).to_string()).to_string();
    let gdbus = async |command: &str, rest: &[&str]| {
        let common = [command, "--address", &it.daemon.address, "--dest", NAME, "--object-path"];
        run("gdbus", &[&common, rest].concat()).await
    };
    let text = gdbus("introspect", &[&path]).await;
    for row in &table::interface("StorageElement").properties {
        assert!(text.contains(&format!("readonly {} {}", row.signature, row.name)), "{}\n{text}", row.name);
    }
    let method = format!("{PREFIX}StorageElement.Snapshot");
    let text = gdbus("call", &[&path, "--method", &method, "nightly"]).await;
    assert!(text.starts_with(&format!("(objectpath '{ROOT}/op/")), "{text}");
    let method = format!("{MANAGER}.GetManagedObjects");
    let text = gdbus("call", &[&Path::Server(SS).to_string(), "--method", &method]).await;
    assert!(text.contains("'Size': <int64 10737418240>"), "{text}");
}

#[tokio::test]
async fn busctl_monitor_sees_the_signals() {
    use tokio::io::AsyncBufReadExt;
    let it = setup(Fake::new(1)).await;
    let mut monitor = tokio::process::Command::new("busctl")
        .arg(format!("--address={}", it.daemon.address))
        .args(["--json=short", "--match", "type='signal'", "monitor", NAME])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("busctl (Debian: systemd)");
    let out = monitor.stdout.take().expect("piped above");
    let mut lines = tokio::io::BufReader::new(out).lines();
    // It is heard once the monitor listens; until then there is always one more to hear.
    let seen = async {
        loop {
            let line = lines.next_line().await.expect("output").expect("a line");
            if line.contains("InterfacesAdded") && line.contains("/op/") {
                return;
            }
        }
    };
    tokio::pin!(seen);
    loop {
        it.fake.add_operation();
        tokio::select! {
            () = &mut seen => break,
            () = tokio::time::sleep(std::time::Duration::from_millis(50)) => {}
        }
    }
}
