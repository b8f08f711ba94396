//! The dependencies between the files of a crate must not be circular.
//!
//! A file depends on the files from which it imports or whose items it uses by path; re-exports are resolved to the defining
//! file. Dependencies in both directions between a folder's `mod.rs` and the files below it are not a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::Package;
use super::paths::{Paths, paths};

/// Allowed circles: the crate, two files, the reason.
const KNOWN: [(&str, [&str; 2], &str); 1] = [(
    "alexnet-kernels",
    ["conv2d::cpu", "conv2d::weight_gradient"],
    "the fast path calls the gradient of the weights, which reads the image through the fast path's `input_frame`",
)];

/// The path of a module as names; empty for the crate root.
type Module = Vec<String>;

pub fn complaints(packages: &[Package]) -> anyhow::Result<Vec<String>> {
    let mut complaints = Vec::new();
    for package in packages {
        let source = package.folder().join("src");
        if !source.is_dir() {
            continue;
        }
        let mut modules = BTreeMap::new();
        read(&source, &source, &mut modules)?;
        for circle in circles(&modules, &package.name) {
            let names: Vec<_> = circle.iter().map(|module| module.join("::")).collect();
            complaints.push(format!(
                "{}: the dependencies of files must not be circular: {}",
                package.name,
                names.join(" -> ")
            ));
        }
    }
    Ok(complaints)
}

/// Reads the files below `folder`, except tests.
fn read(source: &Path, folder: &Path, modules: &mut BTreeMap<Module, Paths>) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let entries: std::io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    for path in entries? {
        if path.is_dir() {
            read(source, &path, modules)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let below = path.strip_prefix(source).unwrap_or(&path).with_extension("");
            let mut module: Module = below.iter().map(|name| name.to_string_lossy().into_owned()).collect();
            if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
                module.pop();
            }
            modules.insert(module, paths(&text));
        }
    }
    Ok(())
}

/// The circles between a crate's modules, each with the same module first and last.
fn circles(modules: &BTreeMap<Module, Paths>, package: &str) -> Vec<Vec<Module>> {
    let known = |from: &Module, to: &Module| {
        let names = [from.join("::"), to.join("::")];
        KNOWN.iter().any(|(of, pair, _)| *of == package && pair.iter().all(|name| names.iter().any(|n| n == name)))
    };
    let mut edges: BTreeMap<&Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, paths) in modules {
        let imports = paths.imports.iter().map(|(path, _)| path);
        let needs = imports.chain(&paths.others).filter_map(|path| resolve(modules, module, path, 0));
        // Imports from the modules that contain this one are between child and parent.
        let needs = needs.filter(|other| !module.starts_with(other) && !known(module, other));
        edges.insert(module, needs.collect());
    }
    let (mut found, mut done) = (Vec::new(), BTreeSet::new());
    for module in modules.keys() {
        follow(&edges, module, &mut Vec::new(), &mut done, &mut found);
    }
    found
}

/// Depth-first search from `module`, which was reached through `way`; records a circle when it returns to a module in `way`.
fn follow<'a>(
    edges: &'a BTreeMap<&Module, BTreeSet<Module>>,
    module: &'a Module,
    way: &mut Vec<&'a Module>,
    done: &mut BTreeSet<&'a Module>,
    found: &mut Vec<Vec<Module>>,
) {
    if let Some(start) = way.iter().position(|before| *before == module) {
        found.push(way[start..].iter().copied().chain([module]).cloned().collect());
    } else if !done.contains(module) {
        way.push(module);
        for next in edges.get(module).into_iter().flatten() {
            follow(edges, next, way, done, found);
        }
        way.pop();
        done.insert(module);
    }
}

/// The module that defines the item `path`, as written in `from`; `None` if it is in another crate.
fn resolve(modules: &BTreeMap<Module, Paths>, from: &Module, path: &[String], depth: usize) -> Option<Module> {
    let child = |module: &Module, name: &String| {
        let child: Module = module.iter().chain([name]).cloned().collect();
        modules.contains_key(&child).then_some(child)
    };
    let imported = |module: &Module, name: &String| {
        let paths = modules.get(module)?;
        paths.imports.iter().find(|(path, known)| known == name && path.len() > 1).map(|(path, _)| path)
    };
    let (mut module, mut rest) = (from.clone(), path);
    match path.first().map(String::as_str)? {
        "crate" => (module, rest) = (Vec::new(), &path[1..]),
        "self" => rest = &path[1..],
        "super" => {
            while let [first, others @ ..] = rest
                && first == "super"
            {
                module.pop();
                rest = others;
            }
        }
        _ if child(from, &path[0]).is_some() || imported(from, &path[0]).is_some() => {}
        _ => return None,
    }
    while let [name, others @ ..] = rest {
        if let Some(child) = child(&module, name) {
            (module, rest) = (child, others);
        } else if let Some(import) = imported(&module, name).filter(|import| depth < 16 && *import != path) {
            let path: Vec<String> = import.iter().chain(others).cloned().collect();
            return resolve(modules, &module, &path, depth + 1);
        } else {
            break;
        }
    }
    Some(module)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let module = |name: &str| name.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let modules = files.iter().map(|(name, text)| (module(name), paths(text))).collect();
        let circles = circles(&modules, "x");
        circles.iter().map(|circle| circle.iter().map(|m| m.join("::")).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn files_in_an_order_pass() {
        let lib = ("", "mod a; mod b; mod c; pub use b::B; pub use c::d::D;");
        let files =
            [lib, ("a", "use crate::{B, D}; use std::fs;"), ("b", "use crate::c::E;"), ("c", "mod d; use d::D;")];
        // A child imports from its parent, and the parent from the child.
        let child = ("c::d", "use super::E;");
        assert_eq!(found(&[&files[..], &[child]].concat()), Vec::<String>::new());
    }

    #[test]
    fn circles_are_named() {
        let lib = ("", "mod a; mod b; mod c; pub use a::A; pub use b::B; pub use c::d::D;");
        assert_eq!(found(&[lib, ("a", "use crate::B;"), ("b", "fn f() -> crate::A {}")]), ["a b a"]);
        assert_eq!(found(&[lib, ("a", "use super::b; fn f() { b::g() }"), ("b", "use crate::a;")]), ["a b a"]);
        // Through a re-export, from a child back to its parent.
        let through = [lib, ("a", "use crate::c::E;"), ("c", "mod d; use d::D;"), ("c::d", "use crate::A;")];
        assert_eq!(found(&through), ["a c c::d a"]);
        // Between two children of one parent.
        let children = [lib, ("c", "mod d; mod e;"), ("c::d", "use super::e::E;"), ("c::e", "use super::d::D;")];
        assert_eq!(found(&children), ["c::d c::e c::d"]);
        // Dependencies of tests do not count.
        let tests = [lib, ("a", "use crate::B;"), ("b", "#[cfg(test)] mod tests { use crate::A; }")];
        assert_eq!(found(&tests), Vec::<String>::new());
    }
}
