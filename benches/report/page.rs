//! One page that a person opens: everything is in it, and nothing is fetched.

use super::pictures::{Figure, Group};
use super::table::{Table, escaped};

const STYLE: &str = "
  :root { color-scheme: light; }
  body { margin: 0 auto; max-width: 88rem; padding: 1rem; background: #fff; color: #222;
         font: 16px/1.5 system-ui, sans-serif; }
  h1, h2 { line-height: 1.2; }
  p, ul { max-width: 46rem; }
  .figures { display: grid; gap: 1rem;
             grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); }
  figure { margin: 0; border: 1px solid #ddd; border-radius: 4px; padding: .5rem;
           max-width: 42rem; }
  figure svg { display: block; width: 100%; height: auto; }
  figcaption { font-weight: 600; }
  .wide { overflow-x: auto; }
  table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
  th, td { padding: .2rem .6rem; text-align: right; white-space: nowrap;
           border-bottom: 1px solid #ddd; }
  th { white-space: normal; vertical-align: bottom; border-bottom-color: #222; }
  .word { text-align: left; }
";

/// The page; `about` says what was measured on what.
pub fn of(about: &[String], tables: &[Table], groups: &[Group]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>socketserver: what was measured</title>\n<style>{STYLE}</style>\n\
         <h1>socketserver: what was measured</h1>\n<ul>\n"
    );
    for line in about {
        page += &format!("<li>{}</li>\n", escaped(line));
    }
    page += "</ul>\n";
    for Group { title, figures } in groups {
        page += &format!("<h2>{title}</h2>\n<div class=\"figures\">\n");
        for Figure { caption, svg, .. } in figures {
            let caption = escaped(caption);
            page += &format!("<figure><figcaption>{caption}</figcaption>\n{svg}</figure>\n");
        }
        page += "</div>\n";
    }
    // The one that says most comes first here.
    for table in tables.iter().rev() {
        page += &format!("<h2>{}</h2>\n{}", table.title, table.html());
    }
    page + "</html>\n"
}
