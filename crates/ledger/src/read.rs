//! Finds the ledger's lines in whatever the ordinary tools give: raw lines, lines with a time before them (`aws logs
//! tail`), `aws logs filter-log-events` and `get-query-results` as JSON, exports of Logs Insights as JSON or CSV.

use serde_json::{Deserializer, Value};

use crate::record::Record;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The records, in the order of the text.
    pub records: Vec<Record>,
    /// Ours, but not to be understood: the number of the line (0: not in lines), and why.
    pub unread: Vec<(usize, String)>,
}

/// What every line of ours has, however it was quoted.
const MARK: &str = "ledger";

/// All records in a text.
pub fn read(text: &str) -> Found {
    let mut found = Found::default();
    let whole = text.trim_start_matches('\u{feff}').trim_start();
    // One document: an answer of the API, or an export.
    if whole.starts_with(['{', '['])
        && let Ok(document) = serde_json::from_str::<Value>(whole)
    {
        found.walk(&document, 0);
        return found;
    }
    for (number, line) in text.lines().enumerate() {
        if line.contains(MARK) {
            found.line(line, number + 1);
        }
    }
    found
}

impl Found {
    fn line(&mut self, line: &str, number: usize) {
        let Some(start) = line.find('{') else { return };
        let quoted = line.contains("\"\"spotward\"\"");
        let unquoted = quoted.then(|| line[start..].replace("\"\"", "\""));
        let text = unquoted.as_deref().unwrap_or(&line[start..]);
        match Deserializer::from_str(text).into_iter::<Value>().next() {
            Some(Ok(value)) => self.walk(&value, number),
            Some(Err(error)) if text.contains("\"spotward\"") => self.unread.push((number, error.to_string())),
            Some(Err(_)) | None => {}
        }
    }

    /// Records may be values, or texts within values.
    fn walk(&mut self, value: &Value, number: usize) {
        match Record::parse(value) {
            Some(Ok(record)) => return self.records.push(record),
            Some(Err(why)) => return self.unread.push((number, why)),
            None => {}
        }
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.walk(value, number)),
            Value::Object(fields) => fields.values().for_each(|value| self.walk(value, number)),
            Value::String(text) if text.contains(MARK) => self.line(text, number),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}
