//! A plan as Markdown, to be pasted into a pull request or written there by a pipeline.

use planner::policy::Config;

use crate::money::Currency;
use crate::output::printable;
use crate::page;
use crate::plan::{Report, Tally};
use crate::words;

/// One group: its row of the table, and what unfolds below it.
pub struct Piece {
    row: String,
    details: String,
}

/// What the document says about one group.
pub fn piece(report: &Report, config: &Config, currency: Currency) -> Piece {
    let Report { look, enabled, savings, worst_loss, .. } = report;
    let (group, plan) = (&look.observation.group, &look.plan);
    let name = escaped(group.name.as_str());
    let next = match (words::next(plan), &plan.wait, plan.blockers.first()) {
        (Some(next), _, _) => next,
        (None, Some(wait), _) => format!("waits: {wait}"),
        (None, None, Some(blocker)) => format!("blocked: {}", words::blocker(blocker)),
        (None, None, None) if plan.need.is_some() => "unknown".to_owned(),
        (None, None, None) => "nothing to do".to_owned(),
    };
    let condition = if *enabled { "" } else { "*not enabled, if it were:* " };
    let saves = match savings {
        Ok(savings) if savings.swaps_left > 0 => currency.range_per_month(savings.left),
        Ok(_) => "–".to_owned(),
        Err(_) => "unknown".to_owned(),
    };
    let risk = worst_loss.as_ref().map_or("–".to_owned(), |loss| format!("{} → {}", loss.now, loss.after));
    let row = format!(
        "| {name} | {} | {} | {condition}{} | {saves} | {risk} |\n",
        group.in_service(planner::model::PurchaseOption::OnDemand),
        group.in_service(planner::model::PurchaseOption::Spot),
        escaped(&next),
    );

    let mut details =
        format!("<details><summary><b>{name}</b>: {}</summary>\n\n", escaped(&page::headline(report, config)));
    let rows = page::rows(look);
    if !rows.is_empty() {
        details.push_str(
            "| instance | type | zone | pays | state | what happens | why |\n|---|---|---|---|---|---|---|\n",
        );
        for row in rows {
            let cells: Vec<String> = row.iter().map(|(_, text)| escaped(text)).collect();
            details.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
        details.push('\n');
    }
    for line in page::lines(report, currency) {
        match line.label.trim() {
            "" => details.push_str(&format!("  - {}\n", escaped(&line.body))),
            label => details.push_str(&format!("- **{label}** {}\n", escaped(&line.body))),
        }
    }
    details.push_str("\n</details>\n\n");
    Piece { row, details }
}

/// One region's part of the document.
pub fn region(region: &str, pieces: &[Piece], tally: &Tally, config: &Config, all: bool) -> String {
    let mut text =
        format!("## spotward plan, {}\n\n{}\n\n", escaped(region), escaped(&tally.sentence(region, config, all)));
    if !pieces.is_empty() {
        text.push_str("| group | on-demand | spot | next | saves | at risk in one pool |\n|---|--:|--:|---|---|---|\n");
        pieces.iter().for_each(|piece| text.push_str(&piece.row));
        text.push('\n');
        pieces.iter().for_each(|piece| text.push_str(&piece.details));
    }
    text
}

/// What a name or a sentence must not do in a table of Markdown: end a cell, begin a tag, or set itself in bold.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '|' | '*' | '_' | '`' | '\\' | '[' | ']' | '~' | '#' => safe.extend(['\\', c]),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_in_its_cell() {
        assert_eq!(escaped("a|b\n<i>*_x"), r"a\|b�&lt;i&gt;\*\_x");
    }
}
