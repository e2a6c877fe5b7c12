//! What comes of a run: tables on stdout, and a directory with the same tables as Markdown, the
//! pictures, and one page that has both.

mod axis;
mod chart;
mod page;
mod pictures;
mod table;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};

use crate::measure::Kind;
use crate::measure::counts::Counts;
use crate::measure::living::Alive;
use crate::measure::rates::Cell;
use crate::measure::sequence::Part;
use crate::support::Fallible;

/// All that has been measured; what has not is empty.
#[derive(Debug, Default)]
pub struct Results {
    /// What it was measured on, when and how.
    pub about: Vec<String>,
    pub cells: Vec<Cell>,
    pub alive: Vec<Alive>,
    pub sequence: Vec<(Kind, Vec<Part>)>,
    pub counts: Vec<Counts>,
}

/// Prints the tables, writes the files, and returns where the page is.
pub fn write(results: &Results) -> Fallible<PathBuf> {
    let tables = tables::all(results);
    let groups = pictures::all(results)?;
    let mut markdown = String::from("# What was measured\n\n");
    for line in &results.about {
        markdown += &format!("* {line}\n");
    }
    for table in &tables {
        markdown += &format!("\n{}", table.markdown());
    }
    println!("{markdown}");
    // Cargo's own directory for what benchmarks leave is beside it.
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    fs::create_dir_all(&directory)?;
    for entry in fs::read_dir(&directory)? {
        let path = entry?.path();
        // Those of a run that measured something else.
        if path.extension().is_some_and(|extension| extension == "svg") {
            fs::remove_file(path)?;
        }
    }
    fs::write(directory.join("report.md"), &markdown)?;
    for figure in groups.iter().flat_map(|group| &group.figures) {
        fs::write(directory.join(&figure.file), &figure.svg)?;
    }
    let path = directory.join("report.html");
    fs::write(&path, page::of(&results.about, &tables, &groups))?;
    Ok(path)
}
