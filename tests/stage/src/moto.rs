//! The emulator behind us: forwards calls byte for byte, and asks on the stage's own account.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::wire::{Answer, Call, Params, Refusal};
use crate::xml::Element;

/// moto's server, reached over loopback.
pub struct Moto {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
}

/// Which account and region a question of the stage's own is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub account: String,
    pub region: String,
}

impl Moto {
    pub fn new(base: &str) -> Moto {
        Moto { client: Client::builder(TokioExecutor::new()).build_http(), base: base.trim_end_matches('/').to_owned() }
    }

    /// Sends the client's call on: same bytes, same Host header. The account travels in a header of moto's.
    pub async fn forward(&self, call: &Call) -> Result<Answer, Refusal> {
        self.send_as(call, call.body.clone()).await
    }

    /// Sends the client's call on with other parameters; for what moto would act upon in its own wrong way.
    pub async fn forward_with(&self, call: &Call, params: &Params) -> Result<Answer, Refusal> {
        self.send_as(call, params.to_form().into()).await
    }

    /// The client's call, possibly with other parameters, and the answer as a tree.
    pub async fn forward_tree(&self, call: &Call, params: &Params) -> Result<Element, Refusal> {
        let answer = self.forward_with(call, params).await?;
        tree(&call.service, &call.action, &answer)
    }

    async fn send_as(&self, call: &Call, body: Bytes) -> Result<Answer, Refusal> {
        let path = call.uri.path_and_query().map_or("/", |path| path.as_str());
        let uri: Uri = format!("{}{path}", self.base).parse().map_err(|_| Refusal::gap("unreadable path"))?;
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = call.headers.clone();
        request.headers_mut().remove("expect");
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        if let Ok(account) = HeaderValue::from_str(&call.account) {
            request.headers_mut().insert("x-moto-account-id", account);
        }
        self.send(request).await
    }

    /// A question of the stage's own, in the same account and region as the client's.
    pub async fn ask(&self, place: &Place, service: &str, action: &str, params: &Params) -> Result<Element, Refusal> {
        let version = match service {
            "ec2" => "2016-11-15",
            "autoscaling" => "2011-01-01",
            "elasticloadbalancing" if action.contains("Target") => "2015-12-01",
            "elasticloadbalancing" => "2012-06-01",
            other => return Err(Refusal::gap(format!("no version known for {other}"))),
        };
        let mut form = Params::of([("Action", action), ("Version", version)]);
        for (name, value) in params.pairs() {
            form.set(name, value);
        }
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/20260101/{}/{service}/aws4_request, SignedHeaders=host, Signature=0",
            place.account, place.region
        );
        let mut request = Request::new(Full::new(Bytes::from(form.to_form())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("{}/", self.base).parse().map_err(|_| Refusal::gap("unreadable base address"))?;
        let headers = request.headers_mut();
        let text = |text: &str| HeaderValue::from_str(text).map_err(|_| Refusal::gap("unreadable header"));
        headers.insert(AUTHORIZATION, text(&authorization)?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8"));
        headers.insert(HOST, text(&format!("{service}.{}.amazonaws.com", place.region))?);
        headers.insert("x-moto-account-id", text(&place.account)?);
        tree(service, action, &self.send(request).await?)
    }

    /// Forgets everything in every account.
    pub async fn reset(&self) -> Result<(), Refusal> {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() =
            format!("{}/moto-api/reset", self.base).parse().map_err(|_| Refusal::gap("unreadable base address"))?;
        self.send(request).await.map(|_| ())
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, Refusal> {
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| Refusal::gap(format!("moto does not answer: {error}")))?;
        let status = response.status();
        let is_json =
            response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.to_str().unwrap_or("").contains("json"));
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| Refusal::gap(format!("moto hung up: {error}")))?
            .to_bytes();
        let content_type = if is_json { "application/x-amz-json-1.1" } else { "text/xml;charset=UTF-8" };
        Ok(Answer { status, content_type, body })
    }
}

/// Reads moto's answer, turning its errors into refusals. Its HTML pages for what it cannot do become gaps of the stage.
pub fn tree(service: &str, action: &str, answer: &Answer) -> Result<Element, Refusal> {
    let parsed = Element::parse(&answer.body);
    if answer.status == StatusCode::OK {
        return parsed.map_err(|error| Refusal::gap(format!("moto's answer to {action} is unreadable: {error}")));
    }
    let root = match parsed {
        Ok(root) if root.name.to_ascii_lowercase().contains("response") => root,
        _ => {
            let text: String = String::from_utf8_lossy(&answer.body).chars().take(300).collect();
            return Err(Refusal::gap(format!(
                "moto cannot answer {service} {action} ({}): {text}",
                answer.status.as_u16()
            )));
        }
    };
    let error = root.at(&["Errors", "Error"]).or_else(|| root.get("Error"));
    let Some(error) = error else {
        return Err(Refusal::gap(format!("moto refuses {action} without an error")));
    };
    Err(Refusal::new(answer.status.as_u16(), error.text_at(&["Code"]), error.text_at(&["Message"])))
}
