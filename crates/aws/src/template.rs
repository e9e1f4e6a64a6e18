//! One derived launch template per launch configuration: fleets cannot launch from a launch configuration.
//!
//! Launch configurations never change, so a derived template has one version, and its name says which one it is for.

use aws_sdk_autoscaling::types as asg;
use aws_sdk_ec2::types as ec2;
use engine::CloudError;
use planner::model::{GroupName, tag};

use crate::Aws;
use crate::error::{Kind, Service, refused};
use crate::queue::hash;

/// Value of [`tag::ROLE`] on a derived template.
pub(crate) const ROLE: &str = "lt";
/// Tag with the name of the launch configuration: a template whose launch configuration is gone can go, too.
pub(crate) const CONFIGURATION: &str = "spotward:launch-configuration";

impl Aws {
    /// A launch configuration, read once per invocation.
    pub(crate) async fn configuration(&self, name: &str) -> Result<asg::LaunchConfiguration, CloudError> {
        if let Some(configuration) = self.memory().configurations.get(name) {
            return Ok(configuration.clone());
        }
        let answer = self
            .clients
            .autoscaling
            .describe_launch_configurations()
            .launch_configuration_names(name)
            .send()
            .await
            .map_err(refused(Service::AutoScaling, "DescribeLaunchConfigurations"))?;
        let found = answer.launch_configurations.unwrap_or_default().into_iter().next();
        let found = found.ok_or_else(|| CloudError::NotFound(format!("launch configuration {name}")))?;
        self.memory().configurations.insert(name.to_owned(), found.clone());
        Ok(found)
    }

    /// The name of the template that says what the launch configuration says; made if it is not there.
    pub(crate) async fn derived_template(&self, name: &str, group: &GroupName) -> Result<String, CloudError> {
        let configuration = self.configuration(name).await?;
        let template = name_of(&configuration);
        if self.memory().templates.contains(&template) {
            return Ok(template);
        }
        let tags = [
            (tag::ROLE, ROLE),
            (tag::STACK, self.config.stack.as_str()),
            (tag::GROUP, group.as_str()),
            (CONFIGURATION, name),
        ];
        let tags = tags.map(|(key, value)| ec2::Tag::builder().key(key).value(value).build());
        let made = self
            .clients
            .ec2
            .create_launch_template()
            .launch_template_name(&template)
            .client_token(&template)
            .launch_template_data(data(&configuration))
            .tag_specifications(
                ec2::TagSpecification::builder()
                    .resource_type(ec2::ResourceType::LaunchTemplate)
                    .set_tags(Some(tags.to_vec()))
                    .build(),
            )
            .send()
            .await
            .map_err(refused(Service::Ec2, "CreateLaunchTemplate"));
        match made {
            Ok(_) => {}
            // Made before, by us or by a worker on another group with the same launch configuration.
            Err(refused) if refused.kind == Kind::Conflict => {}
            Err(refused) => return Err(refused.into()),
        }
        self.memory().templates.insert(template.clone());
        Ok(template)
    }
}

/// What the template of a launch configuration is called: one that was deleted and made again has another ARN.
pub(crate) fn name_of(configuration: &asg::LaunchConfiguration) -> String {
    let arn = configuration.launch_configuration_arn().or(configuration.launch_configuration_name());
    format!("spotward-{}", &hash(&[arn.unwrap_or_default()])[..32])
}

/// Field by field what the launch configuration says.
fn data(configuration: &asg::LaunchConfiguration) -> ec2::RequestLaunchTemplateData {
    let filled = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    let (ids, names): (Vec<String>, Vec<String>) =
        configuration.security_groups().iter().cloned().partition(|group| group.starts_with("sg-"));
    let some = |groups: Vec<String>| (!groups.is_empty()).then_some(groups);
    let builder = ec2::RequestLaunchTemplateData::builder()
        .set_image_id(filled(&configuration.image_id))
        .set_instance_type(configuration.instance_type().map(ec2::InstanceType::from))
        .set_key_name(filled(&configuration.key_name))
        // Base64 already: Auto Scaling returns it as it was given.
        .set_user_data(filled(&configuration.user_data))
        .set_kernel_id(filled(&configuration.kernel_id))
        .set_ram_disk_id(filled(&configuration.ramdisk_id))
        .set_ebs_optimized(configuration.ebs_optimized())
        .set_iam_instance_profile(filled(&configuration.iam_instance_profile).map(profile))
        .set_monitoring(
            configuration
                .instance_monitoring()
                .and_then(|monitoring| monitoring.enabled())
                .map(|enabled| ec2::LaunchTemplatesMonitoringRequest::builder().enabled(enabled).build()),
        )
        .set_placement(filled(&configuration.placement_tenancy).map(|tenancy| {
            ec2::LaunchTemplatePlacementRequest::builder().tenancy(ec2::Tenancy::from(tenancy.as_str())).build()
        }))
        .set_metadata_options(configuration.metadata_options().map(metadata))
        .set_block_device_mappings({
            let mappings: Vec<_> = configuration.block_device_mappings().iter().map(mapping).collect();
            (!mappings.is_empty()).then_some(mappings)
        });
    match configuration.associate_public_ip_address() {
        // The choice of a public address belongs to an interface, and the security groups then do, too.
        Some(public) => builder.network_interfaces(
            ec2::LaunchTemplateInstanceNetworkInterfaceSpecificationRequest::builder()
                .device_index(0)
                .associate_public_ip_address(public)
                .delete_on_termination(true)
                .set_groups(some(configuration.security_groups().to_vec()))
                .build(),
        ),
        None => builder.set_security_group_ids(some(ids)).set_security_groups(some(names)),
    }
    .build()
}

/// A launch configuration takes a name or an ARN in the same field.
fn profile(profile: String) -> ec2::LaunchTemplateIamInstanceProfileSpecificationRequest {
    let builder = ec2::LaunchTemplateIamInstanceProfileSpecificationRequest::builder();
    if profile.starts_with("arn:") { builder.arn(profile) } else { builder.name(profile) }.build()
}

fn metadata(options: &asg::InstanceMetadataOptions) -> ec2::LaunchTemplateInstanceMetadataOptionsRequest {
    ec2::LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .set_http_tokens(options.http_tokens().map(|tokens| ec2::LaunchTemplateHttpTokensState::from(tokens.as_str())))
        .set_http_put_response_hop_limit(options.http_put_response_hop_limit())
        .set_http_endpoint(
            options
                .http_endpoint()
                .map(|endpoint| ec2::LaunchTemplateInstanceMetadataEndpointState::from(endpoint.as_str())),
        )
        .build()
}

fn mapping(mapping: &asg::BlockDeviceMapping) -> ec2::LaunchTemplateBlockDeviceMappingRequest {
    ec2::LaunchTemplateBlockDeviceMappingRequest::builder()
        .set_device_name(mapping.device_name.clone())
        .set_virtual_name(mapping.virtual_name.clone())
        .set_ebs(mapping.ebs().map(|ebs| {
            ec2::LaunchTemplateEbsBlockDeviceRequest::builder()
                .set_snapshot_id(ebs.snapshot_id.clone())
                .set_volume_size(ebs.volume_size())
                .set_volume_type(ebs.volume_type().map(ec2::VolumeType::from))
                .set_delete_on_termination(ebs.delete_on_termination())
                .set_iops(ebs.iops())
                .set_encrypted(ebs.encrypted())
                .set_throughput(ebs.throughput())
                .build()
        }))
        // The empty text removes the device that the image maps.
        .set_no_device((mapping.no_device() == Some(true)).then(String::new))
        .build()
}
