//! Any sequence of changes leaves the real mount showing what the model holds, whatever the kernel had cached.

mod common;
#[path = "common/reference.rs"]
mod reference;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use common::{Mount, fake};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reference::{View, carry_out, expected, seen, steps};

struct Kernel(PathBuf);

impl View for Kernel {
    fn list(&self, dir: &str) -> Option<BTreeSet<String>> {
        let entries = fs::read_dir(self.0.join(dir)).ok()?;
        Some(entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
    }
    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.0.join(file)).ok()
    }
    fn link(&self, link: &str) -> Option<String> {
        fs::read_link(self.0.join(link)).ok().map(|target| target.to_str().unwrap().to_owned())
    }
}

#[test]
fn the_mount_shows_what_the_model_holds_after_any_sequence_of_changes() {
    let name = "the_mount_shows_what_the_model_holds_after_any_sequence_of_changes";
    let Some(mount) = Mount::new(name, fake(0, 0)) else { return };
    let kernel = Kernel(mount.root());
    let tree = mount.tree();
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    // One mount for all: each sequence begins where the last one left off, caches included.
    let result = runner.run(&steps(), |steps| {
        for step in &steps {
            match carry_out(&mount.fake, step) {
                Some(change) => tree.changed(change),
                None => {
                    tree.settle();
                    prop_assert_eq!(seen(&kernel), expected(&mount.fake));
                }
            }
        }
        tree.settle();
        prop_assert_eq!(seen(&kernel), expected(&mount.fake));
        // Nothing is told twice.
        let told = tree.record_stats().notices();
        tree.changed(fsview::Change::Everything);
        tree.settle();
        prop_assert_eq!(tree.record_stats().notices(), told);
        Ok(())
    });
    result.unwrap();
}
