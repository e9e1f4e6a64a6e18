//! The role's credentials, from the metadata service, fetched well before they are needed.

use crate::http::Trouble;
use crate::imds::{Imds, ImdsTrouble};
use crate::json::Strings;
use crate::time::{Clock, Epoch};
use std::fmt;

/// New ones appear at least five minutes before the old ones expire; asking from a quarter of an hour before leaves room for faults.
const RENEW_BEFORE_SECONDS: i64 = 15 * 60;

/// One set of temporary credentials. Never printed: there is no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Goes into the signature as it is.
    pub key_id: String,
    /// Never leaves the process.
    pub secret: String,
    /// Sent with the request.
    pub session_token: String,
    /// After this AWS may refuse them, or not.
    pub expires: Epoch,
}

/// Why there are no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoCredentials {
    /// The instance has no profile. It may get one later.
    NoRole,
    /// The metadata service did not answer well.
    Imds(ImdsTrouble),
}

impl fmt::Display for NoCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRole => {
                f.write_str("the instance has no profile with a role: it can watch and drain, but not publish")
            }
            Self::Imds(trouble) => trouble.fmt(f),
        }
    }
}

/// The newest credentials that we were given.
#[derive(Default)]
pub struct Purse {
    held: Option<Credentials>,
}

impl Purse {
    /// What there is, expired or not: services may still accept expired ones, and no request at all is certain to fail.
    pub fn held(&self) -> Option<&Credentials> {
        self.held.as_ref()
    }

    /// True if there are none, or if they expire soon.
    pub fn is_thin(&self, now: Epoch) -> bool {
        self.held.as_ref().is_none_or(|held| held.expires.0 - now.0 < RENEW_BEFORE_SECONDS)
    }

    /// True if a request signed with what is held will probably be refused.
    pub fn is_empty(&self, now: Epoch) -> bool {
        self.held.as_ref().is_none_or(|held| held.expires <= now)
    }

    /// Asks the metadata service. Keeps what is held when it has nothing that lasts longer. No failure is remembered.
    pub fn refill(&mut self, imds: &mut Imds, clock: &mut Clock) -> Result<(), NoCredentials> {
        let fetched = fetch(imds, clock)?;
        if self.held.as_ref().is_none_or(|held| fetched.expires >= held.expires) {
            self.held = Some(fetched);
        }
        Ok(())
    }
}

fn fetch(imds: &mut Imds, clock: &mut Clock) -> Result<Credentials, NoCredentials> {
    const LIST: &str = "meta-data/iam/security-credentials/";
    let malformed = || NoCredentials::Imds(Trouble::Malformed("credentials").into());
    let list = imds.get(LIST, clock).map_err(NoCredentials::Imds)?.ok_or(NoCredentials::NoRole)?;
    let role = list.lines().next().unwrap_or_default().trim();
    if role.is_empty() {
        return Err(NoCredentials::NoRole);
    }
    if !role.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@-_".contains(&byte)) {
        return Err(malformed());
    }
    let text = imds.get(&format!("{LIST}{role}"), clock).map_err(NoCredentials::Imds)?.ok_or(NoCredentials::NoRole)?;
    read(&text).ok_or_else(malformed)
}

/// Reads the document of one role.
pub fn read(text: &str) -> Option<Credentials> {
    let document = Strings::read(text)?;
    // What goes into headers must not be able to end them.
    let graphic = |key: &str| {
        document.get(key).filter(|value| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic()))
    };
    if document.get("Code").is_some_and(|code| code != "Success") {
        return None;
    }
    Some(Credentials {
        key_id: graphic("AccessKeyId")?.to_owned(),
        secret: graphic("SecretAccessKey")?.to_owned(),
        session_token: graphic("Token")?.to_owned(),
        expires: Epoch::from_iso(document.get("Expiration")?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"Code":"Success","LastUpdated":"2026-11-22T02:00:00Z","Type":"AWS-HMAC","AccessKeyId":"ASIA","SecretAccessKey":"s/+","Token":"t==","Expiration":"2026-11-22T08:00:00Z"}"#;

    #[test]
    fn reads_the_document_of_a_role() {
        let read = read(DOCUMENT).unwrap();
        assert_eq!((read.key_id.as_str(), read.secret.as_str(), read.session_token.as_str()), ("ASIA", "s/+", "t=="));
        assert_eq!(read.expires.to_iso(), "2026-11-22T08:00:00Z");
    }

    #[test]
    fn refuses_failures_and_what_would_break_a_header() {
        for (from, to) in [
            ("Success", "AssumeRoleUnauthorizedAccess"),
            ("t==", "t\\r\\nx: y"),
            ("ASIA", ""),
            ("08:00:00Z", "soon"),
            ("\"Token\"", "\"token\""),
        ] {
            assert!(read(&DOCUMENT.replace(from, to)).is_none(), "{to}");
        }
    }

    #[test]
    fn credentials_are_renewed_a_quarter_of_an_hour_before_they_expire() {
        let expires = Epoch(1_000_000);
        let purse = Purse { held: read(DOCUMENT).map(|read| Credentials { expires, ..read }) };
        assert!(!purse.is_thin(Epoch(expires.0 - 900)));
        assert!(purse.is_thin(Epoch(expires.0 - 899)));
        assert!(!purse.is_empty(Epoch(expires.0 - 1)));
        assert!(purse.is_empty(expires));
        assert!(purse.held().is_some());
    }
}
