//! Requirements for publishing a crate.

use super::Package;

pub fn complaints(packages: &[Package]) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in packages.iter().filter(|package| package.is_published()) {
        let mut complain = |what: &str| complaints.push(format!("{}: {what}", package.name));
        if package.description.as_ref().is_none_or(|text| text.trim().is_empty()) {
            complain("must have a description");
        }
        if package.license.as_deref() != Some("MIT OR Apache-2.0") {
            complain("its license must be MIT OR Apache-2.0");
        }
        if package.readme.is_none() {
            complain("must have a readme");
        }
        if package.keywords.is_empty() || package.keywords.len() > 5 {
            complain("must have one to five keywords, the maximum of the registry");
        }
        if package.categories.is_empty() {
            complain("must have categories");
        }
        for file in ["LICENSE-MIT", "LICENSE-APACHE", "README.md"] {
            if !package.folder().join(file).is_file() {
                complain(&format!("must have its own {file}; otherwise its package has none"));
            }
        }
        for dependency in &package.dependencies {
            let (name, ours) = (&dependency.name, dependency.path.is_some());
            let (dev, unversioned) = (dependency.kind.as_deref() == Some("dev"), dependency.req == "*");
            if ours && dev && !unversioned {
                complain(&format!(
                    "the dev-dependency {name} must have no version; packaging strips it only without one"
                ));
            }
            if !dev && unversioned {
                complain(&format!("must specify a version of {name}"));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::super::Dependency;
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["LICENSE-MIT", "LICENSE-APACHE", "README.md"] {
            std::fs::write(folder.path().join(file), file).unwrap();
        }
        let dependency = |name: &str, kind: Option<&str>, req: &str| Dependency {
            name: name.into(),
            kind: kind.map(Into::into),
            req: req.into(),
            path: name.starts_with("alexnet").then(|| name.into()),
        };
        let mut package = Package {
            name: "alexnet-kernels".into(),
            description: Some("Operations".into()),
            license: Some("MIT OR Apache-2.0".into()),
            readme: Some("README.md".into()),
            keywords: vec!["candle".into()],
            categories: vec!["science".into()],
            manifest_path: folder.path().join("Cargo.toml"),
            publish: None,
            dependencies: vec![
                dependency("alexnet-random", None, "^0.1"),
                dependency("alexnet-testing", Some("dev"), "*"),
            ],
        };
        assert_eq!(complaints(std::slice::from_ref(&package)), Vec::<String>::new());

        package.description = Some(" ".into());
        package.license = None;
        package.keywords = vec!["k".into(); 6];
        package.dependencies =
            vec![dependency("alexnet-random", None, "*"), dependency("alexnet-testing", Some("dev"), "^0.1")];
        std::fs::remove_file(folder.path().join("LICENSE-MIT")).unwrap();
        let found = complaints(std::slice::from_ref(&package));
        assert_eq!(found.len(), 6, "{found:?}");
        package.publish = Some(Vec::new());
        assert_eq!(complaints(&[package]), Vec::<String>::new());
    }
}
