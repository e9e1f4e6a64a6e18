//! An AWS on loopback that answers every call alike: the session is over.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::OnceLock;

const MESSAGE: &str = "The security token included in the request is expired";

/// Its address. It starts with the first who asks, and ends with the tests.
pub fn address() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    ADDRESS.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
        let address = format!("http://{}", listener.local_addr().expect("it has an address"));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever hangs up has heard enough.
                std::thread::spawn(move || answer(stream));
            }
        });
        address
    })
}

fn answer(stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line.trim_end().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    // EC2's dialect of the query protocol has its own envelope.
    let answer = match String::from_utf8_lossy(&body).contains("Version=2016-11-15") {
        true => format!(
            "<Response><Errors><Error><Code>ExpiredToken</Code><Message>{MESSAGE}</Message></Error></Errors></Response>"
        ),
        false => format!(
            "<ErrorResponse><Error><Code>ExpiredToken</Code><Message>{MESSAGE}</Message></Error></ErrorResponse>"
        ),
    };
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.len()
    );
    let mut stream = reader.into_inner();
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(answer.as_bytes()).ok()
}
