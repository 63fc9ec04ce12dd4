//! Every command line that the design promises.

use clap::{CommandFactory, Parser};

use super::{Cli, Command, Format};

const PROMISED: &[&str] = &[
    "status",
    "doctor",
    "events",
    "events --follow",
    "plugin list",
    "plugin show osc.filearray",
    "plugin check osc.filearray",
    "plugin check ./acme/sample --only stdout,methods --junit out.xml",
    "plugin check osc.localfs --server host --device /dev/loop0 --timeout 60",
    "plugin check --list",
    "plugin reload",
    "plugin reload osc.filearray",
    "server list",
    "server show filer",
    "server add osc.filearray.FileArray.FileArray",
    "server add osc.filearray.FileArray.FileArray filer admin_host=h admin_user=u",
    "server add osc.filearray --admin-password-file - --password-file /run/p",
    "server add osc.filearray --ask-password",
    "server remove filer",
    "server remove filer --yes",
    "server refresh filer",
    "server start filer --no-wait",
    "server stop filer --timeout 5",
    "element list",
    "element list filer",
    "element show filer vol0",
    "element show filer/vol0",
    "element create filer vol1 --size 10GiB",
    "element snapshot filer/vol0 nightly",
    "element snapshot filer vol0",
    "element clone filer/vol0 copy",
    "element restore filer/vol0 nightly",
    "element split filer/copy",
    "element resize filer/vol0 20GiB",
    "element online filer/vol0",
    "element offline filer/vol0",
    "element present filer/vol0 group1 group2",
    "element unpresent filer/vol0",
    "element remove filer/vol0 --yes",
    "fs list",
    "fs show filer/home",
    "fs create filer home --size 1T --device /dev/loop0",
    "fs destroy filer/home --yes",
    "fs resize filer/home 2TiB",
    "fs mount filer/home /mnt --options ro,noatime --share-path sub",
    "fs unmount filer/home",
    "fs unmount filer/home /mnt",
    "file list filer/home",
    "file list filer/home /images --pattern a.*",
    "file create filer/home a.img --size 1GiB",
    "file clone filer/home a.img b.img",
    "file snapshot filer/home a.img",
    "file remove filer/home a.img",
    "op list",
    "op show 0191",
    "op wait 0191 --timeout 3",
    "op cancel 0191",
    "announce install osc-x 1.0-1 /opt/storage-connect/plugins/v/m v m",
    "announce upgrade osc-x 1.0-1 /opt/storage-connect/plugins/v/m v m",
    "announce erase osc-x 1.0-1 /opt/storage-connect/plugins/v/m v m",
    "call filer/vol0 snap-limits",
    "completions bash",
];

#[test]
fn every_promised_command_line_is_understood_with_every_option_of_all() {
    for line in PROMISED {
        for before in ["", "--bus session", "-o json", "--bus unix:path=/run/bus -o table"] {
            let words = ["oscctl"].into_iter().chain(before.split_whitespace()).chain(line.split(' '));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{before} {line}: {error}");
            }
        }
    }
    Cli::command().debug_assert();
}

#[test]
fn every_command_says_what_it_is_for() {
    fn walk(command: &clap::Command) {
        for sub in command.get_subcommands() {
            assert!(sub.get_about().is_some(), "{} {}", command.get_name(), sub.get_name());
            walk(sub);
        }
    }
    walk(&Cli::command());
}

#[test]
fn options_of_all_may_come_last_too() {
    let cli = Cli::try_parse_from(["oscctl", "server", "list", "-o", "json"]).expect("it parses");
    assert_eq!(cli.output, Format::Json);
}

#[test]
fn an_announcement_takes_any_words() {
    let cli = Cli::try_parse_from(["oscctl", "announce", "install", "--odd", "-o"]).expect("it parses");
    match cli.command {
        Command::Announce { words } => assert_eq!(words, ["install", "--odd", "-o"]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_contradicts_itself_is_bad_usage() {
    for line in [
        "server start",
        "element show a b c",
        "element snapshot",
        "op show",
        "server stop x --no-wait --timeout 3",
        "server list -o xml",
        "frobnicate",
    ] {
        let error = Cli::try_parse_from(["oscctl"].into_iter().chain(line.split(' '))).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn every_command_and_option_is_documented() {
    const PAGE: &str = include_str!("../../../../docs/OSCCTL.md");
    fn walk(command: &clap::Command, path: &str) {
        for sub in command.get_subcommands() {
            let path = format!("{path} {}", sub.get_name());
            if sub.has_subcommands() {
                walk(sub, &path);
                continue;
            }
            let here = [format!("`{path} "), format!("`{path}`")];
            assert!(here.iter().any(|start| PAGE.contains(start)), "{path}");
            for option in sub.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(PAGE.contains(&format!("--{option}")), "{path} --{option}");
            }
        }
    }
    walk(&Cli::command(), "oscctl");
}
