//! An SNS over TLS that believes no signature which botocore does not confirm, and misbehaves on demand.

use super::{TOPIC, http_date, lock, now, root};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use watcher::time::Epoch;

/// What an attempt meets; without a plan, a fair judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Judge,
    /// An error answer: status and code.
    Refuse(u16, &'static str),
    /// Accepts the message and never says so.
    AcceptMutely,
    /// Reads and says nothing.
    Hang,
    /// Hangs up before the handshake.
    Close,
    /// 200 without a MessageId.
    EmptySuccess,
    /// A right answer in chunks, from an interception proxy.
    Chunked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    Both,
    Only12,
    Only13,
}

/// A message that SNS took.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub at: Instant,
    pub when: Epoch,
    pub message: Value,
}

impl Accepted {
    pub fn get(&self, key: &str) -> &str {
        self.message[key].as_str().unwrap_or_default()
    }
}

pub struct State {
    pub fates: Vec<Fate>,
    pub accepted: Vec<Accepted>,
    /// Every complete request: when it was read, and what was said.
    pub attempts: Vec<(Instant, u16)>,
    pub connections: u32,
    /// Of SNS's clock.
    pub date_offset_seconds: i64,
    /// Ids whose credentials have expired.
    pub expired_keys: Vec<String>,
    pub complaints: Vec<String>,
    pub last_request: String,
    held: Vec<TcpStream>,
}

pub struct MockSns {
    pub address: SocketAddr,
    pub state: Arc<Mutex<State>>,
}

/// Every test key's secret and token follow from its id.
pub fn secret_of(key_id: &str) -> String {
    format!("secret/of+{key_id}")
}

pub fn session_token_of(key_id: &str) -> String {
    format!("token//of+{key_id}==")
}

impl MockSns {
    /// Writes its CA's certificate to `ca`.
    pub fn start(ca: &Path, tls: Tls) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let config = Arc::new(server_config(ca, tls));
        let state = Arc::new(Mutex::new(State {
            fates: Vec::new(),
            accepted: Vec::new(),
            attempts: Vec::new(),
            connections: 0,
            date_offset_seconds: 0,
            expired_keys: Vec::new(),
            complaints: Vec::new(),
            last_request: String::new(),
            held: Vec::new(),
        }));
        let mock = Self { address, state: Arc::clone(&state) };
        let host = mock.host();
        // The judge takes a second to import botocore: not in the middle of a measurement.
        judge();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, config, host) = (Arc::clone(&state), Arc::clone(&config), host.clone());
                std::thread::spawn(move || serve(stream, &config, &state, &host));
            }
        });
        mock
    }

    pub fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.host())
    }

    /// What the next attempts meet, in order.
    pub fn plan(&self, fates: &[Fate]) {
        lock(&self.state).fates.extend_from_slice(fates);
    }

    pub fn accepted(&self) -> Vec<Accepted> {
        let state = lock(&self.state);
        assert_eq!(state.complaints, Vec::<String>::new(), "botocore, or the schema, objects");
        state.accepted.clone()
    }

    pub fn of_kind(&self, kind: &str) -> Vec<Accepted> {
        self.accepted().into_iter().filter(|accepted| accepted.get("kind") == kind).collect()
    }

    /// Different ids among the accepted messages of a kind.
    pub fn ids(&self, kind: &str) -> Vec<String> {
        let mut ids: Vec<String> = self.of_kind(kind).iter().map(|accepted| accepted.get("id").to_owned()).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    pub fn attempts(&self) -> usize {
        lock(&self.state).attempts.len()
    }
}

/// A CA and a server certificate for localhost, ECDSA P-256 both.
fn server_config(ca: &Path, tls: Tls) -> ServerConfig {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca_params = CertificateParams::new(Vec::new()).unwrap();
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Without names of their own both would bear the same, and OpenSSL would take the server's for a self-signed one.
    ca_params.distinguished_name = DistinguishedName::new();
    ca_params.distinguished_name.push(DnType::CommonName, "the tests' own CA");
    let ca_certificate = ca_params.self_signed(&ca_key).unwrap();
    std::fs::write(ca, ca_certificate.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "sns.test".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "sns");
    let certificate = params.signed_by(&key, &Issuer::new(ca_params, ca_key)).unwrap();
    let versions: &[&rustls::SupportedProtocolVersion] = match tls {
        Tls::Both => &[&rustls::version::TLS13, &rustls::version::TLS12],
        Tls::Only12 => &[&rustls::version::TLS12],
        Tls::Only13 => &[&rustls::version::TLS13],
    };
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap()
}

fn serve(stream: TcpStream, config: &Arc<ServerConfig>, state: &Mutex<State>, host: &str) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    lock(state).connections += 1;
    // The watcher's probe connects and leaves without a word: that uses up no fate.
    let mut first = [0];
    if !matches!(stream.peek(&mut first), Ok(1)) {
        return;
    }
    let fate = {
        let mut state = lock(state);
        if state.fates.is_empty() { Fate::Judge } else { state.fates.remove(0) }
    };
    match fate {
        Fate::Close => return,
        Fate::Hang => return lock(state).held.push(stream),
        _ => {}
    }
    let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream);
    let Some(request) = read_request(&mut stream) else { return };
    let read_at = Instant::now();
    let (status, body) = {
        let mut state = lock(state);
        state.last_request = request.clone();
        match &fate {
            Fate::Refuse(status, code) => (*status, error_body(code, "as planned")),
            Fate::EmptySuccess => (200, "<PublishResponse/>".to_owned()),
            _ => judge_request(&mut state, &request, host, read_at),
        }
    };
    let date = {
        let mut state = lock(state);
        state.attempts.push((read_at, status));
        if fate == Fate::AcceptMutely {
            state.held.push(stream.sock);
            return;
        }
        http_date(Epoch(now().0 + state.date_offset_seconds))
    };
    let head =
        format!("HTTP/1.1 {status} Whatever\r\nx-amzn-RequestId: 0\r\nContent-Type: text/xml\r\nDate: {date}\r\n");
    let text = if fate == Fate::Chunked {
        let (one, two) = body.split_at(body.len() / 2);
        format!(
            "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
            one.len(),
            two.len()
        )
    } else {
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
    };
    let _ = stream.write_all(text.as_bytes());
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

fn read_request(stream: &mut impl Read) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length: usize = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?
            .1
            .parse()
            .ok()?;
        if body.len() >= length {
            return Some(text);
        }
    }
}

fn judge_request(state: &mut State, request: &str, host: &str, at: Instant) -> (u16, String) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let headers: BTreeMap<String, String> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let key_id = headers["authorization"]
        .split_once("Credential=")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map(|(key_id, _)| key_id.to_owned())
        .unwrap_or_default();
    if headers["x-amz-security-token"] != session_token_of(&key_id) {
        return (403, error_body("InvalidClientTokenId", "The security token included in the request is invalid."));
    }
    if state.expired_keys.contains(&key_id) {
        return (403, error_body("ExpiredToken", "The security token included in the request is expired"));
    }
    let signed_at = Epoch::from_basic(&headers["x-amz-date"]).unwrap();
    let here = now().0 + state.date_offset_seconds;
    if (signed_at.0 - here).abs() > 300 {
        return (403, error_body("SignatureDoesNotMatch", "Signature expired"));
    }
    let verdict = ask_judge(&json!({
        "host": host, "region": "eu-central-1", "headers": headers, "body": body,
        "secret": secret_of(&key_id), "schema": root().join("docs/schema/watcher-message.schema.json"),
    }));
    if verdict["signature"] != true {
        state.complaints.push(format!("signature: {request}"));
        return (403, error_body("SignatureDoesNotMatch", "The request signature we calculated does not match"));
    }
    for complaint in verdict["complaints"].as_array().unwrap() {
        state.complaints.push(format!("{complaint}: {}", verdict["message"]));
    }
    if verdict["topic"] != TOPIC {
        state.complaints.push(format!("topic {}", verdict["topic"]));
    }
    state.accepted.push(Accepted { at, when: now(), message: verdict["message"].clone() });
    let id = format!("00000000-0000-0000-0000-{:012}", state.accepted.len());
    (
        200,
        format!(
            "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>{id}</MessageId></PublishResult></PublishResponse>"
        ),
    )
}

fn error_body(code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>0</RequestId></ErrorResponse>"
    )
}

/// The Python process that judges; one for all tests of a file.
struct Judge {
    _child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

fn judge() -> &'static Mutex<Judge> {
    static JUDGE: OnceLock<Mutex<Judge>> = OnceLock::new();
    JUDGE.get_or_init(|| {
        let python = std::env::var_os("SPOTWARD_PYTHON").map_or_else(|| root().join(".venv/bin/python"), PathBuf::from);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify.py");
        let check = Command::new(&python).args(["-c", "import botocore, jsonschema"]).output();
        assert!(
            check.is_ok_and(|output| output.status.success()),
            "{} with botocore and jsonschema is needed to verify signatures: run `make watcher-test`, or set SPOTWARD_PYTHON",
            python.display()
        );
        let mut child = Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Mutex::new(Judge { _child: child, to, from })
    })
}

fn ask_judge(question: &Value) -> Value {
    let mut judge = lock(judge());
    writeln!(judge.to, "{question}").unwrap();
    judge.to.flush().unwrap();
    let mut line = String::new();
    judge.from.read_line(&mut line).unwrap();
    serde_json::from_str(&line).expect("the judge answers")
}
