//! Columns that align, whatever script they hold.

use unicode_width::UnicodeWidthStr;

use super::paint::{Paint, Tone};

/// How a column's cells stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Left,
    Right,
}

/// A cell: clean text, and what it means.
pub(super) type Cell = (String, Tone);

/// Rows as lines, each cell as wide as the widest of its column, two spaces between.
pub(super) fn columns(rows: &[Vec<Cell>], layout: &[Column], indent: &str, paint: Paint) -> String {
    let widths: Vec<usize> =
        (0..layout.len()).map(|at| rows.iter().map(|row| width(row, at)).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = indent.to_owned();
        // Blanks are held back until something follows them: no line ends in them.
        let mut gap = 0;
        for (at, (cell, tone)) in row.iter().enumerate().filter(|(at, _)| widths[*at] > 0) {
            let blank = widths[at] - cell.width();
            let (before, after) = match layout[at] {
                Column::Left => (0, blank),
                Column::Right => (blank, 0),
            };
            if cell.is_empty() {
                gap += blank;
            } else {
                line.extend(std::iter::repeat_n(' ', gap + before));
                line.push_str(&paint.tone(cell, *tone));
                gap = after;
            }
            gap += 2;
        }
        text.push_str(line.trim_end_matches(' '));
        text.push('\n');
    }
    text
}

/// How many columns of the screen such rows take, with the gap before what follows them.
pub(super) fn width_of(rows: &[Vec<Cell>]) -> usize {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    (0..columns).map(|at| rows.iter().map(|row| width(row, at)).max().unwrap_or(0) + 2).sum()
}

fn width(row: &[Cell], at: usize) -> usize {
    row.get(at).map_or(0, |(cell, _)| cell.width())
}
