//! A table, as people read it in a terminal, in Markdown and in a browser.

/// Numbers, mostly: the first columns say what they are of.
#[derive(Debug)]
pub struct Table {
    pub title: &'static str,
    /// What it shows, and in which units.
    pub note: String,
    /// So many columns of words come first.
    pub words: usize,
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// With columns as wide as they have to be, so that it needs no other program to be read.
    pub fn markdown(&self) -> String {
        let length = |text: &str| text.chars().count();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|at| {
                let cells = self.rows.iter().map(|row| length(&row[at]));
                cells.chain([length(self.columns[at])]).max().unwrap_or_default()
            })
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::from("|");
            for (at, cell) in cells.enumerate() {
                let width = widths[at];
                line += &if at < self.words {
                    format!(" {cell:<width$} |")
                } else {
                    format!(" {cell:>width$} |")
                };
            }
            line + "\n"
        };
        let mut text = format!("## {}\n\n{}\n\n", self.title, self.note);
        text += &line(&mut self.columns.iter().copied());
        text += "|";
        for (at, width) in widths.iter().enumerate() {
            let end = if at < self.words { "-" } else { ":" };
            text += &format!(" {}{end} |", "-".repeat(width - 1));
        }
        text += "\n";
        for row in &self.rows {
            text += &line(&mut row.iter().map(String::as_str));
        }
        text
    }

    pub fn html(&self) -> String {
        let line = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
            let cells = cells.enumerate().map(|(at, cell)| {
                let class = if at < self.words { " class=\"word\"" } else { "" };
                format!("<{tag}{class}>{}</{tag}>", escaped(cell))
            });
            format!("<tr>{}</tr>\n", cells.collect::<String>())
        };
        let mut html =
            format!("<p>{}</p>\n<div class=\"wide\"><table>\n<thead>", escaped(&self.note));
        html += &line("th", &mut self.columns.iter().copied());
        html += "</thead>\n<tbody>\n";
        for row in &self.rows {
            html += &line("td", &mut row.iter().map(String::as_str));
        }
        html + "</tbody></table></div>\n"
    }
}

/// Text, where there is markup.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A number with as many digits as mean something, and a comma for each three of them.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    if value.abs() < 100.0 {
        let digits = if value.abs() < 10.0 { 2 } else { 1 };
        return format!("{value:.digits$}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
