//! A strict reader for the three small JSON objects of the metadata service, and the writer of ours.
//!
//! serde_json would be a fifth of what our own code weighs. What this reader accepts, serde_json accepts (tests/fuzz.rs compares them).

/// Objects nest no deeper than this in anything that the metadata service says.
const DEPTH_MAX: u32 = 16;

/// The members of one JSON object that are strings, in order; the others are checked and left out.
#[derive(Debug, PartialEq, Eq)]
pub struct Strings(Vec<(String, String)>);

impl Strings {
    /// `None` unless all of `text` is one JSON object.
    pub fn read(text: &str) -> Option<Self> {
        let mut reader = Reader { text, at: 0 };
        reader.space();
        let mut members = Vec::new();
        reader.object(DEPTH_MAX, &mut |key, value| members.push((key, value)))?;
        reader.space();
        (reader.at == text.len()).then_some(Self(members))
    }

    /// The member `key`; the last one wins when there are two.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// Writes `text` as a JSON string, quotes included.
pub fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.take()? == byte).then_some(())
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn object(&mut self, depth: u32, found: &mut dyn FnMut(String, String)) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.expect(b'{')?;
        self.space();
        if self.peek()? == b'}' {
            return self.expect(b'}');
        }
        loop {
            self.space();
            let key = self.string()?;
            self.space();
            self.expect(b':')?;
            self.space();
            if self.peek()? == b'"' {
                let value = self.string()?;
                found(key, value);
            } else {
                self.value(depth)?;
            }
            self.space();
            match self.take()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    fn array(&mut self, depth: u32) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.expect(b'[')?;
        self.space();
        if self.peek()? == b']' {
            return self.expect(b']');
        }
        loop {
            self.space();
            self.value(depth)?;
            self.space();
            match self.take()? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    fn value(&mut self, depth: u32) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' => self.object(depth, &mut |_, _| ()),
            b'[' => self.array(depth),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        if self.peek()? == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn string(&mut self) -> Option<String> {
        self.expect(b'"')?;
        let mut out = String::new();
        loop {
            let c = self.text[self.at..].chars().next()?;
            self.at += c.len_utf8();
            match c {
                '"' => return Some(out),
                '\\' => out.push(self.escape()?),
                c if (c as u32) < 0x20 => return None,
                c => out.push(c),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.take()? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.four_hex()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first);
                }
                self.expect(b'\\')?;
                self.expect(b'u')?;
                let second = self.four_hex()?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                return char::from_u32(0x10000 + ((first - 0xd800) << 10) + second);
            }
            _ => return None,
        })
    }

    fn four_hex(&mut self) -> Option<u32> {
        let mut sum = 0;
        for _ in 0..4 {
            sum = sum * 16 + (self.take()? as char).to_digit(16)?;
        }
        Some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_metadata_service_says() {
        let notice = Strings::read(r#"{"action": "terminate", "time": "2017-09-18T08:22:00Z"}"#).unwrap();
        assert_eq!(notice.get("action"), Some("terminate"));
        assert_eq!(notice.get("time"), Some("2017-09-18T08:22:00Z"));
        assert_eq!(notice.get("noticeTime"), None);
        let identity = Strings::read(
            "{\n \"billingProducts\" : null,\n \"n\": [1, -2.5e+3, {\"a\": []}],\n \"instanceId\" : \"i-1\"\n}\n",
        )
        .unwrap();
        assert_eq!(identity.get("instanceId"), Some("i-1"));
        assert_eq!(Strings::read(r#"{"k":"\u00e9\ud83d\ude00\n\/"}"#).unwrap().get("k"), Some("é😀\n/"));
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "null",
            "[]",
            "{",
            "{}x",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a":01}"#,
            r#"{"a":"\x"}"#,
            "{\"a\":\"\n\"}",
            r#"{"a":"\ud83d"}"#,
            r#"{"a":"\ude00"}"#,
            r#"{'a':1}"#,
            r#"{"a":+1}"#,
            r#"{"a":1.}"#,
            "<html>",
            "{\"a\":tru}",
        ] {
            assert_eq!(Strings::read(text), None, "{text}");
        }
    }

    #[test]
    fn depth_is_limited() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(Strings::read(&nested(15)).is_some());
        assert!(Strings::read(&nested(16)).is_none());
        assert!(Strings::read(&nested(100_000)).is_none());
    }

    #[test]
    fn what_is_quoted_reads_back() {
        let odd = "a\"b\\c\n\u{1}é😀";
        let mut text = "{\"k\":".to_owned();
        quote(odd, &mut text);
        text.push('}');
        assert_eq!(Strings::read(&text).unwrap().get("k"), Some(odd));
    }
}
