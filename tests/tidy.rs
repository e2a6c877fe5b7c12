//! Rules of the house that neither the compiler nor clippy knows, and those that must not depend on
//! a lint being looked at.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The longest a file may be.
const LONGEST: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> io::Result<String> {
    fs::read_to_string(root().join(path))
}

/// The Rust files below a folder of the project, by their paths in it; none where it is not there.
fn sources(folder: &str) -> io::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
                found.push((name, fs::read_to_string(&path)?));
            }
        }
    }
    Ok(found)
}

/// The lines that are code, with their numbers: those of the unit tests, and comments, left out.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").enumerate();
    lines.map(|(at, line)| (at + 1, line)).filter(|(_, line)| !is_comment(line))
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// The names that `text` consists of, Rust's or not.
fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').collect()
}

/// Fails with the whole list, so that one run shows all there is to do.
#[track_caller]
fn assert_none(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn there_are_sources_to_look_at() -> io::Result<()> {
    assert!(sources("src")?.len() > 20);
    assert!(sources("tests")?.len() > 5);
    Ok(())
}

#[test]
fn every_file_says_what_it_is_about() -> io::Result<()> {
    let mut broken = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        for (name, text) in sources(folder)? {
            let says = text.starts_with("//!") || text.contains("#![doc = include_str!");
            if !says {
                broken.push(format!("{name}: begins without //!"));
            }
        }
    }
    assert_none(&broken);
    Ok(())
}

#[test]
fn no_file_is_longer_than_a_head_can_hold() -> io::Result<()> {
    let mut broken = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        for (name, text) in sources(folder)? {
            let lines = text.lines().count();
            if lines > LONGEST {
                broken.push(format!("{name}: {lines} lines, and {LONGEST} are the most"));
            }
        }
    }
    assert_none(&broken);
    Ok(())
}

#[test]
fn unsafe_code_stands_in_sys_alone_and_says_why_it_is_sound() -> io::Result<()> {
    let mut broken = Vec::new();
    let mut seen = 0;
    for (name, text) in sources("src")? {
        let lines: Vec<&str> = text.lines().collect();
        for (number, _) in code(&text).filter(|(_, line)| words(line).contains("unsafe")) {
            seen += 1;
            if !name.starts_with("src/sys/") {
                broken.push(format!("{name}:{number}: unsafe outside src/sys"));
            }
            let above = lines[..number - 1].iter().rev().take_while(|line| is_comment(line));
            if !above.into_iter().any(|line| line.contains("// SAFETY: ")) {
                broken.push(format!("{name}:{number}: unsafe without a SAFETY comment above it"));
            }
        }
    }
    assert!(seen > 0, "this test no longer finds what it looks for");
    assert_none(&broken);
    Ok(())
}

#[test]
fn the_library_leaves_nothing_undone_and_panics_on_nobody() -> io::Result<()> {
    let forbidden =
        ["todo!", "unimplemented!", "dbg!", "println!", ".unwrap()", ".expect(", "FIXME"];
    let mut broken = Vec::new();
    for (name, text) in sources("src")? {
        for (number, line) in code(&text) {
            // What is evaluated by the compiler panics there.
            let constant = line.starts_with("const ");
            for word in forbidden.iter().filter(|word| line.contains(**word) && !constant) {
                broken.push(format!("{name}:{number}: {word}"));
            }
        }
    }
    assert_none(&broken);
    Ok(())
}

#[test]
fn no_test_waits_for_time_to_pass() -> io::Result<()> {
    // Put together, so that it is not found here.
    let forbidden = [concat!("sle", "ep("), concat!("park_time", "out(")];
    let mut broken = Vec::new();
    for folder in ["tests", "src"] {
        for (name, text) in sources(folder)? {
            let lines = text.lines().enumerate().filter(|(_, line)| !is_comment(line));
            for (at, _) in lines.filter(|(_, line)| forbidden.iter().any(|f| line.contains(f))) {
                broken.push(format!("{name}:{}: wait for what is to happen instead", at + 1));
            }
        }
    }
    assert_none(&broken);
    Ok(())
}

/// The names that stand behind `keyword` at the beginning of a line.
fn declared<'a>(text: &'a str, keyword: &'a str) -> impl Iterator<Item = &'a str> {
    let names = text.lines().filter_map(move |line| line.strip_prefix(keyword));
    names.filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next())
}

#[test]
fn the_readme_names_the_twelve_servers() -> io::Result<()> {
    let aliases = read("src/alias.rs")?;
    let aliases: Vec<&str> = declared(&aliases, "pub type ").collect();
    assert_eq!(aliases.len(), 12, "{aliases:?}");
    let readme = read("README.md")?;
    let named = words(&readme);
    let missing: Vec<_> = aliases.into_iter().filter(|alias| !named.contains(alias)).collect();
    assert!(missing.is_empty(), "the README does not name {missing:?}");
    Ok(())
}

#[test]
fn every_public_type_is_under_contract() -> io::Result<()> {
    let (root, contract) = (read("src/lib.rs")?, read("tests/contract.rs")?);
    let (exported, promised) = (words(&root), words(&contract));
    let mut broken = Vec::new();
    for (file, text) in sources("src")? {
        for keyword in ["pub struct ", "pub enum "] {
            for name in declared(&text, keyword).filter(|name| exported.contains(name)) {
                if !promised.contains(name) {
                    broken.push(format!("{file}: {name} is not in tests/contract.rs"));
                }
            }
        }
    }
    assert_none(&broken);
    Ok(())
}

#[test]
fn the_changelog_knows_this_version() -> io::Result<()> {
    let changelog = read("CHANGELOG.md")?;
    let version = concat!("## [", env!("CARGO_PKG_VERSION"), "]");
    let known = |line: &str| line.starts_with("## [Unreleased]") || line.starts_with(version);
    assert!(changelog.lines().any(known), "neither [Unreleased] nor {version}");
    Ok(())
}
