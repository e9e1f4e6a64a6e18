//! The same line, however the tools wrap it.

use ledger::read::read;

const LINE: &str = r#"{"spotward":"ledger","v":1,"kind":"members","at":"2026-10-01T00:00:00Z","region":"us-east-1","stack":"spotward","group":"web","spot":0,"on_demand":0,"members":[]}"#;

fn count(text: &str) -> (usize, usize) {
    let found = read(text);
    (found.records.len(), found.unread.len())
}

#[test]
fn whatever_the_tools_wrap_it_in() {
    let quoted = serde_json::to_string(LINE).expect("text");
    let csv = LINE.replace('"', "\"\"");
    for (name, text) in [
        ("raw lines among others", format!("{{\"kind\":\"pass\"}}\n{LINE}\nSTART RequestId: 1\n{LINE}\n")),
        (
            "aws logs tail",
            format!("2026-10-01T00:00:00 {LINE}\n2026-10-01T00:00:00.000000+00:00 2026/10/01/[$LATEST]abc {LINE}\n"),
        ),
        (
            "filter-log-events",
            format!(
                "{{\"events\": [\n {{\"timestamp\": 1, \"message\": {quoted}}},\n {{\"timestamp\": 2, \"message\": {quoted}}}], \"searchedLogStreams\": []}}"
            ),
        ),
        (
            "filter-log-events as text",
            format!("EVENTS\t37\t1790000000000\t{LINE}\t1790000000000\nEVENTS\t38\t1\t{LINE}\t1\n"),
        ),
        (
            "get-query-results",
            format!(
                "{{\"results\": [[{{\"field\": \"@message\", \"value\": {quoted}}}], [{{\"field\": \"@message\", \"value\": {quoted}}}]]}}"
            ),
        ),
        (
            "Insights export as JSON",
            format!(
                "[{{\"@timestamp\": \"2026-10-01\", \"@message\": {quoted}}}, {{\"@timestamp\": \"x\", \"@message\": {LINE}}}]"
            ),
        ),
        (
            "Insights export as CSV",
            format!("@timestamp,@message\n2026-10-01 00:00:00.000,\"{csv}\"\n2026-10-01 00:00:00.000,\"{csv}\"\n"),
        ),
        ("a byte order mark", format!("\u{feff}[{LINE},{LINE}]")),
    ] {
        assert_eq!(count(&text), (2, 0), "{name}");
    }
}

#[test]
fn what_is_ours_and_broken_is_told_and_the_rest_is_read() {
    let half = &LINE[..LINE.len() - 20];
    let found = read(&format!(
        "{LINE}\n{half}\n{}\n{}\n",
        LINE.replace("\"v\":1", "\"v\":2"),
        LINE.replace("2026-10-01T00", "yesterday")
    ));
    assert_eq!(found.records.len(), 1);
    assert_eq!(found.unread.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3, 4]);
    assert!(found.unread[1].1.contains("version 2"), "{:?}", found.unread[1]);
}

#[test]
fn what_is_not_ours_is_passed_over() {
    assert_eq!(count(""), (0, 0));
    assert_eq!(count("the ledger is elsewhere {\n"), (0, 0));
    assert_eq!(count("{\"spotward\":\"tick\"}\n{\"about\":\"ledger\"}"), (0, 0));
}
