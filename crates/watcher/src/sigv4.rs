//! AWS Signature Version 4 for the one request that we make: `POST /` with a form as its body.

use crate::credentials::Credentials;
use crate::time::Epoch;
use ring::{digest, hmac};

/// The form's media type; it is part of what is signed.
pub const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// The headers that a signature adds, besides `content-type` and `host`.
pub struct Signature {
    /// `x-amz-date`
    pub date: String,
    /// `authorization`
    pub authorization: String,
}

/// Signs `body` for `service` at `host`.
pub fn sign(credentials: &Credentials, service: &str, region: &str, host: &str, body: &str, now: Epoch) -> Signature {
    const SIGNED: &str = "content-type;host;x-amz-date;x-amz-security-token";
    let date = now.to_basic();
    let day = &date[..8];
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let canonical = format!(
        "POST\n/\n\ncontent-type:{CONTENT_TYPE}\nhost:{host}\nx-amz-date:{date}\nx-amz-security-token:{}\n\n{SIGNED}\n{}",
        credentials.session_token,
        sha256_hex(body.as_bytes())
    );
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
    let mut key = hmac_sha256(format!("AWS4{}", credentials.secret).as_bytes(), day);
    for part in [region, service, "aws4_request"] {
        key = hmac_sha256(key.as_ref(), part);
    }
    let signature = hex(hmac_sha256(key.as_ref(), &to_sign).as_ref());
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={SIGNED}, Signature={signature}",
        credentials.key_id
    );
    Signature { date, authorization }
}

/// SHA-256 in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Appends `text` as one value of a form: everything but the unreserved characters is escaped.
pub fn push_form_value(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push('%');
            push_hex(byte, b"0123456789ABCDEF", out);
        }
    }
}

fn hmac_sha256(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        push_hex(*byte, b"0123456789abcdef", &mut text);
    }
    text
}

fn push_hex(byte: u8, digits: &[u8; 16], out: &mut String) {
    out.push(digits[usize::from(byte >> 4)] as char);
    out.push(digits[usize::from(byte & 15)] as char);
}

#[cfg(test)]
mod tests {
    use super::*;

    // That the whole signature is right is for botocore to say: tests/faults.rs.
    #[test]
    fn hashes_and_escapes_as_published() {
        assert_eq!(sha256_hex(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let mut form = String::new();
        push_form_value("a b&=é~", &mut form);
        assert_eq!(form, "a%20b%26%3D%C3%A9~");
    }
}
