//! Publishing: one signed POST per message, over a connection of its own. Only a 200 with a MessageId counts.

use crate::cloud_names::Topic;
use crate::credentials::Credentials;
use crate::http::{Answer, Timed, Trouble, parse, read_answer};
use crate::message::Message;
use crate::sigv4::{self, push_form_value};
use crate::time::{Clock, Epoch};
use crate::tls;
use crate::url::{Url, bracketed};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One address gets this long to accept a connection, so that a dead first address leaves time for the second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// One attempt, name look-up aside, gets this long: twenty fit into the time that a notice leaves.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// AWS refuses signatures from about five minutes off; as the SDKs do, the clock is blamed from four.
const SKEW_SECONDS_MAX: i64 = 240;

/// Distributions ship about 150.
const CERTIFICATES_MAX: usize = 2_048;

/// Where distributions keep the CA certificates that they trust; the first that exists is read.
const CA_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// How names become addresses. A parameter, because a name service that fails and recovers cannot be staged otherwise.
pub type Resolve = fn(&str, u16) -> io::Result<Vec<SocketAddr>>;

/// Why a message was not accepted, sorted by what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Try again soon: network, throttling, trouble at AWS's end.
    Later(String),
    /// Try again at once: the clock was off and is corrected.
    ClockCorrected(String),
    /// Fetch credentials, then try again.
    CredentialsStale(String),
    /// The role may not do this. Somebody must change a policy; try again now and then.
    Denied(String),
    /// It will never be accepted.
    Never(String),
}

/// The way to one topic.
pub struct Sns {
    topic: Topic,
    endpoint: Url,
    proxy: Option<Url>,
    ca_bundle: Option<PathBuf>,
    resolve: Resolve,
    /// Where the last attempt got through to; filled at the start, so that a name service that fails with the notice does no harm.
    known: Vec<SocketAddr>,
    /// What SNS's clock says beyond what the metadata service's says.
    skew_seconds: i64,
}

impl Sns {
    /// `proxy` is the proxy for exactly this endpoint, if there is one.
    pub fn new(topic: Topic, endpoint: Url, proxy: Option<Url>, ca_bundle: Option<PathBuf>, resolve: Resolve) -> Self {
        Self { topic, endpoint, proxy, ca_bundle, resolve, known: Vec::new(), skew_seconds: 0 }
    }

    /// Looks the name up and connects once, so that a closed network is reported on the first day and not with the first notice.
    pub fn probe(&mut self) -> Result<(), String> {
        self.connect(Instant::now() + ATTEMPT_TIMEOUT).map(drop)
    }

    /// One attempt to publish; the id that SNS gave the message, or why it gave none.
    pub fn publish(&mut self, message: &Message, credentials: &Credentials, clock: &Clock) -> Result<String, Refusal> {
        let now = Epoch(clock.now().0 + self.skew_seconds);
        let request = self.request(message, credentials, now);
        let answer = match self.exchange(request.as_bytes(), now) {
            Ok(answer) => answer,
            Err(why) => {
                // A wrong or dead address must not be kept.
                self.known.clear();
                return Err(Refusal::Later(why));
            }
        };
        self.verdict(&answer, clock)
    }

    fn request(&self, message: &Message, credentials: &Credentials, now: Epoch) -> String {
        let mut form = String::with_capacity(1024);
        let mut add = |key: &str, value: &str| {
            if !form.is_empty() {
                form.push('&');
            }
            form.push_str(key);
            form.push('=');
            push_form_value(value, &mut form);
        };
        add("Action", "Publish");
        add("Version", "2010-03-31");
        add("TopicArn", &self.topic.arn);
        add("Message", &message.to_json());
        add("MessageAttributes.entry.1.Name", "kind");
        add("MessageAttributes.entry.1.Value.DataType", "String");
        add("MessageAttributes.entry.1.Value.StringValue", message.kind.word());
        if self.topic.is_fifo() {
            add("MessageGroupId", &message.instance);
            add("MessageDeduplicationId", &message.id());
        }
        let host = self.endpoint.host_header();
        let signature = sigv4::sign(credentials, "sns", self.topic.region(), &host, &form, now);
        format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: {}\r\nX-Amz-Date: {}\r\nX-Amz-Security-Token: {}\r\nAuthorization: {}\r\nUser-Agent: spotward-watcher/{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{form}",
            sigv4::CONTENT_TYPE,
            signature.date,
            credentials.session_token,
            signature.authorization,
            env!("CARGO_PKG_VERSION"),
            form.len(),
        )
    }

    fn exchange(&mut self, request: &[u8], now: Epoch) -> Result<Answer, String> {
        let until = Instant::now() + ATTEMPT_TIMEOUT;
        // The certificates are read before connecting: that takes milliseconds in which the other side would wait for us.
        let tls = if self.endpoint.is_tls { Some(tls_config(self.ca_bundle.as_deref(), now)?) } else { None };
        let mut stream = self.connect(until)?;
        let mut buffer = Vec::new();
        let Some(tls) = tls else {
            return talk(&mut stream, request, &mut buffer);
        };
        if self.proxy.is_some() {
            self.pass_proxy(&mut stream)?;
        }
        let name = ServerName::try_from(self.endpoint.host.clone())
            .map_err(|_| format!("{}: not a host name", self.endpoint.host))?;
        let connection = ClientConnection::new(tls, name).map_err(|error| error.to_string())?;
        talk(&mut StreamOwned::new(connection, stream), request, &mut buffer)
    }

    /// To SNS, or to the proxy on the way to it; by the known addresses first.
    fn connect(&mut self, until: Instant) -> Result<Timed, String> {
        let hop = self.proxy.as_ref().unwrap_or(&self.endpoint);
        let failed = |why: &dyn std::fmt::Display| format!("{}:{}: {why}", hop.host, hop.port);
        if !self.known.is_empty() {
            match Timed::connect(&self.known, CONNECT_TIMEOUT, until) {
                Ok(stream) => return Ok(stream.without_delay()),
                Err(_) => self.known.clear(),
            }
        }
        let addresses =
            (self.resolve)(&hop.host, hop.port).map_err(|error| failed(&format_args!("no address: {error}")))?;
        let stream = Timed::connect(&addresses, CONNECT_TIMEOUT, until).map_err(|trouble| failed(&trouble))?;
        self.known = addresses;
        Ok(stream.without_delay())
    }

    fn pass_proxy(&self, stream: &mut Timed) -> Result<(), String> {
        let target = format!("{}:{}", bracketed(&self.endpoint.host), self.endpoint.port);
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(user_info) = self.proxy.as_ref().and_then(|proxy| proxy.user_info.as_ref()) {
            request.push_str(&format!("Proxy-Authorization: Basic {}\r\n", base64(&unescaped(user_info))));
        }
        request.push_str("\r\n");
        let failed = |trouble: Trouble| format!("proxy: {trouble}");
        stream.write_all(request.as_bytes()).map_err(|error| failed(error.into()))?;
        let mut head = Vec::new();
        // One byte at a time: what follows the head belongs to TLS.
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) if head.len() < 8192 => head.push(byte[0]),
                Ok(1) => return Err(failed(Trouble::Malformed("too long"))),
                Ok(_) => return Err(failed(Trouble::Cut)),
                Err(error) => return Err(failed(error.into())),
            }
        }
        match parse(&head, true) {
            Ok(Some(answer)) if answer.status == 200 => Ok(()),
            Ok(Some(answer)) => Err(failed(Trouble::Status(answer.status))),
            // A refusal with a body: its status line is what matters, and it is in the head.
            Ok(None) => Err(failed(Trouble::Malformed("refused"))),
            Err(trouble) => Err(failed(trouble)),
        }
    }

    fn verdict(&mut self, answer: &Answer, clock: &Clock) -> Result<String, Refusal> {
        // What is not even text has neither a MessageId nor a code.
        let body = answer.text().unwrap_or_default();
        if answer.status == 200 {
            return match element(body, "MessageId") {
                Some(id) if !id.is_empty() => Ok(id.to_owned()),
                _ => Err(Refusal::Later("answered 200 without a MessageId".to_owned())),
            };
        }
        let code = element(body, "Code").unwrap_or("no code");
        let text = format!("{} {code}: {}", answer.status, element(body, "Message").unwrap_or_default());
        Err(match code {
            "SignatureDoesNotMatch"
            | "RequestExpired"
            | "RequestTimeTooSkewed"
            | "InvalidSignatureException"
            | "AccessDeniedException"
                if self.correct_clock(answer.date, clock) =>
            {
                Refusal::ClockCorrected(text)
            }
            "ExpiredToken"
            | "ExpiredTokenException"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "InvalidToken"
            | "SignatureDoesNotMatch"
            | "InvalidSignatureException"
            | "RequestExpired" => Refusal::CredentialsStale(text),
            "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "Throttled"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
            | "KMSThrottling" => Refusal::Later(text),
            _ if answer.status >= 500 || answer.status == 429 || answer.status == 408 => Refusal::Later(text),
            // 403: a policy. 404: the topic may be on its way. KMS…: the key's policy or state.
            _ if answer.status == 403 || answer.status == 404 || code.starts_with("KMS") => Refusal::Denied(text),
            _ if (400..500).contains(&answer.status) => Refusal::Never(text),
            _ => Refusal::Later(text),
        })
    }

    /// True if SNS's clock shows that ours was the fault; then it is taken over for what is signed.
    fn correct_clock(&mut self, date: Option<Epoch>, clock: &Clock) -> bool {
        let Some(date) = date else { return false };
        let skew = date.0 - clock.now().0;
        let is_fault = (skew - self.skew_seconds).abs() > SKEW_SECONDS_MAX;
        if is_fault {
            self.skew_seconds = skew;
        }
        is_fault
    }
}

/// The system's name service.
pub fn system_resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

/// The proxy to use for `host`, by the customary variables; `lookup` reads the environment.
pub fn proxy_for(host: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Option<Url>, String> {
    let either = |lower: &str, upper: &str| lookup(lower).or_else(|| lookup(upper)).filter(|value| !value.is_empty());
    let Some(proxy) = either("https_proxy", "HTTPS_PROXY") else { return Ok(None) };
    let exceptions = either("no_proxy", "NO_PROXY").unwrap_or_default();
    let is_exception = |rule: &str| {
        let rule = rule.trim();
        let suffix = rule.trim_start_matches('.');
        rule == "*"
            || (!suffix.is_empty()
                && (host == suffix || host.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'))))
    };
    if exceptions.split(',').any(is_exception) {
        return Ok(None);
    }
    let whole = if proxy.contains("://") { proxy.clone() } else { format!("http://{proxy}") };
    match Url::read(&whole) {
        Some(url) if !url.is_tls => Ok(Some(url)),
        // The value may hold a password: it is not repeated.
        _ => Err("HTTPS_PROXY must be http://[USER:PASSWORD@]HOST:PORT".to_owned()),
    }
}

fn talk(stream: &mut (impl Read + Write), request: &[u8], buffer: &mut Vec<u8>) -> Result<Answer, String> {
    let told = |error: io::Error| match error.get_ref() {
        // rustls says what is wrong with the certificate; an `ErrorKind` would not.
        Some(inner) if error.kind() == io::ErrorKind::InvalidData => format!("TLS: {inner}"),
        _ => Trouble::from(error).to_string(),
    };
    stream.write_all(request).and_then(|()| stream.flush()).map_err(told)?;
    let mut failure = None;
    let answer = read_answer(&mut Noting { stream, failure: &mut failure }, buffer);
    answer.map_err(|trouble| failure.unwrap_or_else(|| trouble.to_string()))
}

/// Keeps the words of a TLS failure that happens while reading: TLS 1.3 servers may refuse only then.
struct Noting<'a, S> {
    stream: &'a mut S,
    failure: &'a mut Option<String>,
}

impl<S: Read> Read for Noting<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer).inspect_err(|error| {
            if error.kind() == io::ErrorKind::InvalidData {
                *self.failure = error.get_ref().map(|inner| format!("TLS: {inner}"));
            }
        })
    }
}

/// The corrected clock, for the dates in certificates.
#[derive(Debug)]
struct CorrectedTime(Epoch);

impl TimeProvider for CorrectedTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.0.max(0) as u64)))
    }
}

/// Made for each publish and dropped: the certificates of the world need not stay in memory for weeks.
fn tls_config(ca_bundle: Option<&Path>, now: Epoch) -> Result<Arc<ClientConfig>, String> {
    let mut config = ClientConfig::builder_with_details(Arc::new(tls::provider()), Arc::new(CorrectedTime(now)))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots(ca_bundle)?)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn roots(ca_bundle: Option<&Path>) -> Result<RootCertStore, String> {
    let path = match ca_bundle {
        Some(path) => path,
        None => CA_BUNDLES
            .iter()
            .map(Path::new)
            .find(|path| path.exists())
            .ok_or("no CA bundle on this system; set --ca-bundle")?,
    };
    let failed = |error: &dyn std::fmt::Display| format!("CA bundle {}: {error}", path.display());
    let mut store = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))?;
    // One certificate that cannot be read must not cost the other hundred; a path that gives errors for ever must end.
    for certificate in certificates.take(CERTIFICATES_MAX).flatten() {
        let _ = store.add(certificate);
    }
    if store.is_empty() { Err(failed(&"no certificate in it")) } else { Ok(store) }
}

/// The text of the first `<name>` in an answer of SNS.
pub fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let start = xml.match_indices('<').find_map(|(at, _)| xml[at + 1..].strip_prefix(name)?.strip_prefix('>'))?;
    let end = start.find("</")?;
    Some(start[..end].trim())
}

fn unescaped(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = bytes
            .get(at + 1..at + 3)
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match escaped {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * place) & 63) as usize] as char;
            text.push(if place <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(host: &str, proxy: &str, exceptions: &str) -> Result<Option<u16>, String> {
        let lookup = |name: &str| match name {
            "HTTPS_PROXY" => Some(proxy.to_owned()),
            "no_proxy" => Some(exceptions.to_owned()),
            _ => None,
        };
        proxy_for(host, &lookup).map(|url| url.map(|url| url.port))
    }

    #[test]
    fn the_proxy_is_used_unless_the_host_is_excepted() {
        let host = "sns.eu-central-1.amazonaws.com";
        assert_eq!(proxy(host, "", ""), Ok(None));
        assert_eq!(proxy(host, "http://proxy:3128", ""), Ok(Some(3128)));
        assert_eq!(proxy(host, "proxy:3128", "example.com, aws.com"), Ok(Some(3128)));
        for exceptions in ["*", host, "amazonaws.com", ".amazonaws.com", "x, .eu-central-1.amazonaws.com"] {
            assert_eq!(proxy(host, "http://proxy:3128", exceptions), Ok(None), "{exceptions}");
        }
        assert!(proxy(host, "https://proxy:3128", "").is_err());
        assert!(proxy(host, "http://user:secret@", "").is_err_and(|why| !why.contains("secret")));
    }

    #[test]
    fn base64_as_in_rfc_4648() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(unescaped("a%40b%zz%"), b"a@b%zz%");
    }

    #[test]
    fn finds_elements() {
        let xml = "<PublishResponse><PublishResult><MessageId> 94f2 </MessageId></PublishResult></PublishResponse>";
        assert_eq!(element(xml, "MessageId"), Some("94f2"));
        assert_eq!(element(xml, "Code"), None);
        assert_eq!(element("<Code>x", "Code"), None);
    }

    fn verdict(status: u16, code: &str, date: i64) -> Result<String, Refusal> {
        let topic = Topic::read("arn:aws:sns:us-east-1:123456789012:t").unwrap();
        let endpoint = Url::read("https://sns.us-east-1.amazonaws.com").unwrap();
        let mut sns = Sns::new(topic, endpoint, None, None, system_resolve);
        let clock = Clock::default();
        let answer = Answer {
            status,
            date: Some(Epoch(clock.now().0 + date)),
            token_ttl_seconds: None,
            body: format!("<ErrorResponse><Error><Code>{code}</Code><Message>m</Message></Error></ErrorResponse>")
                .into_bytes(),
        };
        sns.verdict(&answer, &clock)
    }

    #[test]
    fn refusals_are_sorted_by_what_to_do() {
        let word = |refusal| match refusal {
            Err(Refusal::Later(_)) => "later",
            Err(Refusal::ClockCorrected(_)) => "clock",
            Err(Refusal::CredentialsStale(_)) => "credentials",
            Err(Refusal::Denied(_)) => "denied",
            Err(Refusal::Never(_)) => "never",
            Ok(_) => "accepted",
        };
        for (status, code, date, expected) in [
            (503, "ServiceUnavailable", 0, "later"),
            (400, "Throttling", 0, "later"),
            (429, "x", 0, "later"),
            (200, "x", 0, "later"),
            (302, "x", 0, "later"),
            (403, "SignatureDoesNotMatch", 3_600, "clock"),
            (403, "SignatureDoesNotMatch", -3_600, "clock"),
            (400, "RequestExpired", 241, "clock"),
            (403, "SignatureDoesNotMatch", 239, "credentials"),
            (403, "ExpiredToken", 3_600, "credentials"),
            (403, "InvalidClientTokenId", 0, "credentials"),
            (403, "AuthorizationError", 0, "denied"),
            (404, "NotFound", 0, "denied"),
            (400, "KMSAccessDenied", 0, "denied"),
            (400, "InvalidParameter", 0, "never"),
        ] {
            assert_eq!(word(verdict(status, code, date)), expected, "{status} {code} {date}");
        }
    }
}
