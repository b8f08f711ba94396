//! `cargo xtask tidy`: the project rules that the compiler does not check.
//!
//! Each rule is a function from the output of `cargo metadata` and the files to a list of complaints.

mod circles;
mod edges;
mod files;
mod manifest;
mod paths;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

/// A package of this workspace, from `cargo metadata`.
#[derive(Deserialize)]
struct Package {
    name: String,
    description: Option<String>,
    license: Option<String>,
    readme: Option<String>,
    keywords: Vec<String>,
    categories: Vec<String>,
    manifest_path: std::path::PathBuf,
    /// `None`: publishable to any registry. Empty: not publishable.
    publish: Option<Vec<String>>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `None` for a normal dependency, otherwise `dev` or `build`.
    kind: Option<String>,
    /// `*` if the manifest contains only a path.
    req: String,
    path: Option<std::path::PathBuf>,
}

impl Package {
    fn is_published(&self) -> bool {
        self.publish.is_none()
    }

    fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

pub fn run(root: &Path) -> anyhow::Result<()> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let packages = serde_json::from_slice::<Metadata>(&output.stdout).context("cargo metadata")?.packages;
    let mut complaints = edges::complaints(&packages);
    complaints.extend(manifest::complaints(&packages));
    complaints.extend(files::complaints(root)?);
    complaints.extend(circles::complaints(&packages)?);
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    if !complaints.is_empty() {
        bail!("{} project rule(s) broken; ARCHITECTURE.md explains the reasons for them", complaints.len());
    }
    println!("tidy: {} packages in order", packages.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_repository_follows_its_rules() {
        super::run(&crate::root()).unwrap();
    }
}
