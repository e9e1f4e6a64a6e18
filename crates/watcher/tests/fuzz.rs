//! What strangers send must not matter: the parsers against mutated input, with serde_json as the second opinion on JSON.
//!
//! `WATCHER_FUZZ_RUNS` says how many inputs for each parser; the default keeps `cargo test` short, `make watcher-bench` runs millions.

use watcher::http::{parse, read_answer, read_status};
use watcher::json::{Strings, quote};
use watcher::time::Epoch;
use watcher::url::Url;
use watcher::{cloud_names::Topic, credentials, sns};

fn runs() -> u64 {
    std::env::var("WATCHER_FUZZ_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

/// xorshift64*: the seed is the number of the run, so a finding names its input.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// One of the seeds, cut, spliced, doubled and sprinkled with bytes that mean something to these formats.
fn mutant(seeds: &[&str], run: u64) -> Vec<u8> {
    const SALT: &[&[u8]] = &[
        b"\"",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b"\r\n",
        b"\r\n\r\n",
        b"\0",
        b"\xff",
        b"\xc3\xa9",
        b"\\u",
        b"\\ud83d",
        b"\\ude00",
        b"-",
        b"0",
        b"99999999999999999999",
        b"1e999",
        b"Z",
        b"T",
        b"HTTP/1.1 200",
        b"Content-Length: ",
        b"Transfer-Encoding: chunked\r\n",
        b"ffffffffffffffff\r\n",
        b"<Code>",
        b"</",
        b"%",
        b"@",
        b"//",
        b"[::1]",
        b" ",
        b"\t",
        b"null",
        b"true",
    ];
    let mut random = Random(run.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    random.next();
    let mut bytes = seeds[random.below(seeds.len())].as_bytes().to_vec();
    for _ in 0..random.below(6) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..(at + random.below(8)).min(bytes.len()))),
            2 => {
                let salt = SALT[random.below(SALT.len())];
                bytes.splice(at..at, salt.iter().copied());
            }
            3 => {
                let other = seeds[random.below(seeds.len())].as_bytes();
                let from = random.below(other.len() + 1);
                bytes.splice(at..at, other[from..].iter().copied());
            }
            4 if !bytes.is_empty() => {
                let place = random.below(bytes.len());
                bytes[place] = random.next() as u8;
            }
            _ => {
                let again = bytes[at..].to_vec();
                bytes.extend_from_slice(&again);
            }
        }
        bytes.truncate(4_096);
    }
    bytes
}

const JSON: [&str; 6] = [
    r#"{"action": "terminate", "time": "2017-09-18T08:22:00Z"}"#,
    r#"{"noticeTime":"2020-10-27T08:22:00Z"}"#,
    "{\n  \"accountId\" : \"123456789012\",\n  \"billingProducts\" : null,\n  \"pendingTime\" : \"2017-09-18T08:22:00Z\",\n  \"n\": [1, -2.5e+3, {\"a\": [true, false]}]\n}",
    r#"{"Code":"Success","AccessKeyId":"ASIA","SecretAccessKey":"s/+","Token":"t==","Expiration":"2026-11-22T08:00:00Z"}"#,
    r#"{"k":"\u00e9\ud83d\ude00\n\/","":""}"#,
    r#"{"a":{"b":{"c":{"d":[[[["deep"]]]]}}}}"#,
];

#[test]
fn the_json_reader_agrees_with_serde_json() {
    let mut accepted = 0;
    for run in 0..runs() {
        let bytes = mutant(&JSON, run);
        let Ok(text) = std::str::from_utf8(&bytes) else { continue };
        let ours = Strings::read(text);
        let theirs = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text);
        match (&ours, &theirs) {
            (Some(ours), Ok(theirs)) => {
                accepted += 1;
                for (key, value) in theirs {
                    if let Some(value) = value.as_str() {
                        // Where a key comes twice they keep the last; so do we, unless the last is not a string.
                        assert_eq!(ours.get(key), Some(value), "run {run}: {text}");
                    }
                }
            }
            (Some(_), Err(error)) => {
                // They refuse numbers beyond a double; that a number is too large is not for this reader to find.
                assert!(error.to_string().contains("number out of range"), "run {run}: {error}: {text}");
            }
            (None, Ok(_)) => assert!(nests_deeper_than_16(text), "run {run}: refused {text}"),
            (None, Err(_)) => {}
        }
    }
    assert!(accepted > runs() / 20, "the mutants are too wild to mean anything: {accepted}");
}

fn nests_deeper_than_16(text: &str) -> bool {
    text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count() > 16
}

#[test]
fn what_is_quoted_is_json_whatever_it_holds() {
    for run in 0..runs() {
        let text = String::from_utf8_lossy(&mutant(&JSON, run)).into_owned();
        let mut quoted = String::new();
        quote(&text, &mut quoted);
        assert_eq!(serde_json::from_str::<String>(&quoted).ok(), Some(text), "run {run}");
    }
}

#[test]
fn no_answer_breaks_the_http_reader() {
    const ANSWERS: [&str; 5] = [
        "HTTP/1.1 200 OK\r\nServer: EC2ws\r\nContent-Length: 5\r\nDate: Sun, 22 Nov 2026 02:00:34 GMT\r\nConnection: close\r\n\r\nhello",
        "HTTP/1.0 404 Not Found\r\n\r\n<html/>",
        "HTTP/1.1 200 OK\r\nX-aws-ec2-metadata-token-ttl-seconds: 21600\r\nContent-Length: 4\r\n\r\nTOK=",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nMess\r\n5\r\nageId\r\n0\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nContent-Type: text/xml\r\nContent-Length: 58\r\n\r\n<ErrorResponse><Error><Code>X</Code></Error></ErrorResponse>",
    ];
    let mut whole = 0;
    for run in 0..runs() {
        let bytes = mutant(&ANSWERS, run);
        let parsed = parse(&bytes, true);
        if let Ok(Some(answer)) = &parsed {
            whole += 1;
            assert!(answer.body.len() <= bytes.len(), "run {run}");
            // However the network cuts an answer, it is the same answer, or one that needed no more bytes.
            let cut = run as usize % (bytes.len() + 1);
            if let Ok(Some(early)) = parse(&bytes[..cut], false) {
                assert_eq!(early.status, answer.status, "run {run}");
            }
            let _ = sns::element(answer.text().unwrap_or_default(), "Code");
        }
        let _ = read_answer(&mut bytes.as_slice(), &mut Vec::new());
        let _ = read_status(&mut bytes.as_slice());
    }
    assert!(whole > runs() / 20, "the mutants are too wild to mean anything: {whole}");
}

#[test]
fn no_text_breaks_the_small_readers() {
    const TEXTS: [&str; 7] = [
        "2017-09-18T08:22:00Z",
        "2026-11-22T02:00:34.123Z",
        "Sun, 22 Nov 2026 02:00:34 GMT",
        "20170918T082200Z",
        "arn:aws:sns:eu-central-1:123456789012:spotward.fifo",
        "http://user:password@[fd00:ec2::254]:8080/path?query",
        "<PublishResult><MessageId>94f2</MessageId></PublishResult>",
    ];
    for run in 0..runs() {
        let bytes = mutant(&TEXTS, run);
        let text = String::from_utf8_lossy(&bytes);
        if let Some(time) = Epoch::from_iso(&text) {
            // What is read is a time that exists: it can be written and read again.
            assert_eq!(Epoch::from_iso(&time.to_iso()), Some(time), "run {run}: {text}");
            assert_eq!(Epoch::from_basic(&time.to_basic()), Some(time), "run {run}: {text}");
        }
        let _ = (
            Epoch::from_http(text.as_bytes()),
            Epoch::from_basic(&text),
            Topic::read(&text),
            credentials::read(&text),
            sns::element(&text, "MessageId"),
        );
        if let Some(url) = Url::read(&text) {
            assert!(!url.host.is_empty() && url.path.starts_with('/') && url.path.is_ascii(), "run {run}: {text}");
        }
    }
}
