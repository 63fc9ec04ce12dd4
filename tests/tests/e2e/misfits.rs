//! Plug-ins that break the guide, each in a way of its own: met by the error named in its file, with
//! another server served throughout.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use serde_json::{Value, json};
use tests::daemon::Agent;
use tests::need::{Need, Python, test};
use tests::project;
use tests::shell::sh;

pub fn tests() -> Vec<Trial> {
    let each = Python::ALL.into_iter().map(|python| {
        let needs = [Need::Fuse, Need::Dbus, Need::Python(python)];
        test(format!("every_misfit_meets_its_error_under_{}", python.name()), &needs, move || misfits(python))
    });
    each.collect()
}

/// What a misfit's file says of itself.
struct Misfit {
    name: String,
    stage: String,
    errors: Vec<String>,
    says: Vec<String>,
}

impl Misfit {
    fn read(file: &Path) -> Misfit {
        let text = std::fs::read_to_string(file).unwrap();
        let told = |key: &str| {
            let prefix = format!("# {key}: ");
            let line = text.lines().find_map(|line| line.strip_prefix(prefix.as_str()));
            line.unwrap_or_else(|| panic!("{} says no {key}", file.display())).to_owned()
        };
        Misfit {
            name: file.file_stem().unwrap().to_str().unwrap().to_owned(),
            stage: told("stage"),
            errors: told("error").split_whitespace().map(str::to_owned).collect(),
            says: told("says").split(" | ").filter(|word| *word != "-").map(str::to_owned).collect(),
        }
    }

    fn plugin(&self) -> String {
        format!("misfits.{0}.Misfit.Misfit", self.name)
    }
}

const SECRET: &str = "hunter2-hunter2";

fn record(name: &str) -> Value {
    json!({
        "name": name, "storage_type": "SAN", "admin_host": "h", "admin_user": "u", "admin_passwd": SECRET,
        "refresh_interval": 0,
    })
}

fn install(agent: &Agent, source: &Path, misfit: &str) {
    let module = agent.plugins().join("misfits").join(misfit);
    std::fs::create_dir_all(&module).unwrap();
    std::fs::write(
        module.join("__init__.py"),
        format!("osc_isa_plugins = ['misfits.{misfit}.Misfit.Misfit']\n"),
    )
    .unwrap();
    std::fs::copy(source.join("good.py"), module.join("Good.py")).unwrap();
    std::fs::copy(source.join(misfit).with_extension("py"), module.join("Misfit.py")).unwrap();
}

fn misfits(python: Python) {
    let source = project().join("tests/plugins/misfits");
    let mut files: Vec<PathBuf> = source.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "py") && !file.ends_with("good.py"));
    files.sort();
    let misfits: Vec<Misfit> = files.iter().map(|file| Misfit::read(file)).collect();
    assert!(misfits.len() >= 40, "{} misfits", misfits.len());

    let mut agent = Agent::prepare();
    agent.configure(
        "import_deadline = 8\n[deadlines]\nlist = 10\n[limits]\nmemory = 2147483648\n[interpreters]\n",
    );
    let interpreter = python.path().unwrap().display().to_string();
    for misfit in &misfits {
        install(&agent, &source, &misfit.name);
        agent.configure(&format!("\"misfits.{}\" = {interpreter:?}\n", misfit.name));
    }
    // The one that behaves: `reads_stdin` does nothing wrong that anybody could notice.
    agent.launch();
    let good = agent.register("misfits.reads_stdin.Misfit.Misfit", &record("good"));
    let mut failures = Vec::new();
    for misfit in misfits {
        if let Err(failure) = meets_its_error(&agent, &misfit) {
            failures.push(format!("{} ({}): {failure}", misfit.name, misfit.stage));
        }
        agent.write(&good.join("refresh"), "now");
        assert_eq!(good.join("se").read_dir().unwrap().count(), 2);
    }
    assert!(failures.is_empty(), "{} misfits got away:\n{}", failures.len(), failures.join("\n"));
    assert!(!agent.log().contains(SECRET), "a secret is in the log");
    assert_eq!(sh("pgrep -f '^sleep 86399'").stdout, "", "a plug-in's child outlived its call");
    let left = sh(&format!("find {}/run -name 'left-behind*'", agent.state().display()));
    assert_eq!(left.stdout, "", "temporary files outlived their call");
}

fn meets_its_error(agent: &Agent, misfit: &Misfit) -> Result<(), String> {
    let lacks = |told: &str| -> Result<(), String> {
        if told.contains(SECRET) {
            return Err(format!("shows the password: {told}"));
        }
        match misfit.says.iter().find(|word| !told.contains(word.as_str())) {
            Some(word) => Err(format!("{word:?} is missing: {told}")),
            None => Ok(()),
        }
    };
    let refused = |control: &Path, request: String| -> Result<(), String> {
        if std::fs::write(control, request).is_ok() {
            return Err("was accepted".into());
        }
        let told = std::fs::read_to_string(control).unwrap_or_default();
        let known = misfit.errors.iter().any(|error| told.contains(&format!("{error}:")));
        if known { lacks(&told) } else { Err(format!("expected {:?}: {told}", misfit.errors)) }
    };
    let request = json!({"plugin": misfit.plugin(), "record": record(&misfit.name)}).to_string();
    let register = agent.root().join("register");
    let plugins = agent.root().join("plugins");
    let status = || {
        let module = format!("misfits.{}", misfit.name);
        let mut names = plugins.read_dir().ok()?.flatten().map(|entry| entry.path());
        let own = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name == module || name.starts_with(&format!("{module}."))
        };
        std::fs::read_to_string(names.find(own)?.join("status")).ok()
    };
    match misfit.stage.as_str() {
        "load" => {
            let patience = Instant::now() + Duration::from_secs(30);
            let told = loop {
                match status() {
                    Some(told) if told.contains("\"usable\":false") => break told,
                    told if Instant::now() > patience => return Err(format!("is thought usable: {told:?}")),
                    _ => std::thread::sleep(Duration::from_millis(50)),
                }
            };
            lacks(&told)?;
            refused(&register, request)
                .or_else(|told| if told.contains("is missing") { Ok(()) } else { Err(told) })
        }
        "register" => refused(&register, request),
        stage => {
            if misfit.name != "reads_stdin" {
                agent.register(&misfit.plugin(), &record(&misfit.name));
            }
            let server = agent.root().join("by-name").join(match misfit.name.as_str() {
                "reads_stdin" => "good",
                name => name,
            });
            agent.write(&server.join("refresh"), "again");
            match stage {
                "report-snapshot" => {
                    agent.write(&server.join("se-by-name/one/snapshot"), "s1");
                    lacks(&status().ok_or("has no status")?)
                }
                "report" => {
                    agent.write(&server.join("refresh"), "again");
                    let told = status().ok_or("has no status")?;
                    lacks(&told)?;
                    let status: Value = serde_json::from_str(&told).map_err(|error| error.to_string())?;
                    let said = status["problems"].as_array().map_or(0, Vec::len);
                    if said > 2 { Err(format!("is said again and again: {told}")) } else { Ok(()) }
                }
                "snapshot" => {
                    let element = server.join("se-by-name/one");
                    refused(&element.join("snapshot"), "s1".into())
                }
                "works" => {
                    let listed = server.join("se").read_dir().unwrap().count();
                    if listed == 2 { Ok(()) } else { Err(format!("{listed} elements")) }
                }
                other => Err(format!("there is no stage {other}")),
            }
        }
    }
}
