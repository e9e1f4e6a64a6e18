//! The addresses that an owner writes: `http://127.0.0.1:8080/health`, `https://vpce-1.sns.eu-central-1.vpce.amazonaws.com`.

/// An http or https address, in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// https
    pub is_tls: bool,
    /// `user:password`, for proxies.
    pub user_info: Option<String>,
    /// A name or an address; IPv6 without its brackets.
    pub host: String,
    /// 80 or 443 unless written.
    pub port: u16,
    /// Begins with a slash.
    pub path: String,
}

impl Url {
    /// `None` for other schemes, for a missing host, and for anything that could break out of a request line.
    pub fn read(text: &str) -> Option<Self> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let (is_tls, rest) = match text.split_once("://")? {
            ("http", rest) => (false, rest),
            ("https", rest) => (true, rest),
            _ => return None,
        };
        let path_start = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_start);
        let (user_info, host_and_port) = match authority.rsplit_once('@') {
            Some((user_info, rest)) => (Some(user_info.to_owned()), rest),
            None => (None, authority),
        };
        let (host, port) = split_port(host_and_port)?;
        Some(Self {
            is_tls,
            user_info,
            host: host.to_owned(),
            port: port.unwrap_or(if is_tls { 443 } else { 80 }),
            path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
        })
    }

    /// As in a `Host` header: the port only if it is not the scheme's own.
    pub fn host_header(&self) -> String {
        let own_port = if self.is_tls { 443 } else { 80 };
        let host = bracketed(&self.host);
        if self.port == own_port { host } else { format!("{host}:{}", self.port) }
    }

    /// True for this machine itself.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    }
}

/// `host:port`, `[::1]:port`; the port may be missing.
pub fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match rest.strip_prefix(':') {
        Some(digits) => Some(digits.parse().ok()?),
        None if rest.is_empty() => None,
        None => return None,
    };
    (!host.is_empty()).then_some((host, port))
}

/// IPv6 addresses need brackets beside a port.
pub fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_owners_write() {
        let url = Url::read("http://127.0.0.1:8080/health?x=1").unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, url.path.as_str(), url.is_tls, url.is_loopback()),
            ("127.0.0.1", 8080, "/health?x=1", false, true)
        );
        let url = Url::read("https://sns.example").unwrap();
        assert_eq!(
            (url.port, url.path.as_str(), url.host_header().as_str(), url.is_loopback()),
            (443, "/", "sns.example", false)
        );
        let url = Url::read("http://[fd00:ec2::254]:81").unwrap();
        assert_eq!((url.host.as_str(), url.host_header().as_str()), ("fd00:ec2::254", "[fd00:ec2::254]:81"));
        assert_eq!(Url::read("http://user:pa@ss@proxy:3128").unwrap().user_info.as_deref(), Some("user:pa@ss"));
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "sns.example",
            "ftp://x",
            "http://",
            "http://:80",
            "http://x:y",
            "http://x:99999",
            "http://[::1",
            "http://[::1]x",
            "http://a b",
            "http://x/\r\nX: y",
        ] {
            assert_eq!(Url::read(text), None, "{text}");
        }
    }
}
