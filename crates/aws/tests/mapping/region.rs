//! A region made of recorded answers: notes every call as AWS would receive it.

use std::sync::{Arc, Mutex};

use aws::{Aws, Clients};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use planner::policy::Config;

/// What a call is answered with.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The inside of the action's result element, or JSON.
    Ok(String),
    /// Status, code, message.
    Error(u16, &'static str, &'static str),
}

/// A successful answer.
pub fn ok(inside: impl Into<String>) -> Answer {
    Answer::Ok(inside.into())
}

/// One call as it was sent.
#[derive(Clone, Debug)]
pub struct Call {
    pub service: String,
    pub action: String,
    pub params: Vec<(String, String)>,
}

impl Call {
    pub fn param(&self, key: &str) -> Option<&str> {
        self.params.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

type Script = dyn Fn(&Call) -> Answer + Send + Sync;

/// Answers by a script and keeps a list of the calls.
#[derive(Clone)]
pub struct Region {
    script: Arc<Script>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Region")
    }
}

impl Region {
    pub fn new(script: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Region {
        Region { script: Arc::new(script), calls: Arc::default() }
    }

    /// Every call so far, and forgets them.
    pub fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// Every call so far, one word each.
    pub fn actions(&self) -> String {
        self.calls().iter().map(|call| call.action.clone() + "\n").collect()
    }

    /// The adapter under test, in front of this region.
    pub fn aws(&self, config: Config) -> Aws {
        let region = self.clone();
        let http = http_client_fn(move |_, _| SharedHttpConnector::new(region.clone()));
        let clients = Clients {
            autoscaling: aws_sdk_autoscaling::Client::from_conf(configure!(aws_sdk_autoscaling, http)),
            ec2: aws_sdk_ec2::Client::from_conf(configure!(aws_sdk_ec2, http)),
            load_balancing: aws_sdk_elasticloadbalancing::Client::from_conf(configure!(
                aws_sdk_elasticloadbalancing,
                http
            )),
            load_balancing_v2: aws_sdk_elasticloadbalancingv2::Client::from_conf(configure!(
                aws_sdk_elasticloadbalancingv2,
                http
            )),
            pricing: aws_sdk_pricing::Client::from_conf(configure!(aws_sdk_pricing, http)),
            quotas: configure!(aws_sdk_servicequotas, http),
            sqs: aws_sdk_sqs::Client::from_conf(configure!(aws_sdk_sqs, http)),
            sts: aws_sdk_sts::Client::from_conf(configure!(aws_sdk_sts, http)),
        };
        Aws::with(clients, "us-east-1".to_owned(), config)
    }

    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let call = read(request);
        self.calls.lock().unwrap().push(call.clone());
        let json = request.headers().get("x-amz-target").is_some();
        let (status, body) = match (self.script)(&call) {
            Answer::Ok(inside) if json => (200, inside),
            Answer::Ok(inside) if call.service == "ec2" => {
                (200, format!("<{0}Response>{inside}</{0}Response>", call.action))
            }
            Answer::Ok(inside) => {
                (200, format!("<{0}Response><{0}Result>{inside}</{0}Result></{0}Response>", call.action))
            }
            Answer::Error(status, code, message) if json => {
                (status, serde_json::json!({ "__type": code, "message": message }).to_string())
            }
            Answer::Error(status, code, message) if call.service == "ec2" => (
                status,
                format!(
                    "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors></Response>"
                ),
            ),
            Answer::Error(status, code, message) => (
                status,
                format!(
                    "<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
                ),
            ),
        };
        HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))
    }
}

impl HttpConnector for Region {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(Ok(self.answer(&request)))
    }
}

/// The same configuration for each service's own type.
macro_rules! configure {
    ($service:ident, $http:ident) => {
        $service::Config::builder()
            .behavior_version($service::config::BehaviorVersion::latest())
            .region($service::config::Region::new("us-east-1"))
            .credentials_provider($service::config::Credentials::new("key", "secret", None, None, "test"))
            .http_client(SharedHttpClient::new($http.clone()))
            .retry_config($service::config::retry::RetryConfig::disabled())
            .build()
    };
}
use configure;

fn read(request: &HttpRequest) -> Call {
    let host = request.uri().split("//").nth(1).unwrap_or_default();
    let service = host.split('.').next().unwrap_or_default().to_owned();
    let body = std::str::from_utf8(request.body().bytes().unwrap_or_default()).unwrap();
    if let Some(target) = request.headers().get("x-amz-target") {
        let action = target.rsplit('.').next().unwrap_or_default().to_owned();
        return Call { service, action, params: vec![("body".to_owned(), body.to_owned())] };
    }
    let mut params: Vec<(String, String)> = body
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect();
    let action = params.iter().find(|(key, _)| key == "Action").map(|(_, value)| value.clone()).unwrap_or_default();
    params.retain(|(key, _)| key != "Action" && key != "Version");
    Call { service, action, params }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}

/// Runs one future; nothing here waits for anything.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The calls as a picture: one line each, parameters below.
pub fn picture(calls: &[Call]) -> String {
    let mut text = String::new();
    for call in calls {
        text += &format!("{} {}\n", call.service, call.action);
        for (key, value) in &call.params {
            text += &format!("    {key} = {value}\n");
        }
    }
    text
}
