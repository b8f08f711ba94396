//! The allowed dependencies between crates.

use super::Package;

/// The crates of this workspace that each crate may import, in code that is published or run. Tests may also use
/// `alexnet-testing`.
const MAY_IMPORT: [(&str, &[&str]); 10] = [
    ("alexnet-random", &[]),
    ("alexnet-input", &[]),
    ("alexnet-kernels", &["alexnet-random"]),
    ("alexnet-model", &["alexnet-random", "alexnet-input", "alexnet-kernels"]),
    ("alexnet-data", &["alexnet-random", "alexnet-input"]),
    ("alexnet-train", &["alexnet-random", "alexnet-kernels", "alexnet-model", "alexnet-data"]),
    ("alexnet", &["alexnet-random", "alexnet-kernels", "alexnet-model", "alexnet-data", "alexnet-train"]),
    (
        "alexnet-cli",
        &["alexnet-random", "alexnet-kernels", "alexnet-model", "alexnet-data", "alexnet-train", "alexnet"],
    ),
    ("alexnet-testing", &["alexnet-random"]),
    ("xtask", &["alexnet-data"]),
];

/// Crates that must not depend on a tensor library.
const WITHOUT_CANDLE: [&str; 5] = ["alexnet-random", "alexnet-input", "alexnet-data", "alexnet-testing", "xtask"];

pub fn complaints(packages: &[Package]) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in packages {
        let Some((_, may_import)) = MAY_IMPORT.iter().find(|(name, _)| *name == package.name) else {
            complaints.push(format!("{}: xtask/src/tidy/edges.rs does not list what it may import", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let (name, dev) = (dependency.name.as_str(), dependency.kind.as_deref() == Some("dev"));
            let ours = dependency.path.is_some();
            // A crate's tests may enable all of the crate's features.
            let for_tests = dev && (name == "alexnet-testing" || name == package.name);
            if ours && !may_import.contains(&name) && !for_tests {
                let list = if may_import.is_empty() { "nothing".into() } else { may_import.join(", ") };
                complaints.push(format!("{}: may import {list}, but imports {name}", package.name));
            }
            if name.starts_with("candle") && WITHOUT_CANDLE.contains(&package.name.as_str()) {
                complaints.push(format!("{}: must not depend on a tensor library, but imports {name}", package.name));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::super::Dependency;
    use super::*;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        let dependency = |&(name, kind): &(&str, Option<&str>)| Dependency {
            name: name.into(),
            kind: kind.map(Into::into),
            req: "^0.1".into(),
            path: name.starts_with("alexnet").then(|| name.into()),
        };
        Package {
            name: name.into(),
            description: None,
            license: None,
            readme: None,
            keywords: Vec::new(),
            categories: Vec::new(),
            manifest_path: "Cargo.toml".into(),
            publish: None,
            dependencies: dependencies.iter().map(dependency).collect(),
        }
    }

    #[test]
    fn edges_of_the_house_pass() {
        let model = package("alexnet-model", &[("alexnet-kernels", None), ("candle-core", None)]);
        let data = package("alexnet-data", &[("alexnet-testing", Some("dev")), ("serde", None)]);
        assert_eq!(complaints(&[model, data]), Vec::<String>::new());
    }

    #[test]
    fn other_edges_are_named() {
        for (name, dependency, kind) in [
            ("alexnet-kernels", "alexnet-model", None),
            ("alexnet-data", "alexnet-model", None),
            ("alexnet-data", "alexnet-train", Some("dev")),
            ("alexnet-data", "candle-core", None),
            ("alexnet-model", "alexnet-testing", None),
            ("alexnet-unknown", "serde", None),
        ] {
            let found = complaints(&[package(name, &[(dependency, kind)])]);
            assert_eq!(found.len(), 1, "{name} -> {dependency}: {found:?}");
            assert!(found[0].starts_with(name), "{found:?}");
        }
    }
}
