//! Tables that an operator reads at a glance.

use std::io::{self, Write};

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, TableStyle};

use crate::error::Error;

/// A line on standard output. A reader that left early (`| head`) is no error; a full disk is.
pub(crate) fn line(text: &str) -> Result<(), Error> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Input {
            path: "standard output".into(),
            reason: format!("cannot be written: {error}"),
        }),
        _ => Ok(()),
    }
}

/// A two-column table under a heading.
pub(crate) struct Sheet {
    heading: String,
    table: Table,
}

impl Sheet {
    pub(crate) fn new(heading: impl Into<String>) -> Self {
        let mut table = Table::new();
        table.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Disabled);
        Self { heading: heading.into(), table }
    }

    pub(crate) fn row(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.columns(name, &[value.into()])
    }

    pub(crate) fn columns(&mut self, name: &str, values: &[String]) -> &mut Self {
        let cells = values.iter().map(|value| Cell::new(value).set_alignment(CellAlignment::Left));
        self.table.add_row(std::iter::once(Cell::new(format!(" {name}"))).chain(cells));
        self
    }

    pub(crate) fn print(&self) -> Result<(), Error> {
        let lines: Vec<String> = self.table.lines().map(|line| line.trim_end().to_owned()).collect();
        line(&format!("\n{}\n{}", self.heading, lines.join("\n")))
    }
}

/// `0.01234` → `1.234 %`.
pub(crate) fn percent(fraction: f64, digits: usize) -> String {
    format!("{:.*} %", digits, 100.0 * fraction)
}

/// The same of a figure that the data may not give.
pub(crate) fn percent_or_dash(fraction: Option<f64>, digits: usize) -> String {
    fraction.map_or_else(|| "–".to_owned(), |fraction| percent(fraction, digits))
}
