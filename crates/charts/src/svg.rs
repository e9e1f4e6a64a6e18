//! A chart as SVG that stands alone: readable on paper and on dark and light screens, by eye and by screen reader.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::{Chart, axis};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 420.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 44.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 132.0;
/// Least distance between two names in the margin.
const NAME_HEIGHT: f64 = 16.0;
/// Lines that can be told apart; more share colours.
const COLOURS: usize = 8;

/// Colours are variables, so that one rule turns them for dark screens and one for paper; there, dashes help. Light
/// colours come first and outside of any condition: a viewer that knows no media queries shows a light picture.
const STYLE: &str = "\
.chart{--ink:#1b1f24;--soft:#5c6670;--grid:#e3e7eb;--paper:#fff;--c0:#0068a8;--c1:#b94a00;--c2:#00795c;--c3:#a8397f;--c4:#7d6200;--c5:#5546c8;--c6:#4a4f55;--c7:#8c2f39;\
font:13px system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}\
@media screen and (prefers-color-scheme:dark){.chart{--ink:#e8ebee;--soft:#a0a9b2;--grid:#2c3239;--paper:#15181c;--c0:#5cb8f2;--c1:#ff9d57;--c2:#37d3a5;--c3:#f394cc;--c4:#e3cf4a;--c5:#aea2ff;--c6:#c4c9ce;--c7:#ff9aa2}}\
.chart .paper{fill:var(--paper)}.chart text{fill:var(--ink)}.chart .soft{fill:var(--soft)}.chart .title{font-size:17px;font-weight:600}\
.chart .grid{stroke:var(--grid);stroke-width:1}.chart .level{stroke:var(--soft);stroke-width:1.5;stroke-dasharray:6 4}\
.chart .line{fill:none;stroke-width:1.8;stroke-linejoin:round}.chart .line:hover{stroke-width:3.5}\
.chart .c0{stroke:var(--c0)}.chart .c1{stroke:var(--c1)}.chart .c2{stroke:var(--c2)}.chart .c3{stroke:var(--c3)}.chart .c4{stroke:var(--c4)}.chart .c5{stroke:var(--c5)}.chart .c6{stroke:var(--c6)}.chart .c7{stroke:var(--c7)}\
.chart .n0{fill:var(--c0)}.chart .n1{fill:var(--c1)}.chart .n2{fill:var(--c2)}.chart .n3{fill:var(--c3)}.chart .n4{fill:var(--c4)}.chart .n5{fill:var(--c5)}.chart .n6{fill:var(--c6)}.chart .n7{fill:var(--c7)}\
@media print{.chart .line.c1{stroke-dasharray:7 2}.chart .line.c2{stroke-dasharray:3 2}.chart .line.c3{stroke-dasharray:9 2 2 2}.chart .line.c4{stroke-dasharray:1 2}.chart .line.c5{stroke-dasharray:12 3}}";

/// Text that may stand between tags and in attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // XML has no place for them.
            sign if sign.is_control() && !"\n\t".contains(sign) => escaped.push(' '),
            sign => escaped.push(sign),
        }
    }
    escaped
}

/// Where the lines are, for the script of a page.
pub(crate) fn plot() -> String {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    format!("\"width\":{WIDTH},\"left\":{LEFT},\"right\":{right},\"top\":{TOP},\"bottom\":{bottom}")
}

/// The file.
pub fn svg(chart: &Chart) -> String {
    let (low, high) = chart.scale();
    let (start, end) = chart.times();
    let x = |at: Timestamp| {
        let part = at.duration_since(start).as_secs_f64() / end.duration_since(start).as_secs_f64();
        LEFT + part * (WIDTH - LEFT - RIGHT)
    };
    let y = |value: f64| TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM);

    let title = escape(&chart.title);
    let subtitle = escape(&format!("{}, {}", chart.subtitle, axis::span(start, end)));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         role=\"img\" aria-label=\"{title}\">\n<title>{title}: {subtitle}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n\
         <text class=\"title\" x=\"16\" y=\"26\">{title}</text>\n<text class=\"soft\" x=\"16\" y=\"46\">{subtitle}</text>\n"
    );
    let (ticks, decimals) = axis::values(low, high, 5);
    for tick in &ticks {
        let (at, unit) = (y(*tick), escape(&chart.unit));
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{:.1}\"/><text class=\"soft\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{unit}{tick:.decimals$}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0
        );
    }
    for (moment, label) in axis::moments(start, end, 9) {
        let at = x(moment);
        let bottom = HEIGHT - BOTTOM;
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{at:.1} {bottom}v5\"/><text class=\"soft\" x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            bottom + 20.0
        );
    }
    for level in chart.levels.iter().filter(|level| (low..=high).contains(&level.value)) {
        let at = y(level.value);
        let _ = writeln!(
            svg,
            "<path class=\"level\" d=\"M{LEFT} {at:.1}H{:.1}\"/><text class=\"soft\" x=\"{}\" y=\"{:.1}\">{}</text>",
            WIDTH - RIGHT,
            LEFT + 6.0,
            at - 5.0,
            escape(&level.name)
        );
    }
    for (at, series) in chart.series.iter().enumerate() {
        let mut path = String::new();
        for (place, (moment, value)) in series.steps.iter().enumerate() {
            // To the new price's time at the old price, then up or down.
            let _ = match place {
                0 => write!(path, "M{:.1} {:.1}", x(*moment), y(*value)),
                _ => write!(path, "H{:.1}V{:.1}", x(*moment), y(*value)),
            };
        }
        let _ = write!(path, "H{:.1}", x(series.end));
        let name = escape(&series.name);
        let _ = writeln!(svg, "<path class=\"line c{}\" d=\"{path}\"><title>{name}</title></path>", at % COLOURS);
    }
    for (at, place) in names(chart, y) {
        let name = escape(&chart.series[at].name);
        let _ = writeln!(
            svg,
            "<text class=\"n{}\" x=\"{}\" y=\"{:.1}\">{name}</text>",
            at % COLOURS,
            WIDTH - RIGHT + 8.0,
            place + 4.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Each name at the end of its line, moved as little as it takes not to cover another.
fn names(chart: &Chart, y: impl Fn(f64) -> f64) -> Vec<(usize, f64)> {
    let mut places: Vec<(usize, f64)> =
        chart.series.iter().enumerate().map(|(at, series)| (at, y(series.last()))).collect();
    places.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    for at in 1..places.len() {
        places[at].1 = places[at].1.max(places[at - 1].1 + NAME_HEIGHT);
    }
    // What was pushed below the chart comes up again.
    let mut limit = HEIGHT - BOTTOM;
    for place in places.iter_mut().rev() {
        place.1 = place.1.min(limit);
        limit = place.1 - NAME_HEIGHT;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{series, two_zones};

    #[test]
    fn it_is_well_formed_whatever_the_names_are() {
        let mut chart = two_zones();
        chart.title = "<script>&\"'\u{1}</title>".to_owned();
        chart.series[0].name = "a & b".to_owned();
        let text = svg(&chart);
        let document = roxmltree::Document::parse(&text).expect("well-formed");
        let texts: Vec<&str> = document.descendants().filter_map(|node| node.text()).collect();
        assert!(texts.contains(&"a & b"));
        assert!(!text.contains("<script"));
    }

    #[test]
    fn a_step_goes_across_then_up() {
        let chart =
            crate::Chart { series: vec![series("a", &[(0, 1.0), (50, 2.0)], 100)], from_zero: true, ..two_zones() };
        let text = svg(&chart);
        let document = roxmltree::Document::parse(&text).expect("well-formed");
        let line = document.descendants().find(|node| node.attribute("class") == Some("line c0")).expect("drawn");
        let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
        let path = line.attribute("d").expect("a path");
        assert!(path.starts_with(&format!("M{LEFT:.1} ")), "{path}");
        assert!(path.contains(&format!("H{middle:.1}V")), "{path}");
        assert!(path.ends_with(&format!("H{:.1}", WIDTH - RIGHT)), "{path}");
    }

    #[test]
    fn names_do_not_cover_each_other_and_stay_inside() {
        let same: Vec<crate::Series> = ["a", "b", "c", "d", "e", "f"].map(|name| series(name, &[(0, 0.5)], 10)).into();
        let chart = crate::Chart { series: same, ..two_zones() };
        let places = names(&chart, |_| HEIGHT - BOTTOM - 3.0);
        assert!(places.windows(2).all(|pair| pair[1].1 - pair[0].1 >= NAME_HEIGHT - 1e-9), "{places:?}");
        assert!(places.iter().all(|(_, at)| *at <= HEIGHT - BOTTOM && *at >= TOP), "{places:?}");
    }

    #[test]
    fn a_level_outside_the_scale_is_not_drawn() {
        assert!(!svg(&two_zones()).contains("class=\"level\""));
        assert!(svg(&crate::Chart { from_zero: true, ..two_zones() }).contains("class=\"level\""));
    }
}
