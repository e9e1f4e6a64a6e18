//! Just enough HTTP/1 to read the short answers of the metadata service, of SNS and of an owner's health check.

use crate::time::Epoch;
use std::fmt;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The identity document, the longest answer that we ask for, is under 1 KiB; an SNS error is under 2 KiB.
const ANSWER_BYTES_MAX: usize = 32 * 1024;
/// Holds nearly every answer; a buffer is not smaller than this.
pub const BUFFER_BYTES: usize = 2_048;

/// Why there is no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No connection.
    Connect(ErrorKind),
    /// Connected, but the answer was not complete in time.
    Silent,
    /// The connection broke before the answer was complete.
    Cut,
    /// The answer is not what the protocol allows.
    Malformed(&'static str),
    /// A complete answer with a status that helps nobody.
    Status(u16),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(ErrorKind::TimedOut) => f.write_str("no connection in time"),
            Self::Connect(ErrorKind::ConnectionRefused) => f.write_str("connection refused"),
            Self::Connect(kind) => write!(f, "no connection: {kind}"),
            Self::Silent => f.write_str("no complete answer in time"),
            Self::Cut => f.write_str("connection cut before the answer was complete"),
            Self::Malformed(what) => write!(f, "not a proper answer: {what}"),
            Self::Status(status) => write!(f, "answered with status {status}"),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Silent,
            ErrorKind::InvalidData => Self::Malformed("TLS"),
            _ => Self::Cut,
        }
    }
}

/// A complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200, 404 …
    pub status: u16,
    /// The other side's clock.
    pub date: Option<Epoch>,
    /// How long a metadata token that came with this answer lives.
    pub token_ttl_seconds: Option<u32>,
    /// The body. Most answers are a 404 whose page nobody reads, so it is not looked at here.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body, as text.
    pub fn text(&self) -> Result<&str, Trouble> {
        text_of(&self.body).ok_or(Trouble::Malformed("text"))
    }
}

/// A connection on which every read and write together must end by a moment. A peer that drips bytes gains nothing.
pub struct Timed {
    stream: TcpStream,
    until: Instant,
}

impl Timed {
    /// Connects to the first address that answers, each within its share of the time.
    pub fn connect(addresses: &[SocketAddr], each: Duration, until: Instant) -> Result<Self, Trouble> {
        let mut trouble = Trouble::Connect(ErrorKind::AddrNotAvailable);
        for address in addresses {
            let left = until.saturating_duration_since(Instant::now()).min(each);
            if left.is_zero() {
                return Err(Trouble::Connect(ErrorKind::TimedOut));
            }
            match TcpStream::connect_timeout(address, left) {
                Ok(stream) => return Ok(Self { stream, until }),
                Err(error) => trouble = Trouble::Connect(error.kind()),
            }
        }
        Err(trouble)
    }

    /// For TLS, which writes twice before it reads: the second write must not wait for the first one's delayed acknowledgement.
    pub fn without_delay(self) -> Self {
        let _ = self.stream.set_nodelay(true);
        self
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    // A request is far smaller than a fresh socket's buffer: writing it never blocks, so it needs no time-out of its own.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads one answer, to its stated length or to the end of the connection. The buffer is the caller's, so that polling for ever
/// neither allocates nor clears one each time.
pub fn read_answer(stream: &mut impl Read, buffer: &mut Vec<u8>) -> Result<Answer, Trouble> {
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            if filled > ANSWER_BYTES_MAX {
                return Err(Trouble::Malformed("too long"));
            }
            buffer.resize((2 * filled).max(BUFFER_BYTES), 0);
        }
        let at_end = match stream.read(&mut buffer[filled..]) {
            Ok(0) => true,
            Ok(count) => {
                filled += count;
                false
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // TLS peers that close without saying goodbye: what came may be complete all the same.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => true,
            Err(error) => return Err(error.into()),
        };
        if let Some(answer) = parse(&buffer[..filled], at_end)? {
            return Ok(answer);
        }
        if at_end {
            return Err(Trouble::Cut);
        }
    }
}

/// Reads only the first line of an answer.
pub fn read_status(stream: &mut impl Read) -> Result<u16, Trouble> {
    let mut line = [0; 256];
    let mut count = 0;
    while !line[..count].contains(&b'\r') {
        match stream.read(&mut line[count..]) {
            Ok(0) => return Err(if count == line.len() { Trouble::Malformed("status line") } else { Trouble::Cut }),
            Ok(more) => count += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let text = line.split(|byte| *byte == b'\r').next().unwrap_or_default();
    status_of(text).ok_or(Trouble::Malformed("status line"))
}

const DATE: &[u8] = b"date";
const LENGTH: &[u8] = b"content-length";
const ENCODING: &[u8] = b"transfer-encoding";
const TOKEN_TTL: &[u8] = b"x-aws-ec2-metadata-token-ttl-seconds";

/// The answer in `bytes`; `None` while more must come. One pass, since it runs for every poll for weeks.
pub fn parse(bytes: &[u8], at_end: bool) -> Result<Option<Answer>, Trouble> {
    let mut answer = Answer { status: 0, date: None, token_ttl_seconds: None, body: Vec::new() };
    let (mut length, mut is_chunked) = (None, false);
    let mut rest = bytes;
    loop {
        let Some(line) = take_line(&mut rest)? else {
            // Whoever does not speak HTTP is found out by the first bytes, not after a time-out.
            let is_http = answer.status != 0 || b"HTTP/1.".starts_with(&rest[..rest.len().min(7)]);
            return if is_http { Ok(None) } else { Err(Trouble::Malformed("not HTTP/1")) };
        };
        if answer.status == 0 {
            answer.status = status_of(line).ok_or(Trouble::Malformed("status line"))?;
        } else if line.is_empty() {
            break;
        } else {
            // A name ends where its colon must be: looking there is cheaper than looking for the colon.
            let value_of = |name: &[u8]| {
                let value = &line[name.len() + 1..];
                (line[name.len()] == b':' && line[..name.len()].eq_ignore_ascii_case(name)).then_some(value)
            };
            match line[0] | 0x20 {
                b'd' if line.len() > DATE.len() => {
                    let date = value_of(DATE).and_then(|value| Epoch::from_http(value.trim_ascii()));
                    answer.date = answer.date.or(date);
                }
                b'c' if line.len() > LENGTH.len() => {
                    if let Some(value) = value_of(LENGTH) {
                        let stated = number_of(value).ok_or(Trouble::Malformed("content-length"))?;
                        if stated > ANSWER_BYTES_MAX {
                            return Err(Trouble::Malformed("too long"));
                        }
                        length = Some(stated);
                    }
                }
                b't' if line.len() > ENCODING.len() => {
                    let is_this = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"chunked");
                    is_chunked |= value_of(ENCODING).is_some_and(is_this);
                }
                b'x' if line.len() > TOKEN_TTL.len() => {
                    if let Some(value) = value_of(TOKEN_TTL) {
                        answer.token_ttl_seconds = number_of(value).and_then(|seconds| seconds.try_into().ok());
                    }
                }
                _ => {}
            }
        }
    }
    answer.body = match length {
        _ if is_chunked => match unchunk(rest)? {
            Some(whole) => whole,
            None => return Ok(None),
        },
        Some(length) if rest.len() >= length => rest[..length].to_vec(),
        None if at_end => rest.to_vec(),
        Some(_) | None => return Ok(None),
    };
    Ok(Some(answer))
}

/// The next line without its ending; `None` if it is not complete.
fn take_line<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Trouble> {
    let Some(end) = find(b'\n', rest) else { return Ok(None) };
    let line = rest[..end].strip_suffix(b"\r").ok_or(Trouble::Malformed("line ending"))?;
    *rest = &rest[end + 1..];
    Ok(Some(line))
}

/// By std's memchr, which it lends only in this form: a loop of ours would be optimised for size.
fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let last = rest.skip_until(byte).ok()?.checked_sub(1)?;
    (bytes[last] == byte).then_some(last)
}

/// A whole number of at most nine digits.
fn number_of(bytes: &[u8]) -> Option<usize> {
    let digits = bytes.trim_ascii();
    let is_number = (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0')))
}

fn text_of(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// `HTTP/1.0 200 OK`: some of the metadata service's answers are 1.0.
fn status_of(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.0 ").or_else(|| line.strip_prefix(b"HTTP/1.1 "))?;
    let [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = rest else { return None };
    let ends = rest.is_empty() || rest[0] == b' ';
    ends.then(|| [a, b, c].iter().fold(0, |sum, digit| sum * 10 + u16::from(**digit - b'0')))
}

/// Interception proxies re-chunk what SNS sends with a length.
fn unchunk(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, Trouble> {
    let mut whole = Vec::new();
    loop {
        let Some(line_end) = bytes.windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
        let digits = bytes[..line_end].split(|byte| *byte == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| usize::from_str_radix(digits.trim(), 16).ok())
            .filter(|size| *size <= ANSWER_BYTES_MAX)
            .ok_or(Trouble::Malformed("chunk"))?;
        bytes = &bytes[line_end + 2..];
        if size == 0 {
            return Ok(Some(whole));
        }
        if bytes.len() < size + 2 {
            return Ok(None);
        }
        if &bytes[size..size + 2] != b"\r\n" {
            return Err(Trouble::Malformed("chunk"));
        }
        whole.extend_from_slice(&bytes[..size]);
        bytes = &bytes[size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Answer {
        parse(text.as_bytes(), true).unwrap().unwrap()
    }

    #[test]
    fn reads_to_the_length_or_to_the_end() {
        let answer = whole(
            "HTTP/1.1 200 OK\r\nServer: EC2ws\r\ncontent-length: 5\r\nDate: Sun, 22 Nov 2026 02:00:34 GMT\r\n\r\nhello, more",
        );
        assert_eq!((answer.status, answer.text().unwrap(), answer.date), (200, "hello", Some(Epoch(1_795_312_834))));
        let old = whole("HTTP/1.0 404 Not Found\r\n\r\n<html/>");
        assert_eq!((old.status, old.text().unwrap()), (404, "<html/>"));
        let token = whole("HTTP/1.1 200 OK\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\nContent-Length: 1\r\n\r\nT");
        assert_eq!(token.token_ttl_seconds, Some(60));
    }

    #[test]
    fn joins_chunks() {
        let answer =
            whole("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nMess\r\n5\r\nageId\r\n0\r\n\r\n");
        assert_eq!(answer.text(), Ok("MessageId"));
    }

    #[test]
    fn waits_for_what_is_not_complete() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        for cut in 0..text.len() {
            assert_eq!(parse(&text.as_bytes()[..cut], false), Ok(None), "{cut}");
        }
    }

    #[test]
    fn refuses_what_is_not_http() {
        for text in [
            "SSH-2.0-x",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert!(matches!(parse(text.as_bytes(), true), Err(Trouble::Malformed(_))), "{text}");
        }
    }
}
