//! Every check, once: its name, what it promises, and who finds out.

use futures_util::future::BoxFuture;

use super::array::{access, copies, elements, snapshots};
use super::bench::{Bench, Verdict};
use super::files::{content, systems};
use super::server;

/// A live check.
pub type Live = for<'a> fn(&'a Bench) -> BoxFuture<'a, Verdict>;

/// How a check is made.
#[derive(Clone, Copy)]
pub enum How {
    /// By looking at the module (`statics`).
    Static,
    /// By what the agent noted (`contract`).
    Contract,
    /// On a storage server of either kind or of an array.
    Array(Live),
    /// On a storage server of a file system plug-in.
    Files(Live),
}

impl How {
    /// Its name in listings.
    pub fn kind(self) -> &'static str {
        match self {
            How::Static => "static",
            How::Contract => "agent",
            How::Array(_) => "array",
            How::Files(_) => "file system",
        }
    }

    /// Whether it is run on a storage server of a plug-in of that type.
    pub fn applies(self, plugin_type: &str) -> bool {
        match self {
            How::Static | How::Contract => false,
            How::Array(_) => plugin_type == "isa",
            How::Files(_) => plugin_type == "ifs",
        }
    }
}

/// One check.
pub struct Check {
    /// What `--only` and the reports call it.
    pub name: &'static str,
    /// What it promises.
    pub doc: &'static str,
    /// Who finds out.
    pub how: How,
}

macro_rules! how {
    (Static) => {
        How::Static
    };
    (Contract) => {
        How::Contract
    };
    ($kind:ident $run:path) => {
        How::$kind(|bench| Box::pin($run(bench)))
    };
}

macro_rules! checks {
    ($($name:literal [$($how:tt)*] $doc:literal;)*) => {
        /// Every check, in the order in which they are made.
        pub const CHECKS: &[Check] = &[$(Check { name: $name, doc: $doc, how: how!($($how)*) },)*];
    };
}

checks! {
    "layout" [Static] "The module is <vendor>/<module>/__init__.py, both named as Python imports them.";
    "indentation" [Static] "Spaces only.";
    "compiles" [Static] "Every .py compiles, and under which Python.";
    "imports" [Static] "The module imports and names its plug-ins, and under which Python.";
    "classes" [Static] "Every class that osc_isa_plugins and osc_ifs_plugins name is there and of its kind.";
    "attributes" [Static] "Class attributes and abilities are there, and of their types.";
    "methods" [Static] "Required methods are overridden; all are static and take what the API passes.";
    "version" [Static] "All classes of the module carry one version.";
    "api-version" [Static] "The API version that it requires is one the agent speaks.";
    "stdout" [Static] "Nothing is written to standard output.";
    "stdin" [Static] "Nothing is read from standard input.";
    "files" [Static] "Scratch files come from getTemporaryFile.";
    "exceptions" [Static] "No exception class is defined, and IPluginException itself is not raised.";
    "state" [Static] "Nothing is kept in globals.";
    "logger" [Static] "Logging settings are left alone.";

    "validate" [Array server::validate] "The registered record validates, and comes back the same each time.";
    "info" [Array server::info] "Record, status and capabilities can be asked for, and agree with what the agent knows.";
    "list-stable" [Array elements::stable] "Two refreshes list the same elements with the same identities.";
    "identity" [Array elements::identity] "Every element has an identity, and no two have the same.";
    "create" [Array elements::create] "A new element has the name, size and volume group asked for, and is listed.";
    "create-duplicate" [Array elements::duplicate] "A name that is taken is refused.";
    "create-impossible" [Array elements::impossible] "Sizes that cannot be are refused, and change nothing.";
    "create-concurrent" [Array elements::concurrent] "Four elements made at once are all there.";
    "remove" [Array elements::remove] "A removed element is gone, and its space is free again.";
    "resize" [Array elements::resize] "An element grows, and is not shrunk.";
    "offline-online" [Array elements::offline_online] "An element goes offline and comes back.";
    "qos" [Array elements::qos] "Each quality of service can be set, and no other.";
    "snapshot" [Array snapshots::snapshot] "A snapshot is a Snap of its parent's size, listed and known to its parent.";
    "snapshot-name" [Array snapshots::naming] "Names of snapshots are taken as custom_snap_name says.";
    "snapshot-duplicate" [Array snapshots::duplicate] "A snapshot's name that is taken is refused.";
    "snapshot-limits" [Array snapshots::limits] "Snapshot limits count what is there.";
    "snapshot-concurrent" [Array snapshots::concurrent] "Of eight snapshots at once, those that are answered are there, and no others.";
    "snapshot-multi" [Array snapshots::multi] "Snapshots of two elements at one point in time.";
    "snapshot-remove" [Array snapshots::remove] "A removed snapshot is gone, and its parent is not.";
    "restore" [Array snapshots::restore] "A restore brings back the snapshot's data, or is refused as not safe.";
    "restore-foreign" [Array snapshots::foreign] "An element is not restored from another's snapshot.";
    "clone" [Array copies::clone] "A clone is a writable element of its parent's size and content.";
    "clone-name" [Array copies::naming] "Names of clones are taken as custom_clone_name says.";
    "clone-duplicate" [Array copies::duplicate] "A clone's name that is taken is refused.";
    "clone-limits" [Array copies::limits] "Clone limits count what is there.";
    "snapclone" [Array copies::from_snapshot] "A clone can be made of a snapshot.";
    "split" [Array copies::split] "A split runs to its end, its progress never going back, and leaves the clone independent.";
    "access-groups" [Array access::groups] "Access groups are created, renamed, filled, emptied and removed.";
    "present" [Array access::present] "An element presented to this host is a device of its size, and is gone when unpresented.";
    "present-unknown" [Array access::unknown] "An access group that does not exist is refused.";
    "data" [Array access::data] "What is written to the device is read back from it, after another presentation too.";
    "unsupported" [Array elements::unsupported] "What the abilities rule out answers NoSuchOperation.";
    "untouched" [Array elements::untouched] "Nothing of all this is left, and nothing else was changed.";

    "fs-validate" [Files server::validate] "The registered record validates, and comes back the same each time.";
    "fs-info" [Files server::info] "Record, status and capabilities can be asked for, and agree with what the agent knows.";
    "fs-list-stable" [Files systems::stable] "Two refreshes list the same file systems.";
    "fs-backing-devices" [Files systems::backing] "Backing devices are told, the given one among them.";
    "fs-create" [Files systems::create] "A file system is made on the device, listed, and no larger than it.";
    "fs-create-taken" [Files systems::taken] "A device that holds a file system is refused.";
    "fs-mount" [Files systems::mount] "It is mounted where it is asked for, and its mounts are listed.";
    "fs-mount-again" [Files systems::again] "Mounting it there once more changes nothing.";
    "fs-busy" [Files systems::busy] "A mounted file system is not destroyed.";
    "fs-resize" [Files systems::resize] "It is neither shrunk nor grown beyond its device.";
    "file-create" [Files content::create] "A new file is there with its size.";
    "file-duplicate" [Files content::duplicate] "A file that exists is not created again.";
    "file-list" [Files content::listing] "Files are listed, by pattern too.";
    "file-info" [Files content::info] "A file's record tells its size; an unknown file is refused.";
    "file-escape" [Files content::escape] "Paths out of the file system are refused.";
    "file-resize" [Files content::resize] "A file gets its new size.";
    "file-snapshot" [Files content::snapshot] "A snapshot keeps the content, is listed, and can be removed.";
    "file-restore" [Files content::restore] "A restore brings the snapshot's content back.";
    "file-clone" [Files content::clone] "A clone has the content of its file, and a life of its own.";
    "file-snapclone" [Files content::from_snapshot] "A clone can be made of a snapshot.";
    "file-limits" [Files content::limits] "Snapshot and clone limits count what is there.";
    "file-concurrent" [Files content::concurrent] "Eight files made at once are all there.";
    "file-remove" [Files content::remove] "A removed file is gone, and cannot be removed again.";
    "fs-unsupported" [Files content::unsupported] "What the abilities rule out answers NoSuchOperation.";
    "fs-unmount" [Files systems::unmount] "It is unmounted; its files cannot be reached then.";
    "fs-destroy" [Files systems::destroy] "It is destroyed, gone from the list, and its device is blank again.";

    "contract" [Contract] "The agent has noted nothing wrong with what the plug-in is and answers.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());
    }

    #[test]
    fn the_sdk_knows_the_static_checks_that_the_table_names() {
        let sdk = include_str!("../../../python/osc_check.py");
        let own = ["layout", "compiles", "imports", "version", "api-version"];
        for check in CHECKS.iter().filter(|check| matches!(check.how, How::Static)) {
            let known = own.contains(&check.name) || sdk.contains(&format!("\"{}\"", check.name));
            assert!(known, "{}", check.name);
        }
    }

    #[test]
    fn every_check_is_documented() {
        let guide = include_str!("../../../../docs/OSCCTL.md");
        for check in CHECKS {
            assert!(guide.contains(&format!("`{}`", check.name)), "{}", check.name);
        }
    }
}
