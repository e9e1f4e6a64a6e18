//! What a topic's ARN says about where to send: region, partition, host name.

use std::fmt;

/// Which of the region's endpoints to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The ordinary one.
    Plain,
    /// With FIPS 140 cryptography at AWS's end.
    Fips,
    /// IPv4 and IPv6.
    DualStack,
    /// Both.
    FipsDualStack,
}

/// An SNS topic, by its ARN. The region and the partition to sign for come from here, not from the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// The whole ARN.
    pub arn: String,
    partition: Partition,
    region: String,
}

/// Why a text is not the ARN of a topic that we can reach.
#[derive(Debug, PartialEq, Eq)]
pub struct NotATopic(pub String);

impl fmt::Display for NotATopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not the ARN of an SNS topic (arn:PARTITION:sns:REGION:ACCOUNT:NAME): {}", self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Partition {
    name: &'static str,
    suffix: &'static str,
    dual_stack_suffix: &'static str,
}

// From botocore's endpoint rules for SNS, version 1.43.11.
const PARTITIONS: [Partition; 8] = [
    Partition { name: "aws", suffix: "amazonaws.com", dual_stack_suffix: "api.aws" },
    Partition { name: "aws-us-gov", suffix: "amazonaws.com", dual_stack_suffix: "api.aws" },
    Partition { name: "aws-cn", suffix: "amazonaws.com.cn", dual_stack_suffix: "api.amazonwebservices.com.cn" },
    Partition { name: "aws-eusc", suffix: "amazonaws.eu", dual_stack_suffix: "api.amazonwebservices.eu" },
    Partition { name: "aws-iso", suffix: "c2s.ic.gov", dual_stack_suffix: "api.aws.ic.gov" },
    Partition { name: "aws-iso-b", suffix: "sc2s.sgov.gov", dual_stack_suffix: "api.aws.scloud" },
    Partition { name: "aws-iso-e", suffix: "cloud.adc-e.uk", dual_stack_suffix: "api.cloud-aws.adc-e.uk" },
    Partition { name: "aws-iso-f", suffix: "csp.hci.ic.gov", dual_stack_suffix: "api.aws.hci.ic.gov" },
];

impl Topic {
    /// Reads `arn:aws:sns:eu-central-1:123456789012:spotward`.
    pub fn read(arn: &str) -> Result<Self, NotATopic> {
        let refuse = || NotATopic(arn.to_owned());
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", partition, "sns", region, account, name] = parts[..] else { return Err(refuse()) };
        let partition = PARTITIONS.into_iter().find(|known| known.name == partition).ok_or_else(refuse)?;
        let is_word = |text: &str, more: &[u8]| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        if is_account && is_word(region, b"-") && is_word(name, b"-_.") {
            Ok(Self { arn: arn.to_owned(), partition, region: region.to_owned() })
        } else {
            Err(refuse())
        }
    }

    /// The region to sign for.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// FIFO topics want a group and a deduplication id with each message.
    pub fn is_fifo(&self) -> bool {
        self.arn.ends_with(".fifo")
    }

    /// The host name of SNS for this topic.
    pub fn host(&self, variant: Variant) -> String {
        let Partition { name, suffix, dual_stack_suffix } = self.partition;
        let region = &self.region;
        match variant {
            // In GovCloud the plain name is the FIPS endpoint.
            Variant::Fips if name == "aws-us-gov" => format!("sns.{region}.{suffix}"),
            Variant::Plain => format!("sns.{region}.{suffix}"),
            Variant::Fips => format!("sns-fips.{region}.{suffix}"),
            Variant::DualStack => format!("sns.{region}.{dual_stack_suffix}"),
            Variant::FipsDualStack => format!("sns-fips.{region}.{dual_stack_suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_follows_the_arn() {
        use Variant::{DualStack, Fips, FipsDualStack, Plain};
        for (arn, variant, host) in [
            ("arn:aws:sns:us-east-1:123456789012:t", Plain, "sns.us-east-1.amazonaws.com"),
            ("arn:aws:sns:us-east-1:123456789012:t", Fips, "sns-fips.us-east-1.amazonaws.com"),
            ("arn:aws:sns:us-east-1:123456789012:t", DualStack, "sns.us-east-1.api.aws"),
            ("arn:aws:sns:us-east-1:123456789012:t", FipsDualStack, "sns-fips.us-east-1.api.aws"),
            ("arn:aws-cn:sns:cn-north-1:123456789012:t", Plain, "sns.cn-north-1.amazonaws.com.cn"),
            ("arn:aws-cn:sns:cn-north-1:123456789012:t", DualStack, "sns.cn-north-1.api.amazonwebservices.com.cn"),
            ("arn:aws-us-gov:sns:us-gov-west-1:123456789012:t", Plain, "sns.us-gov-west-1.amazonaws.com"),
            ("arn:aws-us-gov:sns:us-gov-west-1:123456789012:t", Fips, "sns.us-gov-west-1.amazonaws.com"),
            ("arn:aws-us-gov:sns:us-gov-west-1:123456789012:t", FipsDualStack, "sns-fips.us-gov-west-1.api.aws"),
            ("arn:aws-eusc:sns:eusc-de-east-1:123456789012:t", Plain, "sns.eusc-de-east-1.amazonaws.eu"),
            ("arn:aws-iso:sns:us-iso-east-1:123456789012:t", Plain, "sns.us-iso-east-1.c2s.ic.gov"),
            ("arn:aws-iso-b:sns:us-isob-east-1:123456789012:t.fifo", DualStack, "sns.us-isob-east-1.api.aws.scloud"),
        ] {
            assert_eq!(Topic::read(arn).unwrap().host(variant), host, "{arn} {variant:?}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_topic() {
        for arn in [
            "",
            "arn:aws:sqs:us-east-1:123456789012:t",
            "arn:aws-xx:sns:us-east-1:123456789012:t",
            "arn:aws:sns:us-east-1:12345678901:t",
            "arn:aws:sns::123456789012:t",
            "arn:aws:sns:us east:123456789012:t",
            "arn:aws:sns:us-east-1:123456789012:",
            "arn:aws:sns:us-east-1:123456789012:t:subscription",
            "arn:aws:sns:evil.example/:123456789012:t",
        ] {
            assert!(Topic::read(arn).is_err(), "{arn}");
        }
    }
}
