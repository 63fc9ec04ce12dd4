//! Which versions go together: a plug-in's with its package's, and the API that a plug-in requires
//! with the one that the agent speaks.
//!
//! "All the plug-ins within the plug-in module must have the same version and it must exactly match
//! the RPM version" (specification, "Packaging for deployment"). Packages announce
//! `VERSION-RELEASE`, and plug-ins say `plugin_version` as `1.1.0` or `0.1.0-38`: the version has
//! to be the same text; a release that the plug-in leaves out may be any; and where both name one,
//! what the distribution appends to it (`.el5`) does not count.

use std::cmp::Ordering;

use serde_json::Value;

/// The newest version of the plug-in API that the agent speaks.
pub const API_VERSION: [u32; 3] = [1, 2, 9];

/// Whether a plug-in that says `plugin_version` can have come with a package of version
/// `announced` (`VERSION-RELEASE`).
pub fn same(plugin_version: &str, announced: &str) -> bool {
    let (own, own_release) = split(plugin_version);
    let (package, package_release) = split(announced);
    own == package
        && match (own_release, package_release) {
            (Some(own), Some(package)) => without_dist(own) == without_dist(package),
            _ => true,
        }
}

/// Version and release; an RPM version holds no hyphen.
fn split(text: &str) -> (&str, Option<&str>) {
    let text = text.trim();
    text.split_once('-').map_or((text, None), |(version, release)| (version, Some(release)))
}

/// A release without its distribution tag: `4.el5` is `4`, `1.2.el8_4` is `1.2`.
fn without_dist(release: &str) -> &str {
    let tag = release
        .match_indices('.')
        .find(|(at, _)| release[at + 1..].starts_with(|letter: char| letter.is_ascii_alphabetic()));
    tag.map_or(release, |(at, _)| &release[..at])
}

/// What is wrong with the versions of a module's plug-ins (implementation name and
/// `plugin_version`), as far as it is known without a package: they differ from each other.
pub fn disagreement<'a>(
    module: &str,
    versions: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Option<String> {
    let mut versions = versions.into_iter();
    let (first, version) = versions.next()?;
    let (other, differing) = versions.find(|(_, other)| other.trim() != version.trim())?;
    Some(format!(
        "the plug-ins of {module} carry different versions: {first} says {version}, {other} says {differing}; \
         a module has one version, that of its package"
    ))
}

/// An API version as a class attribute gives it: `['1','2','9']`, `"1,2,9"`, `"1.2.9"`.
pub fn api(value: &Value) -> Option<Vec<u32>> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(word).collect::<Vec<_>>().join("."),
        _ => return None,
    };
    text.split(['.', ',']).map(|part| part.trim().parse().ok()).collect()
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Why a plug-in with this `required_api_vers` cannot be served, if it cannot. A list of whole
/// versions (`["1.2.7", "1.2.9"]`) means that each of them will do.
pub fn beyond(required: &Value) -> Option<String> {
    let whole = |part: &Value| part.as_str().is_some_and(|text| text.contains(['.', ',']));
    let newer = |version: &Value| api(version).is_some_and(|version| compare(&version).is_gt());
    let too_new = match required {
        Value::Array(choices) if !choices.is_empty() && choices.iter().all(whole) => {
            choices.iter().all(newer)
        }
        one => newer(one),
    };
    too_new.then(|| {
        let required = match required {
            Value::Array(parts) if parts.iter().all(whole) => {
                parts.iter().map(word).collect::<Vec<_>>().join(", ")
            }
            one => dotted(&api(one).unwrap_or_default()),
        };
        format!(
            "it requires version {required} of the plug-in API, and the agent speaks {}",
            dotted(&API_VERSION)
        )
    })
}

/// How a version stands to the agent's; parts that are left out are zero.
fn compare(version: &[u32]) -> Ordering {
    let length = version.len().max(API_VERSION.len());
    let part = |of: &[u32], at: usize| of.get(at).copied().unwrap_or(0);
    let order = (0..length).map(|at| part(version, at).cmp(&part(&API_VERSION, at)));
    order.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn dotted(version: &[u32]) -> String {
    version.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plug_in_goes_with_the_package_of_its_version() {
        for (plugin, package) in [
            ("1.1.0", "1.1.0-4"),
            ("1.1.0", "1.1.0-4.el5"),
            ("0.1.0-38", "0.1.0-38"),
            ("0.1.0-38", "0.1.0-38.el5"),
            ("0.1.0-38.el5", "0.1.0-38"),
            ("0.1.0-38.el5", "0.1.0-38.el6_4"),
            ("1.0.0-1.2", "1.0.0-1.2.fc40"),
            (" 1.1.0 ", "1.1.0-1"),
            ("2.0~rc1", "2.0~rc1-1"),
        ] {
            assert!(same(plugin, package), "{plugin} {package}");
        }
    }

    #[test]
    fn and_with_no_other() {
        for (plugin, package) in [
            ("1.1.0", "1.1.1-4"),
            ("1.1", "1.1.0-4"),
            ("1.10", "1.1-1"),
            ("0.1.0-38", "0.1.0-39"),
            ("0.1.0-38", "0.1.0-38.1"),
            ("0.1.0-38", "0.1.1-38"),
            ("", "1.0-1"),
        ] {
            assert!(!same(plugin, package), "{plugin} {package}");
        }
    }

    #[test]
    fn plug_ins_of_a_module_that_differ_are_both_named() {
        let one = [("a.b.C.C", "1.0"), ("a.b.D.D", "1.0")];
        assert_eq!(disagreement("a.b", one), None);
        assert_eq!(disagreement("a.b", []), None);
        let text = disagreement("a.b", [("a.b.C.C", "1.0"), ("a.b.D.D", "1.1")]).unwrap();
        for word in ["a.b.C.C says 1.0", "a.b.D.D says 1.1"] {
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn an_api_version_is_read_in_every_spelling() {
        for spelling in
            [json!(["1", "2", "9"]), json!([1, 2, 9]), json!("1,2,9"), json!("1.2.9"), json!("1, 2, 9")]
        {
            assert_eq!(api(&spelling), Some(vec![1, 2, 9]), "{spelling}");
        }
        for nonsense in [json!(null), json!("new"), json!(["1", "x"]), json!(""), json!([])] {
            assert_eq!(api(&nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn only_an_api_above_the_agents_is_refused() {
        for served in [
            json!(["1", "2", "7"]),
            json!(["1", "2", "9"]),
            json!("1,2,9"),
            json!(["1"]),
            json!("1.2.9.0"),
            json!(["1.2.7", "1.3.0"]),
            json!(null),
            json!([]),
        ] {
            assert_eq!(beyond(&served), None, "{served}");
        }
        for (refused, named) in [
            (json!(["1", "3", "0"]), "1.3.0"),
            (json!("1,2,10"), "1.2.10"),
            (json!(["2"]), "version 2 "),
            (json!(["1", "2", "9", "1"]), "1.2.9.1"),
            (json!(["1.3.0", "1.4"]), "1.3.0, 1.4"),
        ] {
            let text = beyond(&refused).unwrap_or_else(|| panic!("{refused} is served"));
            assert!(text.contains(named) && text.contains("1.2.9"), "{text}");
        }
    }
}
