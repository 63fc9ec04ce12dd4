//! RPM packages: built with `rpmbuild`, installed with `rpm --root` into a root of the test's own, where their scriptlets run
//! as they would on a host.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::project;
use crate::shell::{Ran, run};

/// What a root has to run scriptlets with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Userland {
    /// A static busybox: a shell and the small tools, no Python.
    Busybox,
    /// This host's own, Python 3 included.
    Host,
}

/// A directory that `rpm --root` takes for a whole system.
pub struct Root {
    home: tempfile::TempDir,
    userland: Userland,
}

/// A plug-in package to build from the template.
#[derive(Clone, Debug)]
pub struct Spec<'a> {
    /// The plug-in module.
    pub module: &'a str,
    /// The package's version.
    pub version: &'a str,
    /// `plugin_version` of the class.
    pub plugin_version: &'a str,
    /// The package's release.
    pub release: &'a str,
}

impl Root {
    /// An empty system with the agent's package (`osc-plugin-manager`) installed, whose announce commands are the files in
    /// `announce`.
    ///
    /// # Panics
    /// When a command fails.
    pub fn new(userland: Userland, announce: &Path) -> Root {
        let home = tempfile::Builder::new().prefix("osc-rpm.").tempdir_in("/tmp").expect("/tmp is writable");
        let root = Root { home, userland };
        root.furnish();
        root.rpm(["--initdb"]).ok();
        let spec = root.home.path().join("osc-plugin-manager.spec");
        std::fs::write(&spec, MANAGER).expect("the test's directory can be written");
        let announce = format!("announce {}", announce.display());
        root.build(&spec, root.home.path(), &["--define", &announce]);
        root.rpm(["-i".as_ref(), root.package("osc-plugin-manager-1.2.9-1").as_os_str()]).ok();
        root
    }

    fn furnish(&self) {
        let path = self.path();
        for dir in ["tmp", "var/tmp", "dev", "run/dbus", "var/lib/rpm", "etc"] {
            std::fs::create_dir_all(path.join(dir)).expect("the test's directory can be written");
        }
        std::os::unix::fs::symlink("../run", path.join("var/run"))
            .expect("the test's directory can be written");
        run(Command::new("cp").args(["-a", "/dev/null"]).arg(path.join("dev"))).ok();
        match self.userland {
            Userland::Busybox => {
                std::fs::create_dir_all(path.join("bin")).expect("the test's directory can be written");
                std::fs::copy("/bin/busybox", path.join("bin/busybox")).expect("the test needs busybox");
                let applets = "sh cat chmod find grep ls logger mkdir rm rmdir timeout true";
                for applet in applets.split(' ') {
                    std::os::unix::fs::symlink("busybox", path.join("bin").join(applet))
                        .expect("the test's directory can be written");
                }
            }
            Userland::Host => {
                std::fs::create_dir_all(path.join("usr")).expect("the test's directory can be written");
                for (name, target) in
                    [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")]
                {
                    std::os::unix::fs::symlink(target, path.join(name))
                        .expect("the test's directory can be written");
                }
            }
        }
    }

    /// The root.
    pub fn path(&self) -> PathBuf {
        self.home.path().join("root")
    }

    /// A path in it.
    pub fn join(&self, path: &str) -> PathBuf {
        self.path().join(path.trim_start_matches('/'))
    }

    /// Runs `rpm` on it.
    pub fn rpm<A: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ran {
        // A mount namespace of its own: what is mounted goes when the command ends, however it does.
        let line = match self.userland {
            Userland::Busybox => "root=$1; shift; exec rpm --root \"$root\" --dbpath /var/lib/rpm \"$@\"",
            Userland::Host => {
                "root=$1; shift; mount --bind -o ro /usr \"$root/usr\" && \
                 exec rpm --root \"$root\" --dbpath /var/lib/rpm \"$@\""
            }
        };
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", line, "sh"]).arg(self.path()).args(args);
        run(&mut command)
    }

    /// Builds a plug-in's package from the template and returns what it made: the plug-in's, and the one that requires.
    ///
    /// # Panics
    /// When it cannot be built.
    pub fn build_plugin(&self, spec: &Spec<'_>) -> (PathBuf, PathBuf) {
        let folder = self.home.path().join(format!("{}-{}-{}", spec.module, spec.version, spec.release));
        let template = project().join("docs/plugin-template");
        run(Command::new("cp").arg("-r").arg(&template).arg(&folder)).ok();
        std::fs::rename(folder.join("acme/sample"), folder.join("acme").join(spec.module))
            .or_else(|error| if spec.module == "sample" { Ok(()) } else { Err(error) })
            .expect("the template's module can be renamed");
        let edit = |path: PathBuf, edits: &[(&str, String)]| {
            let mut text = std::fs::read_to_string(&path).expect("the template has this file");
            for (from, to) in edits {
                assert!(text.contains(from), "{} holds no {from:?}", path.display());
                text = text.replace(from, to);
            }
            std::fs::write(path, text).expect("the test's directory can be written");
        };
        let module = folder.join("acme").join(spec.module);
        edit(module.join("__init__.py"), &[("acme.sample", format!("acme.{}", spec.module))]);
        let own = format!("plugin_version = \"{}\"", spec.plugin_version);
        edit(module.join("Shelf.py"), &[("plugin_version = \"1.0.0\"", own)]);
        let file = folder.join("osc-acme-sample.spec");
        edit(
            file.clone(),
            &[
                ("plugin_module  sample", format!("plugin_module  {}", spec.module)),
                ("plugin_version 1.0.0", format!("plugin_version {}", spec.version)),
                ("plugin_release 1\n", format!("plugin_release {}\n", spec.release)),
            ],
        );
        self.build(&file, &folder, &[]);
        let named = |prefix: &str| {
            self.package(&format!("{prefix}-acme-{}-{}-{}", spec.module, spec.version, spec.release))
        };
        (named("osc"), named("osc-requirer"))
    }

    fn build(&self, spec: &Path, folder: &Path, defines: &[&str]) {
        let topdir = format!("_topdir {}", self.home.path().join("rpmbuild").display());
        let mut command = Command::new("rpmbuild");
        command.args(["-bb", "--quiet", "--build-in-place", "--define", &topdir]).args(defines).arg(spec);
        run(command.current_dir(folder)).ok();
    }

    fn package(&self, name: &str) -> PathBuf {
        let path = self.home.path().join("rpmbuild/RPMS/noarch").join(format!("{name}.noarch.rpm"));
        assert!(path.is_file(), "{} was not built", path.display());
        path
    }

    /// Every path below one in the root, sorted.
    pub fn tree(&self, below: &str) -> Vec<String> {
        let found =
            run(Command::new("find").arg(self.join(below)).args(["-printf", "%P\n"]).env("LC_ALL", "C"));
        let mut paths: Vec<String> =
            found.stdout.lines().filter(|line| !line.is_empty()).map(Into::into).collect();
        paths.sort();
        paths
    }
}

/// Stands for the packages of the agent and of the system below it: what plug-ins require, and the directories and commands that
/// are the agent's.
const MANAGER: &str = r#"
%global __os_install_post %{nil}
AutoReqProv: no
Name: osc-plugin-manager
Version: 1.2.9
Release: 1
Summary: The agent
License: Apache-2.0
BuildArch: noarch
Provides: /bin/sh
Provides: coreutils
%description
The agent, as far as plug-ins know it.
%install
install -d -m 0755 %{buildroot}/opt/storage-connect/plugins %{buildroot}/opt/storage-connect/bin
for action in install upgrade erase; do
    install -m 0755 %{announce} %{buildroot}/opt/storage-connect/bin/announce_$action
done
%files
/opt/storage-connect
"#;
