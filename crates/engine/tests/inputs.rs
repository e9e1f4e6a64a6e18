//! Price files and the Spot Advisor's document: what is read, what is refused, and with which words.

use engine::inputs::{Advisor, PriceFile};
use expect_test::{Expect, expect};
use planner::model::{InstanceType, Platform};

/// What a price file says, platform by platform, or why it cannot be read.
fn prices(text: &str, expected: Expect) {
    let shown = match PriceFile::parse(text) {
        Err(why) => format!("refused: {why}"),
        Ok(file) => {
            let of = |platform: Platform| format!("{platform}: {:?}", file.of(platform));
            Platform::ALL.map(of).join("\n")
        }
    };
    expected.assert_eq(&shown);
}

#[test]
fn columns_are_platforms_and_empty_cells_are_not_known() {
    prices(
        "# GovCloud, October\n\ninstance_type, linux, windows, rhel, sles\nm5.large, 0.121, 0.213, 0.181, \nm6i.large,0.121,,,\n",
        expect![[r#"
            Linux/UNIX: {m5.large: $0.1210/h, m6i.large: $0.1210/h}
            Red Hat Enterprise Linux: {m5.large: $0.1810/h}
            SUSE Linux: {}
            Windows: {m5.large: $0.2130/h}"#]],
    );
}

#[test]
fn one_column_of_prices_is_linux() {
    prices(
        "instance_type,usd_per_hour\nm5.large,0.096",
        expect![[r#"
            Linux/UNIX: {m5.large: $0.0960/h}
            Red Hat Enterprise Linux: {}
            SUSE Linux: {}
            Windows: {}"#]],
    );
}

#[test]
fn what_cannot_be_read_is_refused_by_line() {
    prices("", expect!["refused: there is no header line, as in `instance_type,linux`"]);
    prices(
        "m5.large,0.096",
        expect![[r#"refused: column "m5.large": allowed are instance_type, linux, windows, rhel and suse"#]],
    );
    prices(
        "instance_type\nm5.large",
        expect![[r#"refused: header "instance_type": needed are instance_type, once, and a column of prices"#]],
    );
    prices("instance_type,linux\nm5.large", expect!["refused: line 2: 1 cells, the header has 2"]);
    prices(
        "instance_type,linux\nm5.large,cheap",
        expect![[r#"refused: line 2: "cheap" is no price per hour, as in 0.096"#]],
    );
    prices("instance_type,linux\nm5.large,-1", expect![[r#"refused: line 2: "-1" is no price per hour, as in 0.096"#]]);
    prices("instance_type,linux\nm5.large,0", expect![[r#"refused: line 2: "0" is no price per hour, as in 0.096"#]]);
    prices(
        "instance_type,linux\nlarge,0.096",
        expect![[r#"refused: line 2: "large" is no instance type, as in m5.large"#]],
    );
    prices("instance_type,linux\nm5.large,0.1\nm5.large,0.2", expect!["refused: line 3: m5.large is there twice"]);
    prices("instance_type,linux\nm5.large,", expect!["refused: there is no price in it"]);
}

fn advisor(text: &str, region: &str, expected: Expect) {
    let shown = match Advisor::parse(text, region) {
        Err(why) => format!("refused: {why}"),
        Ok(file) => format!("{:?} {:?}", file.of(Platform::Suse), file.of(Platform::Windows)),
    };
    expected.assert_eq(&shown);
}

const DOCUMENT: &str = r#"{"ranges":[],"spot_advisor":{"us-east-1":{
    "Linux":{"m5.large":{"r":0,"s":60},"odd.large":{"r":9},"odder.large":7},
    "Windows":{"m5.large":{"r":4,"s":10}}}}}"#;

#[test]
fn the_advisor_is_read_for_one_region_and_passes_over_what_it_does_not_know() {
    advisor(DOCUMENT, "us-east-1", expect!["{m5.large: Below5} {m5.large: Above20}"]);
    advisor(DOCUMENT, "eu-central-9", expect!["{} {}"]);
}

#[test]
fn another_document_is_refused() {
    advisor("{}", "us-east-1", expect!["refused: there is no `spot_advisor` in it"]);
    advisor("<html>", "us-east-1", expect!["refused: not JSON: expected value at line 1 column 1"]);
}

#[test]
fn the_real_document_of_june_2025_knows_most_types() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/advisor/spot_advisor_2025-06-28.json.gz");
    let mut text = String::new();
    let file = std::fs::File::open(path).expect("the data is there");
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut text).expect("gzip");
    let file = Advisor::parse(&text, "us-east-1").expect("AWS's document");
    let linux = file.of(Platform::Linux);
    assert!(linux.len() > 800, "{}", linux.len());
    assert!(linux.contains_key(&InstanceType::new("m5.large")));
}
