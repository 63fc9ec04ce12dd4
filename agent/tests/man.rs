//! The manual's pages are printed from the code's tables. `UPDATE_DOCS=1 cargo test -p agent --test man`
//! writes them anew; without it, a difference is a failure.

mod roff;

use std::path::PathBuf;

use agent::cli::args::Cli;
use agent::config::table::{KEYS, LIMITS, NAMED, Row};
use agent::config::{Config, Limits};
use agent::daemon::args::Args;
use clap::{Command, CommandFactory as _};
use roff::Page;

/// Holds a page of `docs/man` against what it should be.
fn is_in_the_manual(file: &str, page: Page) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/man").join(file);
    let wanted = page.text();
    if std::fs::read_to_string(&path).is_ok_and(|text| text == wanted) {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_DOCS").is_some(),
        "docs/man/{file} differs from the code: UPDATE_DOCS=1 cargo test -p agent --test man"
    );
    std::fs::write(&path, wanted).expect("the manual can be written");
}

fn key<T>(page: &mut Page, table: &str, row: &Row<T>, defaults: &T) {
    page.item(&format!("**{table}{}** = {}", row.name, row.shown(defaults)));
    page.say(&format!("{} Takes {}. A change counts {}.", row.doc, row.what, row.applies.as_str()));
}

#[test]
fn every_key_of_the_configuration_is_in_its_page() {
    let mut page = Page::new("oscd.toml", 5, "configuration of the storage agent");
    page.section("Synopsis");
    page.say("/etc/osc/agent.toml");
    page.say("/etc/osc/agent.d/*.toml");
    page.section("Description");
    page.say(
        "What **oscd**(8) is told besides its command line, in TOML. Every key is optional, and no file need be \
         there. The files of the folder are read after the first file, in the order of their names, and where two \
         set one key, the later one wins. A name that begins with a dot does not count. With **--config** the file \
         and the folder beside it are others.",
    );
    page.say(
        "A key that is not known, or a value that is not the key's, is refused with the file and the line. At the \
         start that ends the daemon. At a reload (**systemctl reload oscd**, or SIGHUP) everything stays as it was, \
         and the journal, **systemctl status oscd** and **oscctl status** say why.",
    );
    page.say("A time is a number of seconds, or has units: \"90s\", \"5m\", \"1h 30m\". A size is a number of bytes, or has a unit: \"16MiB\".");
    page.section("Keys");
    page.say("Each with its default.");
    for row in KEYS {
        key(&mut page, "", row, &Config::default());
    }
    page.section("[limits]");
    page.say(
        "What one call of a plug-in may use up. A call that does not keep to it fails, and nothing else.",
    );
    for row in LIMITS {
        key(&mut page, "", row, &Limits::default());
    }
    page.section("[module_limits.\"vendor.module\"]");
    page.say("The same keys for the calls of one plug-in module; what is not set there is as in [limits].");
    for table in NAMED {
        page.section(&format!("[{}]", table.name));
        page.say(&format!(
            "{} Each key is {}; it takes {}. A change counts {}.",
            table.doc,
            table.of,
            table.what,
            table.applies.as_str()
        ));
    }
    page.section("Example");
    page.verbatim(
        "refresh_interval = \"5m\"\n\n[deadlines]\nclone = \"2h\"\n\n[interpreters]\n\"acme.raid\" = \"/opt/acme/bin/python2.7\"\n\n\
         [module_limits.\"acme.raid\"]\nmemory = \"4GiB\"",
    );
    page.section("See also");
    page.say("**oscd**(8), **oscctl**(1)");
    is_in_the_manual("oscd.toml.5", page);
}

/// The options and arguments of a command.
fn options(page: &mut Page, command: &Command) {
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_global_set()) {
        if matches!(arg.get_id().as_str(), "help" | "version") {
            continue;
        }
        let names: Vec<_> = arg
            .get_short()
            .map(|short| format!("**-{short}**"))
            .into_iter()
            .chain(arg.get_long().map(|long| format!("**--{long}**")))
            .collect();
        let takes = arg.get_action().takes_values();
        let value = arg.get_value_names().unwrap_or_default().iter().map(|name| name.to_string());
        let value = if takes { value.collect::<Vec<_>>().join(" ") } else { String::new() };
        page.item(format!("{} {value}", names.join(", ")).trim());
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let defaults = arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned());
        let defaults = if takes { defaults.collect::<Vec<_>>().join(", ") } else { String::new() };
        let known = if defaults.is_empty() { String::new() } else { format!(" [default: {defaults}]") };
        page.say(&format!("{help}{known}"));
    }
}

#[test]
fn the_daemons_options_are_in_its_page() {
    let mut page = Page::new("oscd", 8, "the storage agent of this host");
    page.section("Synopsis");
    page.say(
        "**oscd** [--config FILE] [--mountpoint DIR] [--state-dir DIR] [--plugin-dir DIR]... [--bus BUS] [--log FILTER]",
    );
    page.section("Description");
    page.say(
        "Hosts storage plug-ins, shows every storage server and element as a file tree below /osc, takes commands as \
         writes into that tree, and publishes everything on D-Bus. It runs in the foreground, as the service \
         **oscd.service**. /osc/README says how to use the tree; **oscctl**(1) is the command line.",
    );
    page.section("Options");
    options(&mut page, &Args::command());
    page.section("Signals");
    for (name, text) in [
        (
            "SIGTERM, SIGINT",
            "Stop: running operations are ended or found interrupted at the next start, and the tree is taken down, all within ten seconds.",
        ),
        ("SIGHUP", "Reload the configuration. A broken one changes nothing."),
        (
            "SIGUSR2",
            "Leave the tree mounted for the next process, where the service manager or **oscd --supervise** keeps it; \
             otherwise stop.",
        ),
    ] {
        page.item(&format!("**{name}**"));
        page.say(text);
    }
    page.section("Credentials");
    page.say("What the service manager brings (**systemd.exec**(5), LoadCredential=).");
    for (name, text) in [
        ("osc.secret-key", "What passwords in the state are sealed with, instead of secret.key."),
        (
            "osc.admin_passwd.SERVER, osc.passwd.SERVER",
            "A storage server's passwords, by its name or UUID: they go to the plug-in in place of registered ones.",
        ),
    ] {
        page.item(name);
        page.say(text);
    }
    page.section("Exit status");
    page.say("0 when told to stop; 1 when it cannot start or go on; 2 on bad usage.");
    page.section("Files");
    for (name, text) in [
        ("/etc/osc/agent.toml, /etc/osc/agent.d/*.toml", "The configuration, **oscd.toml**(5)."),
        ("/var/lib/osc", "The state: registrations, operations, and the key that passwords are sealed with."),
        ("/opt/storage-connect/plugins", "Installed plug-ins, in VENDOR/MODULE/."),
        ("/osc", "The tree."),
    ] {
        page.item(name);
        page.say(text);
    }
    page.section("See also");
    page.say("**oscctl**(1), **oscd.toml**(5)");
    is_in_the_manual("oscd.8", page);
}

/// A command and those below it, each with how it is used.
fn commands(page: &mut Page, path: &str, command: &mut Command) {
    let mut all: Vec<_> = command.get_subcommands_mut().filter(|below| below.get_name() != "help").collect();
    // Those of a group are below its heading, so those of none come first.
    all.sort_by_key(|below| below.has_subcommands());
    for below in all {
        let path = format!("{path} {}", below.get_name());
        if below.has_subcommands() {
            page.section(&below.get_about().map(ToString::to_string).unwrap_or_default());
            commands(page, &path, below);
            continue;
        }
        let usage = below.clone().bin_name(&path).render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").replace(" [OPTIONS]", "");
        let rest = usage.strip_prefix(&*path).unwrap_or(&usage).trim().replace('\n', " ");
        page.item(&format!("**{path}** {rest}"));
        page.say(&below.get_about().map(ToString::to_string).unwrap_or_default());
        page.deeper(|page| options(page, below));
        if let Some(after) = below.get_after_help() {
            page.say(&after.to_string());
        }
    }
}

#[test]
fn every_command_of_oscctl_is_in_its_page() {
    let mut page = Page::new("oscctl", 1, "administer the storage agent of this host");
    let mut cli = Cli::command();
    page.section("Synopsis");
    page.say("**oscctl** [--bus BUS] [-o table|json] COMMAND ...");
    page.section("Description");
    page.say(
        "A client of the D-Bus interface of **oscd**(8). An object is named by its UUID, a unique beginning of it, or \
         its name; an element or a file system as SERVER/NAME or SERVER NAME. An action waits for its end, and its \
         exit status is the storage server's answer.",
    );
    page.section("Options");
    for arg in cli.clone().get_arguments().filter(|arg| arg.is_global_set()) {
        let short = arg.get_short().map(|short| format!("**-{short}**, ")).unwrap_or_default();
        let value = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
        let long = arg.get_long().unwrap_or_default();
        page.item(&format!("{short}**--{long}** {}", value.unwrap_or_else(|| long.to_uppercase())));
        page.say(&arg.get_help().map(ToString::to_string).unwrap_or_default());
    }
    page.section("Commands");
    commands(&mut page, "oscctl", &mut cli);
    page.section("Exit status");
    for (status, text) in [
        ("0", "Done."),
        ("1", "The array or the plug-in said no, or the agent could not do it."),
        ("2", "Bad usage: the command line, or an unknown or ambiguous object."),
        ("3", "The agent cannot be reached."),
        ("4", "The operation is still in progress."),
    ] {
        page.item(&format!("**{status}**"));
        page.say(text);
    }
    page.section("Examples");
    page.verbatim(
        "oscctl server add osc.filearray.FileArray.FileArray demo extra_info=path=/srv/array\n\
         oscctl element create demo data --size 10GiB vol_group_name=vg0\noscctl element snapshot demo/data nightly\n\
         oscctl -o json element list demo",
    );
    page.section("See also");
    page.say("**oscd**(8), **oscd.toml**(5)");
    is_in_the_manual("oscctl.1", page);
}
