//! A metadata service: version 2 only, closes after each answer, and breaks in the ways that the real one and its imitations do.

use super::{INSTANCE, http_date, in_seconds, lock, now};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const ACTION: &str = "meta-data/spot/instance-action";
pub const REBALANCE: &str = "meta-data/events/recommendations/rebalance";
pub const TARGET: &str = "meta-data/autoscaling/target-lifecycle-state";
pub const ROLES: &str = "meta-data/iam/security-credentials/";
pub const ROLE: &str = "meta-data/iam/security-credentials/web";
pub const LIFE_CYCLE: &str = "meta-data/instance-life-cycle";
pub const DOCUMENT: &str = "dynamic/instance-identity/document";

/// How an answer goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Status(u16),
    /// Accepts and says nothing.
    Hang,
    /// One byte every 100 ms.
    Drip,
    /// Closes at once, with unread data: a reset.
    Reset,
    /// Half of the answer, then the end.
    Cut,
    /// A right answer in the old form, without a length.
    Http10,
    /// 200 with something else in it.
    Garbage,
    /// No answer, and the token is no longer known.
    ForgetTokens,
}

/// What is to break: requests for paths that contain a text, this many times.
struct Plan {
    path: String,
    fault: Fault,
    left: u32,
}

/// Path in, fault or none out.
pub type Weather = Box<dyn FnMut(&str) -> Option<Fault> + Send>;

pub struct State {
    pub items: BTreeMap<String, String>,
    tokens: Vec<String>,
    issued: u32,
    pub token_ttl_seconds: u32,
    plans: Vec<Plan>,
    /// Asked for each request, for soaks: a fault or none.
    pub weather: Option<Weather>,
    /// Every request: when, and its first line without the version.
    pub requests: Vec<(Instant, String)>,
    pub keeps_requests: bool,
    /// Of the service's clock.
    pub date_offset_seconds: i64,
    pub has_date: bool,
    /// Requests that no version 2 client sends.
    pub violations: Vec<String>,
    /// When an answer with a notice in it was written.
    pub notice_answered: Option<Instant>,
    held: Vec<TcpStream>,
}

pub struct MockImds {
    pub address: SocketAddr,
    pub state: Arc<Mutex<State>>,
}

impl MockImds {
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap())
    }

    pub fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            items: BTreeMap::new(),
            tokens: Vec::new(),
            issued: 0,
            token_ttl_seconds: 21_600,
            plans: Vec::new(),
            weather: None,
            requests: Vec::new(),
            keeps_requests: true,
            date_offset_seconds: 0,
            has_date: true,
            violations: Vec::new(),
            notice_answered: None,
            held: Vec::new(),
        }));
        let mock = Self { address, state: Arc::clone(&state) };
        mock.set(LIFE_CYCLE, "spot");
        mock.set(
            DOCUMENT,
            &format!("{{\n  \"accountId\" : \"123456789012\",\n  \"billingProducts\" : null,\n  \"instanceId\" : \"{INSTANCE}\",\n  \"region\" : \"eu-central-1\",\n  \"version\" : \"2017-09-30\"\n}}"),
        );
        mock.set(ROLES, "web");
        mock.set_credentials("ASIAEXAMPLE1", 6 * 3_600);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                // One at a time, as the watcher asks; only a drip takes long.
                let _ = answer(stream, &state);
            }
        });
        mock
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set(&self, path: &str, text: &str) {
        lock(&self.state).items.insert(path.to_owned(), text.to_owned());
    }

    pub fn remove(&self, path: &str) {
        lock(&self.state).items.remove(path);
    }

    /// Credentials whose secret and token follow from their id, so that the mock SNS knows them.
    pub fn set_credentials(&self, key_id: &str, life_seconds: i64) {
        let expiration = in_seconds(life_seconds).to_iso();
        let token = super::sns::session_token_of(key_id);
        let secret = super::sns::secret_of(key_id);
        self.set(
            ROLE,
            &format!("{{\"Code\":\"Success\",\"LastUpdated\":\"{}\",\"Type\":\"AWS-HMAC\",\"AccessKeyId\":\"{key_id}\",\"SecretAccessKey\":\"{secret}\",\"Token\":\"{token}\",\"Expiration\":\"{expiration}\"}}", now().to_iso()),
        );
    }

    /// Posts a notice; the time is by the mock's own clock.
    pub fn notice(&self, action: &str, in_seconds: i64) {
        let offset = lock(&self.state).date_offset_seconds;
        let time = super::in_seconds(in_seconds + offset).to_iso();
        self.set(ACTION, &format!("{{\"action\": \"{action}\", \"time\": \"{time}\"}}"));
    }

    pub fn fail(&self, path: &str, fault: Fault, times: u32) {
        lock(&self.state).plans.push(Plan { path: path.to_owned(), fault, left: times });
    }

    pub fn forget_tokens(&self) {
        lock(&self.state).tokens.clear();
    }

    /// How many requests there were whose first line contains `text`.
    pub fn count(&self, text: &str) -> usize {
        lock(&self.state).requests.iter().filter(|(_, line)| line.contains(text)).count()
    }

    pub fn lines(&self) -> Vec<String> {
        lock(&self.state).requests.iter().map(|(_, line)| line.clone()).collect()
    }

    pub fn violations(&self) -> Vec<String> {
        lock(&self.state).violations.clone()
    }

    /// True when no planned fault is left.
    pub fn is_calm(&self) -> bool {
        lock(&self.state).plans.iter().all(|plan| plan.left == 0)
    }
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    // Looked at first and read later: closing with unread data is what makes the kernel send a reset.
    let mut seen = [0; 4096];
    let length = loop {
        let count = stream.peek(&mut seen)?;
        if count == 0 {
            return Ok(());
        }
        if seen[..count].ends_with(b"\r\n\r\n") {
            break count;
        }
        std::thread::sleep(Duration::from_micros(100));
    };
    let request = String::from_utf8_lossy(&seen[..length]).into_owned();
    let first = request.lines().next().unwrap_or_default();
    let line = first.trim_end_matches(" HTTP/1.1").to_owned();
    let header = |name: &str| {
        let values: Vec<String> = request
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_owned())
            .collect();
        values
    };
    let mut held = lock(state);
    let state = &mut *held;
    if state.keeps_requests {
        state.requests.push((Instant::now(), line.clone()));
    }
    let path = line.split_once(" /latest/").map(|(_, path)| path.to_owned()).unwrap_or_default();
    let tokens = header("x-aws-ec2-metadata-token");
    let is_put = line.starts_with("PUT ");
    if (is_put && path != "api/token")
        || (!is_put && tokens.len() != 1)
        || header("host").len() != 1
        || !header("x-forwarded-for").is_empty()
    {
        state.violations.push(request.clone());
    }
    let (mut status, mut body) = if is_put {
        match header("x-aws-ec2-metadata-token-ttl-seconds").first().and_then(|ttl| ttl.parse::<u32>().ok()) {
            Some(1..=21_600) => {
                state.issued += 1;
                let token = format!("TOKEN{}==", state.issued);
                state.tokens.push(token.clone());
                if state.tokens.len() > 4 {
                    state.tokens.remove(0);
                }
                (200, token)
            }
            _ => (400, String::new()),
        }
    } else if !state.tokens.iter().any(|token| Some(token) == tokens.first()) {
        (401, "<?xml version=\"1.0\"?><html><head><title>401 - Unauthorized</title></head></html>".to_owned())
    } else {
        match state.items.get(&path) {
            Some(text) => (200, text.clone()),
            None => (404, "<?xml version=\"1.0\"?><html><head><title>404 - Not Found</title></head></html>".to_owned()),
        }
    };
    let planned = state.plans.iter_mut().find(|plan| plan.left > 0 && line.contains(&plan.path)).map(|plan| {
        plan.left -= 1;
        plan.fault
    });
    let fault = planned.or_else(|| state.weather.as_mut().and_then(|weather| weather(&path)));
    match fault {
        Some(Fault::Hang) => {
            if state.held.len() > 64 {
                state.held.clear();
            }
            state.held.push(stream);
            return Ok(());
        }
        // Nothing was read: the connection is reset.
        Some(Fault::Reset) => return Ok(()),
        Some(Fault::Status(other)) => (status, body) = (other, String::new()),
        Some(Fault::Garbage) => (status, body) = (200, "{\"action\": \"term".to_owned()),
        Some(Fault::ForgetTokens) => {
            state.tokens.clear();
            (status, body) = (401, String::new());
        }
        Some(Fault::Drip | Fault::Cut | Fault::Http10) | None => {}
    }
    let reason = if status == 200 { "OK" } else { "Not OK" };
    let date = if state.has_date {
        format!("Date: {}\r\n", http_date(super::Epoch(now().0 + state.date_offset_seconds)))
    } else {
        String::new()
    };
    let ttl = if is_put {
        format!("X-aws-ec2-metadata-token-ttl-seconds: {}\r\n", state.token_ttl_seconds)
    } else {
        String::new()
    };
    let text = match fault {
        Some(Fault::Http10) => format!("HTTP/1.0 {status} {reason}\r\n{date}{ttl}Server: EC2ws\r\n\r\n{body}"),
        _ => format!(
            "HTTP/1.1 {status} {reason}\r\n{date}{ttl}Server: EC2ws\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ),
    };
    if status == 200 && path == ACTION && state.notice_answered.is_none() {
        state.notice_answered = Some(Instant::now());
    }
    drop(held);
    stream.read_exact(&mut seen[..length])?;
    match fault {
        Some(Fault::Cut) => stream.write_all(&text.as_bytes()[..text.len() / 2]),
        Some(Fault::Drip) => {
            for byte in text.as_bytes() {
                // Ends when the client has had enough.
                stream.write_all(&[*byte])?;
                std::thread::sleep(Duration::from_millis(100));
            }
            Ok(())
        }
        _ => stream.write_all(text.as_bytes()),
    }
}
