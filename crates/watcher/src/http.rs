//! Just enough HTTP/1 to read the short answers of the metadata service, of SNS and of an owner's health check.

use crate::time::Epoch;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The identity document, the longest answer that we ask for, is under 1 KiB; an SNS error is under 2 KiB.
const ANSWER_BYTES_MAX: usize = 32 * 1024;

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
    /// The body, as text.
    pub body: String,
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
        self.left()?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads one answer, to its stated length or to the end of the connection.
pub fn read_answer(stream: &mut impl Read, buffer: &mut Vec<u8>) -> Result<Answer, Trouble> {
    buffer.clear();
    loop {
        let mut chunk = [0; 2048];
        let at_end = match stream.read(&mut chunk) {
            Ok(0) => true,
            Ok(count) => {
                buffer.extend_from_slice(&chunk[..count]);
                false
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // TLS peers that close without saying goodbye: what came may be complete all the same.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => true,
            Err(error) => return Err(error.into()),
        };
        if let Some(answer) = parse(buffer, at_end)? {
            return Ok(answer);
        }
        if at_end {
            return Err(Trouble::Cut);
        }
        if buffer.len() > ANSWER_BYTES_MAX {
            return Err(Trouble::Malformed("too long"));
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
    std::str::from_utf8(text).ok().and_then(status_of).ok_or(Trouble::Malformed("status line"))
}

/// The answer in `bytes`; `None` while more must come.
pub fn parse(bytes: &[u8], at_end: bool) -> Result<Option<Answer>, Trouble> {
    let Some(head_end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        // Whoever does not speak HTTP is found out by the first bytes, not after a time-out.
        let start = &bytes[..bytes.len().min(7)];
        let is_http = b"HTTP/1.".starts_with(start);
        return if is_http { Ok(None) } else { Err(Trouble::Malformed("not HTTP/1")) };
    };
    let head = std::str::from_utf8(&bytes[..head_end]).map_err(|_| Trouble::Malformed("header"))?;
    let body = &bytes[head_end + 4..];
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(status_of).ok_or(Trouble::Malformed("status line"))?;
    let (mut length, mut is_chunked, mut date, mut token_ttl_seconds) = (None, false, None, None);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(Trouble::Malformed("header"))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let stated: usize = value.parse().map_err(|_| Trouble::Malformed("content-length"))?;
            if stated > ANSWER_BYTES_MAX {
                return Err(Trouble::Malformed("too long"));
            }
            length = Some(stated);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            is_chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("date") {
            date = Epoch::from_http(value);
        } else if name.eq_ignore_ascii_case("x-aws-ec2-metadata-token-ttl-seconds") {
            token_ttl_seconds = value.parse().ok();
        }
    }
    let body = match length {
        _ if is_chunked => match unchunk(body)? {
            Some(whole) => whole,
            None => return Ok(None),
        },
        Some(length) if body.len() >= length => body[..length].to_vec(),
        None if at_end => body.to_vec(),
        Some(_) | None => return Ok(None),
    };
    let body = String::from_utf8(body).map_err(|_| Trouble::Malformed("text"))?;
    Ok(Some(Answer { status, date, token_ttl_seconds, body }))
}

/// `HTTP/1.0 200 OK`: some of the metadata service's answers are 1.0.
fn status_of(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.0 ").or_else(|| line.strip_prefix("HTTP/1.1 "))?;
    let digits = rest.get(..3)?;
    let ends = rest.len() == 3 || rest.as_bytes()[3] == b' ';
    (ends && digits.bytes().all(|digit| digit.is_ascii_digit())).then(|| digits.parse().ok())?
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
        assert_eq!((answer.status, answer.body.as_str(), answer.date), (200, "hello", Some(Epoch(1_795_312_834))));
        let old = whole("HTTP/1.0 404 Not Found\r\n\r\n<html/>");
        assert_eq!((old.status, old.body.as_str()), (404, "<html/>"));
        let token = whole("HTTP/1.1 200 OK\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\nContent-Length: 1\r\n\r\nT");
        assert_eq!(token.token_ttl_seconds, Some(60));
    }

    #[test]
    fn joins_chunks() {
        let answer =
            whole("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nMess\r\n5\r\nageId\r\n0\r\n\r\n");
        assert_eq!(answer.body, "MessageId");
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
            "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert!(matches!(parse(text.as_bytes(), true), Err(Trouble::Malformed(_))), "{text}");
        }
    }
}
