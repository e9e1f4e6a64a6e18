//! What AWS's error codes mean for the caller: the only table of them.

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use engine::CloudError;
use planner::backoff::Trouble;

/// Which service said it: the same code can mean different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// EC2 Auto Scaling.
    AutoScaling,
    /// EC2.
    Ec2,
    /// Elastic Load Balancing, either generation.
    LoadBalancing,
    /// Price List Query API.
    Pricing,
    /// SQS.
    Queue,
    /// Service Quotas.
    Quotas,
    /// STS.
    Identity,
}

/// The variants of [`CloudError`], without their texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No pool of the request had capacity.
    InsufficientCapacity,
    /// An account limit.
    Limit,
    /// Too many requests, or AWS failed for a moment.
    Throttled,
    /// The role may not do this.
    Denied,
    /// It is gone.
    NotFound,
    /// Somebody else is changing it, or this was tried already.
    Conflict,
    /// AWS refuses the request as it is.
    Rejected,
}

impl Kind {
    /// The error with its text.
    pub fn with(self, text: String) -> CloudError {
        match self {
            Self::InsufficientCapacity => CloudError::InsufficientCapacity(text.into()),
            Self::Limit => CloudError::Limit(text),
            Self::Throttled => CloudError::Throttled(text),
            Self::Denied => CloudError::Denied(text),
            Self::NotFound => CloudError::NotFound(text),
            Self::Conflict => CloudError::Conflict(text),
            Self::Rejected => CloudError::Rejected(text),
        }
    }
}

/// Codes that mean the same in every service.
const EVERYWHERE: &[(&str, Kind)] = &[
    ("Throttling", Kind::Throttled),
    ("ThrottlingException", Kind::Throttled),
    ("ThrottledException", Kind::Throttled),
    ("RequestThrottled", Kind::Throttled),
    ("RequestThrottledException", Kind::Throttled),
    ("RequestLimitExceeded", Kind::Throttled),
    ("RateExceeded", Kind::Throttled),
    ("TooManyRequestsException", Kind::Throttled),
    ("SlowDown", Kind::Throttled),
    ("RequestTimeout", Kind::Throttled),
    ("RequestTimeoutException", Kind::Throttled),
    ("InternalError", Kind::Throttled),
    ("InternalFailure", Kind::Throttled),
    ("InternalErrorException", Kind::Throttled),
    ("InternalServerError", Kind::Throttled),
    ("ServiceUnavailable", Kind::Throttled),
    ("ServiceUnavailableException", Kind::Throttled),
    ("Unavailable", Kind::Throttled),
    ("AccessDenied", Kind::Denied),
    ("AccessDeniedException", Kind::Denied),
    ("UnauthorizedOperation", Kind::Denied),
    ("NotAuthorized", Kind::Denied),
    ("AuthFailure", Kind::Denied),
    // AWSServiceRoleForEC2Spot is missing, and we may not create it.
    ("AuthFailure.ServiceLinkedRoleCreationNotPermitted", Kind::Denied),
    ("Blocked", Kind::Denied),
    ("PendingVerification", Kind::Denied),
    ("InvalidClientTokenId", Kind::Denied),
    ("UnrecognizedClientException", Kind::Denied),
    ("InvalidSignatureException", Kind::Denied),
    ("SignatureDoesNotMatch", Kind::Denied),
    ("IncompleteSignature", Kind::Denied),
    ("MissingAuthenticationToken", Kind::Denied),
    ("ExpiredToken", Kind::Denied),
    ("ExpiredTokenException", Kind::Denied),
];

/// Capacity codes are Karpenter's list of what another pool or another hour can answer.
const EC2: &[(&str, Kind)] = &[
    ("InsufficientInstanceCapacity", Kind::InsufficientCapacity),
    ("InsufficientCapacity", Kind::InsufficientCapacity),
    ("InsufficientHostCapacity", Kind::InsufficientCapacity),
    ("InsufficientReservedInstanceCapacity", Kind::InsufficientCapacity),
    ("InsufficientFreeAddressesInSubnet", Kind::InsufficientCapacity),
    ("UnfulfillableCapacity", Kind::InsufficientCapacity),
    ("MaxFleetCountExceeded", Kind::InsufficientCapacity),
    ("SpotMaxPriceTooLow", Kind::InsufficientCapacity),
    // The type is not to be had in this zone or in this combination: other types may be.
    ("Unsupported", Kind::InsufficientCapacity),
    ("MaxSpotInstanceCountExceeded", Kind::Limit),
    ("VcpuLimitExceeded", Kind::Limit),
    ("InstanceLimitExceeded", Kind::Limit),
    ("VolumeLimitExceeded", Kind::Limit),
    ("MaxIOPSLimitExceeded", Kind::Limit),
    ("MaxScheduledInstanceCapacityExceeded", Kind::Limit),
    ("LaunchTemplateLimitExceeded", Kind::Limit),
    ("NetworkInterfaceLimitExceeded", Kind::Limit),
    ("IdempotentParameterMismatch", Kind::Conflict),
    ("IdempotentInstanceTerminated", Kind::Conflict),
    ("IncorrectInstanceState", Kind::Conflict),
    ("IncorrectState", Kind::Conflict),
    ("InvalidLaunchTemplateName.AlreadyExistsException", Kind::Conflict),
    ("DependencyViolation", Kind::Conflict),
    ("InsufficientPermissions", Kind::Denied),
];

const AUTO_SCALING: &[(&str, Kind)] = &[
    ("ResourceContention", Kind::Conflict),
    ("ResourceContentionFault", Kind::Conflict),
    ("ResourceInUse", Kind::Conflict),
    ("ScalingActivityInProgress", Kind::Conflict),
    ("ScalingActivityInProgressFault", Kind::Conflict),
    ("InstanceRefreshInProgress", Kind::Conflict),
    ("IdempotentParameterMismatch", Kind::Conflict),
    ("IdempotentCallInProgress", Kind::Conflict),
    ("AlreadyExists", Kind::Conflict),
    ("LimitExceeded", Kind::Limit),
    ("ServiceLinkedRoleFailure", Kind::Denied),
];

const LOAD_BALANCING: &[(&str, Kind)] = &[
    ("LoadBalancerNotFound", Kind::NotFound),
    ("TargetGroupNotFound", Kind::NotFound),
    ("TargetGroupNotFoundException", Kind::NotFound),
    ("InvalidInstance", Kind::NotFound),
];

const PRICING: &[(&str, Kind)] =
    &[("NotFoundException", Kind::NotFound), ("ExpiredNextTokenException", Kind::Throttled)];

const QUEUE: &[(&str, Kind)] = &[
    ("AWS.SimpleQueueService.NonExistentQueue", Kind::NotFound),
    ("QueueDoesNotExist", Kind::NotFound),
    ("OverLimit", Kind::Limit),
    ("KmsThrottled", Kind::Throttled),
    ("KmsAccessDenied", Kind::Denied),
    ("KmsDisabled", Kind::Denied),
];

const QUOTAS: &[(&str, Kind)] = &[
    ("NoSuchResourceException", Kind::NotFound),
    ("ServiceException", Kind::Throttled),
    ("DependencyAccessDeniedException", Kind::Denied),
];

/// Auto Scaling says nearly everything by `ValidationError`; only the text tells. First match decides.
const AUTO_SCALING_TEXTS: &[(&str, Kind)] = &[
    ("already part of autoscalinggroup", Kind::Conflict),
    ("is not part of auto scaling group", Kind::NotFound),
    ("no managed instance found", Kind::NotFound),
    ("not found", Kind::NotFound),
    ("is not in inservice or standby", Kind::Conflict),
    ("is not in correct state", Kind::Conflict),
    ("must be in 'running' state", Kind::Conflict),
    // Somebody changed the sizes since we looked.
    ("update the autoscalinggroup sizes", Kind::Conflict),
    ("min size constraint", Kind::Conflict),
    ("pending delete", Kind::Conflict),
];

/// The table. What is in no row is refused as it is; codes that end in `.NotFound` speak for themselves.
pub fn sort(service: Service, code: &str, message: &str) -> Kind {
    let own = match service {
        Service::AutoScaling => AUTO_SCALING,
        Service::Ec2 => EC2,
        Service::LoadBalancing => LOAD_BALANCING,
        Service::Pricing => PRICING,
        Service::Queue => QUEUE,
        Service::Quotas => QUOTAS,
        Service::Identity => &[],
    };
    if let Some((_, kind)) = own.iter().chain(EVERYWHERE).find(|(known, _)| *known == code) {
        return *kind;
    }
    if service == Service::AutoScaling && code == "ValidationError" {
        let message = message.to_lowercase();
        return AUTO_SCALING_TEXTS
            .iter()
            .find(|(text, _)| message.contains(text))
            .map_or(Kind::Rejected, |(_, kind)| *kind);
    }
    let last = code.rsplit('.').next().unwrap_or(code);
    if last.ends_with("NotFound") || last.ends_with("NotFoundException") { Kind::NotFound } else { Kind::Rejected }
}

/// What a capacity code says about the pool that it is said of.
pub fn trouble(code: &str) -> Trouble {
    match code {
        "Unsupported" => Trouble::Unsupported,
        _ => Trouble::NoCapacity,
    }
}

/// One call that AWS answered with an error, or did not answer.
#[derive(Debug)]
pub(crate) struct Refused {
    pub kind: Kind,
    pub operation: &'static str,
    pub code: String,
    pub message: String,
}

impl From<Refused> for CloudError {
    fn from(refused: Refused) -> Self {
        let Refused { kind, operation, code, message } = refused;
        kind.with(match code.is_empty() {
            true => format!("{operation}: {message}"),
            false => format!("{operation}: {code}: {message}"),
        })
    }
}

/// For `map_err`: sorts the SDK's error of one operation.
pub(crate) fn refused<E>(service: Service, operation: &'static str) -> impl FnOnce(SdkError<E, HttpResponse>) -> Refused
where
    E: ProvideErrorMetadata + Error + 'static,
{
    move |error| {
        let code = error.code().unwrap_or_default().to_owned();
        let message = error.message().map(str::to_owned);
        let kind = match &error {
            SdkError::ServiceError(answer) if code.is_empty() && answer.raw().status().is_server_error() => {
                Kind::Throttled
            }
            SdkError::ServiceError(answer) => match sort(service, &code, message.as_deref().unwrap_or_default()) {
                // AWS's own failure, whatever it is called; the codes in the table are meant even with a 5xx.
                Kind::Rejected if answer.raw().status().is_server_error() => Kind::Throttled,
                kind => kind,
            },
            SdkError::TimeoutError(_) | SdkError::ResponseError(_) => Kind::Throttled,
            // Neither the network nor time, and nothing that passes by itself (a connection closed in the middle, say): no
            // credentials could be found or obtained.
            SdkError::DispatchFailure(failure)
                if failure.is_other()
                    && failure.as_connector_error().is_none_or(|error| error.as_other().is_none()) =>
            {
                Kind::Denied
            }
            SdkError::DispatchFailure(_) => Kind::Throttled,
            _ => Kind::Rejected,
        };
        let message = message.unwrap_or_else(|| DisplayErrorContext(&error).to_string());
        Refused { kind, operation, code, message }
    }
}

/// The end that an action wants may be there already.
pub(crate) trait Already {
    /// What was to be removed is gone: fine.
    fn or_gone(self) -> Result<(), Refused>;
}

impl<T> Already for Result<T, Refused> {
    fn or_gone(self) -> Result<(), Refused> {
        match self {
            Ok(_) => Ok(()),
            Err(refused) if refused.kind == Kind::NotFound => Ok(()),
            Err(refused) => Err(refused),
        }
    }
}
