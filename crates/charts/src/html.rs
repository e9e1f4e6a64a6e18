//! A page with charts and their figures: one file, no network, light and dark, on screen and on paper.

use std::fmt::Write as _;

use crate::Chart;
use crate::svg::{escape, svg};

/// Figures, as text.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Column heads.
    pub head: Vec<String>,
    /// As many cells as the head has; the first one names the row.
    pub rows: Vec<Vec<String>>,
}

/// A chart with its figures.
#[derive(Clone, Debug)]
pub struct Section {
    /// The picture.
    pub chart: Chart,
    /// The figures.
    pub table: Table,
    /// Sentences below.
    pub notes: Vec<String>,
}

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5c6670;--grid:#e3e7eb;--paper:#fff}\
@media screen and (prefers-color-scheme:dark){:root{--ink:#e8ebee;--soft:#a0a9b2;--grid:#2c3239;--paper:#15181c}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:1024px;padding:24px 32px;background:var(--paper);color:var(--ink);\
font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}\
h1{font-size:24px;line-height:1.25;margin:0 0 4px}p{margin:6px 0}.soft,footer{color:var(--soft)}section{margin:28px 0 36px}\
figure{margin:0;position:relative}figure svg{display:block;width:100%;height:auto}\
table{border-collapse:collapse;margin:12px 0;font-variant-numeric:tabular-nums}th,td{padding:4px 14px 4px 0;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap}\
th{font-weight:600;color:var(--soft)}th:first-child,td:first-child{text-align:left}.wide{overflow-x:auto}\
.cursor{stroke:var(--soft);stroke-width:1;pointer-events:none}.reads{position:absolute;top:8px;right:0;padding:6px 10px;border:1px solid var(--grid);background:var(--paper);\
font-size:13px;font-variant-numeric:tabular-nums;pointer-events:none;white-space:pre;border-radius:4px}\
footer{border-top:1px solid var(--grid);padding-top:10px;font-size:13px}\
@media print{body{padding:0;max-width:none;font-size:11pt}section{break-inside:avoid}.reads,.cursor{display:none}}\
@media (max-width:600px){body{padding:16px}}";

/// Shows the prices under the pointer. The page is complete without it.
const SCRIPT: &str = "\
document.querySelectorAll('figure').forEach(figure=>{\
const svg=figure.querySelector('svg'),data=JSON.parse(figure.querySelector('script').textContent),box=document.createElement('div'),\
line=document.createElementNS('http://www.w3.org/2000/svg','path');\
box.className='reads';box.hidden=true;figure.append(box);line.setAttribute('class','cursor');\
const hide=()=>{box.hidden=true;line.remove()};\
svg.addEventListener('pointermove',event=>{const at=svg.getBoundingClientRect(),x=(event.clientX-at.left)/at.width*data.width;\
const part=(x-data.left)/(data.right-data.left);if(part<0||part>1)return hide();\
const t=data.start+part*(data.end-data.start);\
const rows=data.series.map(s=>{let v=null;for(const[when,price]of s.steps){if(when>t)break;v=price}\
return s.name.padEnd(data.name)+'  '+(v===null||t>=s.end?'–':data.unit+v.toFixed(4))});\
box.textContent=[new Date(t*1000).toISOString().slice(0,16).replace('T',' ')+' UTC',...rows].join('\\n');\
box.style.right=part>.5?'auto':'0';box.style.left=part>.5?'0':'auto';box.hidden=false;\
line.setAttribute('d',`M${x} ${data.top}V${data.bottom}`);svg.append(line)});\
svg.addEventListener('pointerleave',hide)});";

/// The file.
pub fn page(title: &str, subtitle: &str, sections: &[Section], sources: &[String]) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<header><h1>{title}</h1>\n<p class=\"soft\">{subtitle}</p></header>\n",
        title = escape(title),
        subtitle = escape(subtitle),
    );
    for section in sections {
        let _ = write!(html, "<section>\n<figure>\n{}{}</figure>\n", svg(&section.chart), figures(&section.chart));
        html.push_str(&table(&section.table));
        for note in &section.notes {
            let _ = writeln!(html, "<p>{}</p>", escape(note));
        }
        html.push_str("</section>\n");
    }
    html.push_str("<footer>\n");
    for source in sources {
        let _ = writeln!(html, "<p>{}</p>", escape(source));
    }
    let _ = write!(html, "</footer>\n<script>{SCRIPT}</script>\n</body>\n</html>\n");
    html
}

fn table(table: &Table) -> String {
    let cells = |tag: &str, cells: &[String]| -> String {
        cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect()
    };
    let mut html =
        format!("<div class=\"wide\"><table>\n<thead><tr>{}</tr></thead>\n<tbody>\n", cells("th", &table.head));
    for row in &table.rows {
        let _ = writeln!(html, "<tr>{}</tr>", cells("td", row));
    }
    html.push_str("</tbody></table></div>\n");
    html
}

/// What the script reads.
fn figures(chart: &Chart) -> String {
    let (start, end) = chart.times();
    let text = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('<', "\\u003c"));
    let series: Vec<String> = chart
        .series
        .iter()
        .map(|series| {
            let steps: Vec<String> =
                series.steps.iter().map(|(at, value)| format!("[{},{value}]", at.as_second())).collect();
            let (name, end) = (text(&series.name), series.end.as_second());
            format!("{{\"name\":{name},\"end\":{end},\"steps\":[{}]}}", steps.join(","))
        })
        .collect();
    let longest = chart.series.iter().map(|series| series.name.chars().count()).max().unwrap_or(0);
    let plot = crate::svg::plot();
    format!(
        "<script type=\"application/json\">{{\"start\":{},\"end\":{},\"unit\":{},\"name\":{longest},{plot},\"series\":[{}]}}</script>\n",
        start.as_second(),
        end.as_second(),
        text(&chart.unit),
        series.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::two_zones;

    #[test]
    fn a_page_asks_for_nothing_from_elsewhere() {
        let section = Section { chart: two_zones(), table: Table::default(), notes: vec!["a < b".to_owned()] };
        let html = page("Prices", "here & now", &[section], &["from a file".to_owned()]);
        for word in ["http://", "https://", "src=", "href=", "@import", "url("] {
            let known = html.matches("http://www.w3.org/2000/svg").count();
            let allowed = if word == "http://" { known } else { 0 };
            assert_eq!(html.matches(word).count(), allowed, "{word}");
        }
        assert!(html.contains("here &amp; now") && html.contains("a &lt; b"));
    }

    #[test]
    fn figures_cannot_end_their_script() {
        let mut chart = two_zones();
        chart.series[0].name = "</script><b>\\\"".to_owned();
        let text = figures(&chart);
        assert_eq!(text.matches("</script>").count(), 1, "{text}");
    }
}
