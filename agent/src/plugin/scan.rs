//! What is installed: `<plugin-dir>/<vendor>/<plugin-module>/__init__.py`.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Larger files are told apart by size and time alone.
const HASHED_BYTES: u64 = 8 << 20;

/// Directories nested deeper than this are not a plug-in's.
const DEPTH: usize = 12;

/// Where a module is, and which content it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The plug-in directory.
    pub dir: PathBuf,
    /// Stands for the content of the module's files.
    pub fingerprint: u64,
    /// Later plug-in directories that hold a module of the same name; these are not used.
    pub shadowed: Vec<PathBuf>,
}

/// Every module (`vendor.module`) below `dirs`; the first directory that has one wins.
pub fn scan(dirs: &[PathBuf]) -> BTreeMap<String, Source> {
    let mut found: BTreeMap<String, Source> = BTreeMap::new();
    for dir in dirs {
        for vendor in packages(dir) {
            for module in packages(&dir.join(&vendor)) {
                let folder = dir.join(&vendor).join(&module);
                if !folder.join("__init__.py").is_file() {
                    continue;
                }
                let name = format!("{vendor}.{module}");
                match found.get_mut(&name) {
                    Some(first) => first.shadowed.push(dir.clone()),
                    None => {
                        let source = Source {
                            dir: dir.clone(),
                            fingerprint: fingerprint(&folder),
                            shadowed: Vec::new(),
                        };
                        found.insert(name, source);
                    }
                }
            }
        }
    }
    found
}

/// Whether a change of a file of this name can mean anything: editors, packages and interpreters
/// leave others beside the real ones.
pub fn counts(name: &str) -> bool {
    let ignored_end = [".pyc", ".pyo", "~", ".swp", ".log"].iter().any(|end| name.ends_with(end));
    // rpm writes `name;5e2f0a01` and renames it.
    !(ignored_end || name.starts_with('.') || name == "__pycache__" || name.contains(';'))
}

/// The names of directories that Python could import.
fn packages(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = entries(dir)
        .into_iter()
        .filter(|name| {
            let mut letters = name.chars();
            letters.next().is_some_and(|first| first.is_ascii_alphabetic())
                && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        })
        .filter(|name| dir.join(name).is_dir())
        .collect();
    names.sort();
    names
}

/// The names in a directory that count, sorted.
fn entries(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| counts(name)).collect();
    names.sort();
    names
}

fn fingerprint(folder: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    add(folder, DEPTH, &mut hasher);
    hasher.finish()
}

fn add(folder: &Path, depth: usize, hasher: &mut DefaultHasher) {
    for name in entries(folder) {
        let path = folder.join(&name);
        name.hash(hasher);
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() && depth > 0 => add(&path, depth - 1, hasher),
            Ok(found) if found.is_file() => {
                found.len().hash(hasher);
                let mut content = Vec::new();
                let read = fs::File::open(&path).and_then(|f| f.take(HASHED_BYTES).read_to_end(&mut content));
                match read {
                    Ok(_) if found.len() <= HASHED_BYTES => content.hash(hasher),
                    _ => found.modified().ok().hash(hasher),
                }
            }
            _ => {}
        }
    }
    // So that a/b and a beside b differ.
    "/".hash(hasher);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn modules_are_found_where_the_specification_puts_them() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["acme/disks/__init__.py", "acme/nas/__init__.py", "acme/__init__.py", "acme/docs/readme"]
        {
            write(dir.path().join(name), "");
        }
        write(dir.path().join("bad-name/disks/__init__.py"), "");
        let missing = dir.path().join("missing");
        let found = scan(&[missing, dir.path().into()]);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["acme.disks", "acme.nas"]);
    }

    #[test]
    fn the_first_directory_wins_and_knows_the_others() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for dir in [&first, &second] {
            write(dir.path().join("acme/disks/__init__.py"), "");
        }
        let found = scan(&[first.path().into(), second.path().into()]);
        assert_eq!(found["acme.disks"].dir, first.path());
        assert_eq!(found["acme.disks"].shadowed, [second.path()]);
    }

    #[test]
    fn only_content_makes_another_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        let module = dir.path().join("acme/disks");
        write(module.join("__init__.py"), "a = 1\n");
        let print = || scan(&[dir.path().into()])["acme.disks"].fingerprint;
        let first = print();
        write(module.join("__pycache__/x.cpython-311.pyc"), "compiled");
        write(module.join("x.pyc"), "compiled");
        write(module.join("__init__.py"), "a = 1\n");
        assert_eq!(print(), first);
        write(module.join("lib/y.py"), "");
        let second = print();
        write(module.join("lib/y.py"), "1");
        assert!(second != first && print() != second);
    }
}
