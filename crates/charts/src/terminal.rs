//! A chart of braille dots: two by four of them in each character.

use jiff::{SignedDuration, Timestamp};

use crate::{Chart, Series, axis};

/// What is drawn on.
#[derive(Clone, Copy, Debug)]
pub struct Paper {
    /// Columns; fewer than 40 are taken as 40.
    pub columns: usize,
    /// Lines for a chart with all its series.
    pub lines: usize,
    /// Colours are seen. If not, each series gets a chart of its own: crossing lines could not be told apart.
    pub colours: bool,
}

/// Colours that can be read on dark and on light, as far as sixteen colours go.
const COLOURS: [&str; 8] =
    ["\x1b[36m", "\x1b[33m", "\x1b[35m", "\x1b[32m", "\x1b[34m", "\x1b[31m", "\x1b[96m", "\x1b[95m"];
const FAINT: &str = "\x1b[2m";
const OFF: &str = "\x1b[0m";

/// Lines of text, each ended; the chart's title is not among them.
pub fn terminal(chart: &Chart, paper: &Paper) -> String {
    let columns = paper.columns.max(40);
    if paper.colours || chart.series.len() < 2 {
        return draw(chart, chart, columns, paper.lines.max(3), paper.colours, true);
    }
    let lines = (paper.lines / 2).clamp(3, 6);
    let mut text = String::new();
    for (at, series) in chart.series.iter().enumerate() {
        let alone = Chart { series: vec![series.clone()], ..chart.clone() };
        let is_last = at + 1 == chart.series.len();
        text.push_str(&format!("  {}\n{}", series.name, draw(&alone, chart, columns, lines, false, is_last)));
    }
    text
}

/// Draws the series of `chart` on the scales of `whole`, with the dates below or without.
fn draw(chart: &Chart, whole: &Chart, columns: usize, lines: usize, colours: bool, dated: bool) -> String {
    let (low, high) = whole.scale();
    let (start, end) = whole.times();
    let (ticks, decimals) = axis::values(low, high, if lines > 6 { 5 } else { 3 });
    let label = |value: f64| format!("{}{value:.decimals$}", chart.unit);
    let left = ticks.iter().map(|tick| label(*tick).chars().count()).max().unwrap_or(0);
    let row_of = |value: f64, rows: usize| -> usize {
        let from_top = (high - value) / (high - low) * (rows - 1) as f64;
        (from_top.round().max(0.0) as usize).min(rows - 1)
    };
    // The series that end on each line, for the right margin.
    let mut margin: Vec<Vec<usize>> = vec![Vec::new(); lines];
    if chart.series.len() > 1 {
        for (at, series) in chart.series.iter().enumerate() {
            margin[row_of(series.last(), lines * 4) / 4].push(at);
        }
    }
    let names = |row: &Vec<usize>| row.iter().map(|at| chart.series[*at].short.chars().count()).sum::<usize>();
    let right = margin.iter().map(names).max().unwrap_or(0);
    let width = columns.saturating_sub(2 + left + 2 + right + usize::from(right > 0)).max(10);

    let mut canvas = Canvas::new(width, lines);
    let moment = |column: usize| -> Timestamp {
        let part = end.duration_since(start).as_secs() as i128 * column as i128 / (width * 2) as i128;
        start + SignedDuration::from_secs(part as i64)
    };
    for (at, series) in chart.series.iter().enumerate() {
        let mut before: Option<usize> = None;
        for column in 0..width * 2 {
            let Some((first, lowest, highest, last)) = within(series, moment(column), moment(column + 1)) else {
                before = None;
                continue;
            };
            let rows = [first, lowest, highest, last].map(|value| row_of(value, lines * 4));
            // From where the line was, through everything that it did meanwhile.
            let from = rows[1].min(rows[2]).min(before.unwrap_or(rows[0]));
            let to = rows[1].max(rows[2]).max(before.unwrap_or(rows[0]));
            (from..=to).for_each(|row| canvas.dot(column, row, at));
            before = Some(rows[3]);
        }
    }

    let paint = |codes: &str, text: &str| if colours { format!("{codes}{text}{OFF}") } else { text.to_owned() };
    let mut text = String::new();
    for (line, ends) in margin.iter().enumerate() {
        let tick = ticks.iter().find(|tick| row_of(**tick, lines * 4) / 4 == line);
        let shown = tick.map_or(String::new(), |tick| label(*tick));
        let edge = if tick.is_some() { "┤" } else { "│" };
        text.push_str(&format!("  {}", paint(FAINT, &format!("{shown:>left$} {edge}"))));
        let mut body = String::new();
        for cell in &canvas.cells[line * width..(line + 1) * width] {
            match cell.by {
                Some(by) => body.push_str(&paint(COLOURS[by % COLOURS.len()], &cell.sign().to_string())),
                None => body.push(' '),
            }
        }
        if !ends.is_empty() {
            body.push(' ');
            for at in ends {
                body.push_str(&paint(COLOURS[at % COLOURS.len()], &chart.series[*at].short));
            }
        }
        text.push_str(body.trim_end());
        text.push('\n');
    }
    if dated {
        text.push_str(&time_axis(start, end, left, width, paint));
    }
    text
}

fn time_axis(
    start: Timestamp,
    end: Timestamp,
    left: usize,
    width: usize,
    paint: impl Fn(&str, &str) -> String,
) -> String {
    let mut line: Vec<char> = vec!['─'; width];
    let mut labels: Vec<char> = vec![' '; left + 2 + width + 8];
    let mut free = 0;
    for (at, label) in axis::moments(start, end, width / 11) {
        let part = at.duration_since(start).as_secs_f64() / end.duration_since(start).as_secs_f64();
        let column = ((part * width as f64) as usize).min(width - 1);
        let length = label.chars().count();
        let begin = (left + 2 + column).saturating_sub(length / 2).max(free);
        if begin + length > left + 2 + width + 4 {
            continue;
        }
        line[column] = '┬';
        label.chars().enumerate().for_each(|(place, sign)| labels[begin + place] = sign);
        free = begin + length + 1;
    }
    let line: String = line.into_iter().collect();
    let labels: String = labels.into_iter().collect();
    let line = format!("{}└{line}", " ".repeat(left + 1));
    format!("  {}\n  {}\n", paint(FAINT, &line), paint(FAINT, labels.trim_end()))
}

/// First, lowest, highest and last value in `[from, until)`; `None` where there is none.
fn within(series: &Series, from: Timestamp, until: Timestamp) -> Option<(f64, f64, f64, f64)> {
    let inside = series.steps.iter().filter(|(at, _)| *at > from && *at < until).map(|(_, value)| *value);
    let mut values = series.at(from).into_iter().chain(inside);
    let first = values.next()?;
    Some(values.fold((first, first, first, first), |(first, low, high, _), value| {
        (first, low.min(value), high.max(value), value)
    }))
}

#[derive(Clone, Copy, Default)]
struct Cell {
    dots: u8,
    by: Option<usize>,
}

impl Cell {
    fn sign(self) -> char {
        char::from_u32(0x2800 + u32::from(self.dots)).unwrap_or(' ')
    }
}

struct Canvas {
    width: usize,
    cells: Vec<Cell>,
}

impl Canvas {
    fn new(width: usize, lines: usize) -> Canvas {
        Canvas { width, cells: vec![Cell::default(); width * lines] }
    }

    /// Braille numbers its dots by column first, and the lowest row last.
    fn dot(&mut self, column: usize, row: usize, by: usize) {
        const DOTS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let cell = &mut self.cells[row / 4 * self.width + column / 2];
        cell.dots |= DOTS[row % 4][column % 2];
        cell.by = Some(by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{series, two_zones};
    use expect_test::{Expect, expect};

    fn plain(columns: usize) -> Paper {
        Paper { columns, lines: 8, colours: false }
    }

    /// Each line behind a bar: a picture begins with spaces, which golden texts lose.
    fn check(text: &str, expected: Expect) {
        let lines: Vec<String> = text.lines().map(|line| format!("|{line}\n")).collect();
        expected.assert_eq(&lines.concat());
    }

    #[test]
    fn one_line_is_one_chart() {
        let chart = Chart { series: vec![series("a", &[(0, 1.0), (48, 3.0), (72, 2.0)], 96)], ..two_zones() };
        check(
            &terminal(&chart, &plain(60)),
            expect![[r#"
            |  $3.00 ┤                         ⢠⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⡄
            |        │                         ⢸            ⡇
            |  $2.50 ┤                         ⢸            ⡇
            |        │                         ⢸            ⡇
            |  $2.00 ┤                         ⢸            ⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉
            |  $1.50 ┤                         ⢸
            |        │                         ⢸
            |  $1.00 ┤⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠚
            |        └────────────┬─────────────────────────┬────────────
            |                   9 Jan                    11 Jan
        "#]],
        );
    }

    #[test]
    fn without_colours_each_series_has_its_own_chart_on_one_scale() {
        check(
            &terminal(&two_zones(), &plain(60)),
            expect![[r#"
                |  us-east-1a
                |  $0.040 ┤
                |  $0.035 ┤                         ⡏⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉
                |         │            ⢰⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠃
                |  $0.030 ┤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠼
                |  us-east-1b
                |  $0.040 ┤     ⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⢲
                |  $0.035 ┤                                         ⠸⠤⠤⠤⠤⠤⠤⠤⠤
                |         │
                |  $0.030 ┤
                |         └───────────────┬─────────────────────────────────┬
                |                      11 Jan                            18 Jan
            "#]],
        );
    }

    #[test]
    fn with_colours_all_are_in_one_and_named_at_its_end() {
        let text = terminal(&two_zones(), &Paper { colours: true, ..plain(60) });
        assert_eq!(text.lines().count(), 10);
        let bare: String = text.split('\x1b').map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)).collect();
        check(
            &bare,
            expect![[r#"
            |  $0.0400 ┤    ⠠⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⡄
            |          │                       ⢀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣇⣀⣀⣀⣀⣀⣀⣀ a
            |  $0.0375 ┤                       ⢸               ⡇
            |  $0.0350 ┤                       ⢸               ⠓⠒⠒⠒⠒⠒⠒⠒ b
            |          │           ⢠⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠼
            |  $0.0325 ┤           ⢸
            |          │           ⢸
            |  $0.0300 ┤⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠚
            |          └──────────────┬───────────────────────────────┬
            |                      11 Jan                          18 Jan
        "#]],
        );
        assert!(text.contains("\x1b[36ma\x1b[0m") && text.contains("\x1b[33mb\x1b[0m"));
    }

    #[test]
    fn nothing_is_wider_than_the_paper() {
        for columns in [10, 40, 80, 200] {
            for colours in [false, true] {
                let text = terminal(&two_zones(), &Paper { columns, lines: 10, colours });
                let bare = |line: &str| -> String {
                    line.split('\x1b').map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)).collect()
                };
                let widest =
                    text.lines().map(|line| if colours { bare(line).chars().count() } else { line.chars().count() });
                assert!(widest.max().unwrap_or(0) <= columns.max(40) + 2, "{columns}: {text}");
            }
        }
    }

    #[test]
    fn a_line_that_never_moves_and_one_of_a_second_can_be_drawn() {
        for end in [0, 1, 500] {
            let chart = Chart { series: vec![series("a", &[(0, 0.5)], end)], ..two_zones() };
            assert!(terminal(&chart, &plain(60)).lines().count() > 5);
        }
    }
}
