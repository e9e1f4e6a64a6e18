//! What travels: an AWS call taken apart, and the answers in each protocol's form.

use bytes::Bytes;
use hyper::{HeaderMap, Method, StatusCode, Uri};

use crate::xml::Element;

/// The account that moto uses for any access key that is not itself an account id.
pub const DEFAULT_ACCOUNT: &str = "123456789012";

/// One call of an AWS client, with its bytes kept for forwarding.
#[derive(Clone, Debug)]
pub struct Call {
    pub service: String,
    pub action: String,
    pub account: String,
    pub region: String,
    pub params: Params,
    pub json: Option<serde_json::Value>,
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Call {
    /// Takes a request apart; `None` when it is not an AWS call that the stage can name.
    pub fn read(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Option<Call> {
        let scope = CredentialScope::read(headers.get("authorization")?.to_str().ok()?)?;
        let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok());
        let (action, params, json) = match target {
            Some(target) => {
                let action = target.rsplit('.').next()?.to_owned();
                (action, Params::default(), serde_json::from_slice(&body).ok())
            }
            None => {
                let params = match method {
                    Method::GET => Params::parse(uri.query().unwrap_or("").as_bytes()),
                    _ => Params::parse(&body),
                };
                (params.get("Action").unwrap_or("").to_owned(), params, None)
            }
        };
        Some(Call {
            service: scope.service,
            action,
            account: scope.account,
            region: scope.region,
            params,
            json,
            method,
            uri,
            headers,
            body,
        })
    }

    /// Whether the call can change anything: everything that does not merely look.
    pub fn is_mutating(&self) -> bool {
        !["Describe", "Get", "List", "Lookup"].iter().any(|verb| self.action.starts_with(verb))
    }
}

/// The `Credential=` part of a signature: access key, date, region and service.
struct CredentialScope {
    account: String,
    region: String,
    service: String,
}

impl CredentialScope {
    fn read(authorization: &str) -> Option<CredentialScope> {
        let credential = authorization.split("Credential=").nth(1)?.split([',', ' ']).next()?;
        let mut parts = credential.split('/');
        let key = parts.next()?;
        let _date = parts.next()?;
        let region = parts.next()?.to_owned();
        let service = parts.next()?.to_owned();
        // An access key of twelve digits names its account, so that every test can have one of its own.
        let is_account = key.len() == 12 && key.bytes().all(|byte| byte.is_ascii_digit());
        let account = if is_account { key.to_owned() } else { DEFAULT_ACCOUNT.to_owned() };
        Some(CredentialScope { account, region, service })
    }
}

/// The parameters of a Query call, flat and in order, as `Name.1.Field=value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    pub fn parse(form: &[u8]) -> Params {
        Params(form_urlencoded::parse(form).map(|(key, value)| (key.into_owned(), value.into_owned())).collect())
    }

    pub fn of<const N: usize>(pairs: [(&str, &str); N]) -> Params {
        Params(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub fn number(&self, key: &str) -> Option<i64> {
        self.get(key).and_then(|text| text.parse().ok())
    }

    pub fn is_true(&self, key: &str) -> bool {
        self.get(key).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, place)) => *place = value.into(),
            None => self.0.push((key.to_owned(), value.into())),
        }
    }

    pub fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| name != key);
    }

    /// Removes `key` and everything under it.
    pub fn remove_all(&mut self, key: &str) {
        self.0.retain(|(name, _)| name != key && !(name.starts_with(key) && name[key.len()..].starts_with('.')));
    }

    /// Everything under `prefix.`, with the prefix taken off.
    pub fn sub(&self, prefix: &str) -> Params {
        let inner = self.0.iter().filter_map(|(name, value)| {
            let rest = name.strip_prefix(prefix)?.strip_prefix('.')?;
            Some((rest.to_owned(), value.clone()))
        });
        Params(inner.collect())
    }

    /// Adds all of `inner` under `prefix.`.
    pub fn put_sub(&mut self, prefix: &str, inner: &Params) {
        for (name, value) in &inner.0 {
            self.set(&format!("{prefix}.{name}"), value.clone());
        }
    }

    /// The structures `prefix.1.…`, `prefix.2.…` in the order of their numbers.
    pub fn items(&self, prefix: &str) -> Vec<Params> {
        let inner = self.sub(prefix);
        let mut numbers: Vec<usize> =
            inner.0.iter().filter_map(|(name, _)| name.split('.').next()?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.iter().map(|number| inner.sub(&number.to_string())).collect()
    }

    /// The values `prefix.1`, `prefix.2`, … in the order of their numbers.
    pub fn list(&self, prefix: &str) -> Vec<String> {
        let inner = self.sub(prefix);
        let mut values: Vec<(usize, String)> =
            inner.0.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.clone()))).collect();
        values.sort_unstable();
        values.into_iter().map(|(_, value)| value).collect()
    }

    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn to_form(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(self.pairs()).finish()
    }
}

/// An answer, ready to be sent.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub content_type: &'static str,
    pub body: Bytes,
}

impl Answer {
    pub fn xml(root: &Element) -> Answer {
        Answer { status: StatusCode::OK, content_type: "text/xml;charset=UTF-8", body: root.write().into() }
    }

    pub fn json(value: &serde_json::Value) -> Answer {
        Answer { status: StatusCode::OK, content_type: "application/x-amz-json-1.1", body: value.to_string().into() }
    }
}

/// What AWS says no to, with its code and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
}

impl Refusal {
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Refusal {
        Refusal { status, code: code.to_owned(), message: message.into() }
    }

    /// Auto Scaling's name for nearly every refusal.
    pub fn validation(message: impl Into<String>) -> Refusal {
        Refusal::new(400, "ValidationError", message)
    }

    pub fn invalid(message: impl Into<String>) -> Refusal {
        Refusal::new(400, "InvalidParameterValue", message)
    }

    /// Our own fault, not AWS's answer: something that the stage or moto behind it cannot do.
    /// A 400, so that no SDK retries it, and a code that no test can mistake for AWS's.
    pub fn gap(message: impl Into<String>) -> Refusal {
        Refusal::new(400, "StageGap", message)
    }

    /// The refusal in the wire form of the service that was called.
    pub fn answer(&self, service: &str, is_json: bool) -> Answer {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        if is_json {
            let body = serde_json::json!({ "__type": self.code, "message": self.message, "Message": self.message });
            return Answer { status, ..Answer::json(&body) };
        }
        let error = Element::new("Error").field("Code", &self.code).field("Message", &self.message);
        let root = if service == "ec2" {
            Element::new("Response").with(Element::new("Errors").with(error)).field("RequestID", request_id())
        } else {
            let mut error = error;
            error.children.insert(0, Element::leaf("Type", if self.status < 500 { "Sender" } else { "Receiver" }));
            Element::new("ErrorResponse").with(error).field("RequestId", request_id())
        };
        Answer { status, ..Answer::xml(&root) }
    }
}

/// A request id: unique within the process is all that a reader of a log needs.
pub fn request_id() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("57a6e000-0000-4000-8000-{:012x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// `<ActionResponse><ActionResult>…</ActionResult></ActionResponse>`, the form of Auto Scaling and the load balancers.
pub fn query_answer(action: &str, xmlns: &str, result: Option<Element>) -> Answer {
    let mut root = Element::new(&format!("{action}Response"));
    root.xmlns = Some(xmlns.to_owned());
    if let Some(mut result) = result {
        result.name = format!("{action}Result");
        root.children.push(result);
    }
    let root = root.with(Element::new("ResponseMetadata").field("RequestId", request_id()));
    Answer::xml(&root)
}

/// `<ActionResponse>…</ActionResponse>`, the form of EC2.
pub fn ec2_answer(action: &str, result: Element) -> Answer {
    let mut root = Element { name: format!("{action}Response"), ..result };
    root.xmlns = Some("http://ec2.amazonaws.com/doc/2016-11-15/".to_owned());
    root.children.insert(0, Element::leaf("requestId", request_id()));
    Answer::xml(&root)
}

#[cfg(test)]
mod tests {
    use super::Params;

    #[test]
    fn lists_and_structures_come_in_the_order_of_their_numbers() {
        let params = Params::parse(b"F.10.Name=c&F.2.Name=b&F.1.Name=a&F.1.Value.1=x&F.1.Value.2=y&Id.2=q&Id.1=p");
        let names: Vec<String> =
            params.items("F").iter().map(|filter| filter.get("Name").unwrap_or("").to_owned()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(params.items("F")[0].list("Value"), ["x", "y"]);
        assert_eq!(params.list("Id"), ["p", "q"]);
    }

    #[test]
    fn removing_a_list_leaves_longer_names_alone() {
        let mut params = Params::parse(b"MaxSize=3&MaxSizeX=4&Tags.1.Key=a");
        params.remove_all("MaxSize");
        params.remove_all("Tags");
        assert_eq!(params.to_form(), "MaxSizeX=4");
    }
}
