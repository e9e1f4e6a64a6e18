//! The instance metadata service, version 2 only: a session token first, then one connection per item, as the service closes each.

use crate::http::{Answer, BUFFER_BYTES, Timed, Trouble, read_answer};
use crate::time::Clock;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The longest life that the service grants: six hours.
const TOKEN_TTL_SECONDS: u32 = 21_600;
/// The service is on the same host; what takes longer is a fault, and the notice must not wait for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The whole exchange, so that a service that drips bytes cannot hold us.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Why the service gave nothing, and whether it is the service or the item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImdsTrouble {
    /// No connection or no token: the other items would fare no better.
    pub is_whole_service: bool,
    /// What happened.
    pub trouble: Trouble,
}

impl fmt::Display for ImdsTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trouble.fmt(f)?;
        match self.trouble {
            // The answer to PUT has an IP hop limit of 1 by default, so from a bridged container it never arrives.
            Trouble::Silent if self.is_whole_service => {
                f.write_str(" (inside a container? the metadata hop limit must be 2 there)")
            }
            Trouble::Connect(_) => f.write_str(" (switched off, or blocked by a firewall?)"),
            Trouble::Status(403) => f.write_str(" (switched off for this instance?)"),
            _ => Ok(()),
        }
    }
}

impl From<Trouble> for ImdsTrouble {
    fn from(trouble: Trouble) -> Self {
        Self { is_whole_service: matches!(trouble, Trouble::Connect(_)), trouble }
    }
}

/// The client; it owns the token and the buffers, and nothing in it grows.
pub struct Imds {
    address: SocketAddr,
    host: String,
    token: Option<Token>,
    request: String,
    buffer: Vec<u8>,
}

struct Token {
    /// What follows the path in each request until the token is renewed.
    rest_of_request: String,
    renew_at: Instant,
}

impl Imds {
    /// A client that has not spoken yet.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            host: address.to_string(),
            token: None,
            request: String::with_capacity(256),
            buffer: Vec::new(),
        }
    }

    /// The item at `path` below `/latest/`; `None` if the service says 404. Takes the time from each answer on the way.
    pub fn get(&mut self, path: &str, clock: &mut Clock) -> Result<Option<String>, ImdsTrouble> {
        self.renew_token_if_due(clock)?;
        let mut answer = self.ask(path, clock)?;
        if answer.status == 401 {
            // The token is gone or not ours (the instance was restored, the service restarted): a new one within the same tick.
            // Never version 1, and never the old token beside the new one: each request is built anew.
            self.token = None;
            self.renew_token_if_due(clock)?;
            answer = self.ask(path, clock)?;
        }
        match answer.status {
            200 => Ok(Some(answer.text()?.to_owned())),
            404 => Ok(None),
            status => Err(Trouble::Status(status).into()),
        }
    }

    fn renew_token_if_due(&mut self, clock: &mut Clock) -> Result<(), ImdsTrouble> {
        if self.token.as_ref().is_some_and(|token| Instant::now() < token.renew_at) {
            return Ok(());
        }
        self.renew_token(clock).map_err(|trouble| ImdsTrouble { is_whole_service: true, trouble })
    }

    fn renew_token(&mut self, clock: &mut Clock) -> Result<(), Trouble> {
        self.request.clear();
        let _ = write!(
            self.request,
            "PUT /latest/api/token HTTP/1.1\r\nHost: {}\r\nX-aws-ec2-metadata-token-ttl-seconds: {TOKEN_TTL_SECONDS}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.host
        );
        let answer = self.exchange(clock)?;
        if answer.status != 200 {
            return Err(Trouble::Status(answer.status));
        }
        let text = answer.text()?.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Trouble::Malformed("token"));
        }
        // Half of its life: the service may be down for three hours before we lack a token.
        let life = Duration::from_secs(u64::from(answer.token_ttl_seconds.unwrap_or(TOKEN_TTL_SECONDS)));
        let rest_of_request = format!(
            " HTTP/1.1\r\nHost: {}\r\nX-aws-ec2-metadata-token: {text}\r\nConnection: close\r\n\r\n",
            self.host
        );
        self.token = Some(Token { rest_of_request, renew_at: Instant::now() + life / 2 });
        Ok(())
    }

    fn ask(&mut self, path: &str, clock: &mut Clock) -> Result<Answer, Trouble> {
        self.request.clear();
        self.request.push_str("GET /latest/");
        self.request.push_str(path);
        self.request.push_str(self.token.as_ref().map_or("", |token| token.rest_of_request.as_str()));
        self.exchange(clock)
    }

    fn exchange(&mut self, clock: &mut Clock) -> Result<Answer, Trouble> {
        let until = Instant::now() + ANSWER_TIMEOUT;
        let mut stream = Timed::connect(&[self.address], CONNECT_TIMEOUT, until)?;
        stream.write_all(self.request.as_bytes())?;
        let answer = read_answer(&mut stream, &mut self.buffer)?;
        // A long answer must not keep its memory for the life of the process.
        self.buffer.truncate(BUFFER_BYTES);
        self.buffer.shrink_to(BUFFER_BYTES);
        if let Some(date) = answer.date {
            clock.observe(date);
        }
        Ok(answer)
    }
}
