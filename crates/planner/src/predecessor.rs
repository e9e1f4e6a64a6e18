//! Every option of AutoSpotting's open edition, with its counterpart here or the reason why there is none; and the
//! translation of one group's tags. `docs/migrate-from-autospotting.md` repeats the table.
//!
//! The facts are those of <https://github.com/LeanerCloud/AutoSpotting> at commit `9bc88ee`, read from its code.

use crate::model::Tags;
use crate::policy::{ALIAS_NAMESPACE, Config, NAMESPACE, Policy, SETTINGS, Setting};

/// One option of the predecessor.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its flag; the environment variable is the same in capitals.
    pub option: &'static str,
    /// Parameter of its CloudFormation template.
    pub parameter: Option<&'static str>,
    /// Key of the tag on a group.
    pub tag: Option<&'static str>,
    /// What takes its place.
    pub counterpart: Counterpart,
    /// What differs, or why there is none, in a sentence or two.
    pub note: &'static str,
}

/// What takes an option's place here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counterpart {
    /// A setting, by key: a tag on the group, or a default of the deployment.
    Setting(&'static str),
    /// A parameter of our stack, or something else outside the groups.
    Stack(&'static str),
    /// The enabling tag.
    EnablingTag,
    /// It always is as if the option were so, or needs no option.
    BuiltIn,
    /// There is none.
    None,
}

const fn setting(
    option: &'static str,
    parameter: Option<&'static str>,
    tag: Option<&'static str>,
    key: &'static str,
    note: &'static str,
) -> Known {
    Known { option, parameter, tag, counterpart: Counterpart::Setting(key), note }
}

const fn other(
    option: &'static str,
    parameter: Option<&'static str>,
    tag: Option<&'static str>,
    counterpart: Counterpart,
    note: &'static str,
) -> Known {
    Known { option, parameter, tag, counterpart, note }
}

/// Every option there is.
pub const OPTIONS: &[Known] = &[
    other(
        "regions",
        Some("Regions"),
        None,
        Counterpart::Stack("one stack per region"),
        "Deploy the stack in each region that it should act in: nothing reaches across regions.",
    ),
    other(
        "tag_filtering_mode",
        Some("TagFilteringMode"),
        None,
        Counterpart::None,
        "Opt-in only. A group that nobody has tagged is never touched, so there is no opt-out mode: tag the groups that it covered.",
    ),
    other(
        "tag_filters",
        Some("FilterByTags"),
        None,
        Counterpart::EnablingTag,
        "One tag, compared exactly: `spot-enabled=true` (the value is the parameter `EnableTagValue`). No patterns, no second tag.",
    ),
    setting(
        "min_on_demand_number",
        Some("MinOnDemandNumber"),
        Some("autospotting_min_on_demand_number"),
        "min-on-demand",
        "The floor is of desired capacity, not of the instances of the moment; a number above it means all. It works in both directions: raised, on-demand members come back.",
    ),
    setting(
        "min_on_demand_percentage",
        Some("MinOnDemandPercentage"),
        Some("autospotting_min_on_demand_percentage"),
        "min-on-demand",
        "Of desired capacity, rounded up instead of to the nearest. With a number beside it the larger protection wins, here as there.",
    ),
    setting(
        "allowed_instance_types",
        Some("AllowedInstanceTypes"),
        Some("autospotting_allowed_instance_types"),
        "allowed-types",
        "The same patterns; `current` may stand in a list.",
    ),
    setting(
        "disallowed_instance_types",
        Some("DisallowedInstanceTypes"),
        Some("autospotting_disallowed_instance_types"),
        "denied-types",
        "The same patterns. Denying beats allowing; there, the list had no effect beside a list of allowed types, which the template always passed.",
    ),
    other(
        "on_demand_price_multiplier",
        Some("OnDemandPriceMultiplier"),
        Some("autospotting_on_demand_price_multiplier"),
        Counterpart::None,
        "The tag had no effect there. For a cap below the on-demand price use `spotward:max-price=80%`; committed discounts are a floor (`min-on-demand`), since what is paid for should run.",
    ),
    other(
        "bidding_policy",
        Some("BiddingPolicy"),
        Some("autospotting_bidding_policy"),
        Counterpart::None,
        "Without effect there. EC2 charges the spot price, whatever the limit; a limit is `spotward:max-price`.",
    ),
    other(
        "spot_price_buffer_percentage",
        Some("SpotPricePercentageBuffer"),
        Some("autospotting_spot_price_buffer_percentage"),
        Counterpart::None,
        "Without effect there, and about bids, which EC2 no longer has.",
    ),
    other(
        "spot_product_description",
        Some("SpotProductDescription"),
        None,
        Counterpart::BuiltIn,
        "Each group's own image says what it is billed as; groups of several platforms live in one deployment.",
    ),
    other(
        "spot_product_premium",
        Some("SpotProductPremium"),
        None,
        Counterpart::BuiltIn,
        "Without effect there. On-demand and spot price are both read for the group's own platform, licences included.",
    ),
    setting(
        "spot_allocation_strategy",
        Some("SpotAllocationStrategy"),
        Some("autospotting_spot_allocation_strategy"),
        "allocation-strategy",
        "The same names, checked. Our default is `price-capacity-optimized`, which AWS recommends; there it was `capacity-optimized-prioritized`.",
    ),
    other(
        "prioritized_instance_types_bias",
        Some("PrioritizedInstanceTypesBias"),
        Some("autospotting_prioritized_instance_types_bias"),
        Counterpart::None,
        "With `capacity-optimized-prioritized` the order of `spotward:allowed-types` is the priority, then the price. Previous generations are left out by default (`spotward:previous-generation`).",
    ),
    setting(
        "instance_termination_method",
        Some("InstanceTerminationMethod"),
        Some("autospotting_instance_termination_method"),
        "removal",
        "Without effect there; here it works: `autoscaling` is `terminate`, `detach` detaches, drains and then terminates.",
    ),
    other(
        "termination_notification_action",
        Some("TerminationNotificationAction"),
        Some("autospotting_termination_notification_action"),
        Counterpart::None,
        "There the tag was documented and never read. A member whose end EC2 announces always leaves through its group, so that hooks and draining run.",
    ),
    setting(
        "cron_schedule",
        Some("CronSchedule"),
        Some("autospotting_cron_schedule"),
        "schedule",
        "The same two fields, hours and days. It decides when swaps may start, on every path; what has begun is finished. There, only the timed run looked at it.",
    ),
    setting(
        "cron_timezone",
        Some("CronTimezone"),
        Some("autospotting_cron_timezone"),
        "schedule-zone",
        "An IANA name. An unknown one is an error that is named, and the group is left alone.",
    ),
    setting(
        "cron_schedule_state",
        Some("CronScheduleState"),
        Some("autospotting_cron_schedule_state"),
        "schedule-state",
        "`off` turns the schedule around, as there.",
    ),
    other(
        "patch_beanstalk_userdata",
        Some("PatchBeanstalkUserdata"),
        Some("autospotting_patch_beanstalk_userdata"),
        Counterpart::None,
        "Groups of Elastic Beanstalk are left alone: their environment buys spot instances by itself.",
    ),
    other(
        "ebs_gp2_conversion_threshold",
        Some("GP2ConversionThreshold"),
        Some("autospotting_gp2_conversion_threshold"),
        Counterpart::None,
        "Volumes are what the group's template says. Change the template: then every instance has them, not only replicas.",
    ),
    other(
        "disable_event_based_instance_replacement",
        Some("DisableEventBasedInstanceReplacement"),
        None,
        Counterpart::None,
        "An event only makes us look sooner; whether a member may leave is decided by the same rules as on the tick (`spotward:min-age`, `spotward:schedule`).",
    ),
    other(
        "disable_instance_rebalance_recommendation",
        Some("DisableInstanceRebalanceRecommendation"),
        None,
        Counterpart::Setting("rebalance"),
        "Per group: `ignore` does what `true` did. The default acts only if a better pool is to be had.",
    ),
    other(
        "sqs_queue_url",
        Some("SQSQueueName"),
        None,
        Counterpart::BuiltIn,
        "The stack makes its own FIFO queue, in its own region.",
    ),
    other("billing_only", None, None, Counterpart::None, "There is no metering: nothing is charged for savings."),
    other("license", None, None, Counterpart::None, "There is no licence key."),
    other(
        "event_file",
        None,
        None,
        Counterpart::Stack("`spotward run`, `spotward plan`"),
        "From a shell the same passes are made, or shown, by the command line.",
    ),
    other("version", None, None, Counterpart::Stack("`spotward --version`"), ""),
    other(
        "autospotting_debug",
        None,
        None,
        Counterpart::Stack("`LogLevel`"),
        "On the command line `--verbose`, or `RUST_LOG`.",
    ),
    other(
        "aws_region",
        None,
        None,
        Counterpart::BuiltIn,
        "The region of the stack; on the command line the standard AWS configuration or `--region`.",
    ),
    other(
        "enable_instance_launch_event_handling",
        None,
        Some("autospotting_enable_instance_launch_event_handling"),
        Counterpart::None,
        "Without effect there.",
    ),
    other(
        "cpu_architecture",
        Some("CpuArchitecture"),
        None,
        Counterpart::Stack("`Architecture`"),
        "arm64 unless said otherwise. It is about the function, not about your instances.",
    ),
    other(
        "execution_frequency",
        Some("ExecutionFrequency"),
        None,
        Counterpart::Stack("`TickRate`"),
        "One minute instead of thirty: a look that finds nothing to do is a handful of calls.",
    ),
    other(
        "lambda_memory_size",
        Some("LambdaMemorySize"),
        None,
        Counterpart::Stack("`MemorySize`"),
        "256 MB are enough.",
    ),
    other(
        "log_retention_period",
        Some("LogRetentionPeriod"),
        None,
        Counterpart::Stack("`LogRetentionDays`"),
        "The log is also the audit record: 90 days by default instead of 7.",
    ),
    other(
        "lambda_function_tag",
        Some("LambdaFunctionTagKey, LambdaFunctionTagValue"),
        None,
        Counterpart::Stack("tags of the stack"),
        "`sam deploy --tags` tags everything in the stack.",
    ),
    other(
        "source_image",
        Some("SourceECR, SourceImage, SourceImageTag"),
        None,
        Counterpart::None,
        "The function is a zip archive that you build, not a container image from a registry.",
    ),
    other(
        "deploy_regional_resources_stack_set",
        Some("DeployRegionalResourcesStackSet"),
        None,
        Counterpart::None,
        "Each region's stack holds everything that it needs; no forwarder to a main region.",
    ),
    other(
        "savings_cut",
        None,
        None,
        Counterpart::None,
        "Set there when it was built; nothing is charged for savings here.",
    ),
];

/// What becomes of one tag of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    /// The tag's key.
    pub tag: String,
    /// Its value.
    pub value: String,
    /// Our tag that says the same.
    pub becomes: Option<(String, String)>,
    /// The tag itself is read by us as well: nothing has to be written.
    pub read_as_is: bool,
    /// What differs, or why nothing takes its place.
    pub note: String,
}

/// One group's tags in our words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The group is enabled for us.
    pub enabled: bool,
    /// Tag by tag.
    pub tags: Vec<Translated>,
    /// What we could not understand in them: with any of these the group would be left alone.
    pub problems: Vec<String>,
}

/// Translates the tags of one group.
pub fn translate(tags: &Tags, config: &Config) -> Translation {
    let enabled = tags.get(&config.enable_key) == Some(&config.enable_value);
    let lines: Vec<Translated> = tags
        .iter()
        .filter_map(|(key, value)| match key.starts_with(ALIAS_NAMESPACE) {
            true => Some(translated(key, value, tags)),
            false => (*key == config.enable_key).then(|| enabling(key, value, enabled, config)),
        })
        .collect();
    let errors = Policy::of_tags(tags, config).err().unwrap_or_default();
    let mut problems: Vec<String> = errors.iter().map(ToString::to_string).collect();
    problems.sort();
    Translation { enabled, tags: lines, problems }
}

fn enabling(key: &str, value: &str, enabled: bool, config: &Config) -> Translated {
    let note = if enabled {
        "The same tag enables the group here.".to_owned()
    } else {
        format!(
            "Only {:?} enables a group here, compared exactly; with this value it is left alone.",
            config.enable_value
        )
    };
    Translated { tag: key.to_owned(), value: value.to_owned(), becomes: None, read_as_is: enabled, note }
}

fn translated(tag: &str, value: &str, all: &Tags) -> Translated {
    let known = OPTIONS.iter().find(|known| known.tag == Some(tag));
    let line = |becomes, read_as_is, note: &str| Translated {
        tag: tag.to_owned(),
        value: value.to_owned(),
        becomes,
        read_as_is,
        note: note.to_owned(),
    };
    let Some(known) = known else {
        return line(None, false, "No option that is known: AutoSpotting's open edition does not read it either.");
    };
    let Counterpart::Setting(key) = known.counterpart else { return line(None, false, known.note) };
    let own = format!("{NAMESPACE}{key}");
    if let Some(present) = all.get(&own) {
        return line(None, false, &format!("The group carries {own}={present} already, which wins."));
    }
    let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
        return line(None, false, known.note);
    };
    line(Some((own, ours(setting, all))), true, known.note)
}

/// The value of our one tag: of several that mean the same setting, all of them.
fn ours(setting: &Setting, all: &Tags) -> String {
    let said = setting.aliases.iter().filter_map(|alias| Some((*alias, all.get(*alias)?.trim())));
    let values: Vec<String> = said
        .map(|(alias, text)| match (alias, text.parse::<f64>()) {
            ("autospotting_min_on_demand_percentage", Ok(percent)) => format!("{}%", percent.ceil()),
            ("autospotting_instance_termination_method", _) if text == "autoscaling" => "terminate".to_owned(),
            _ => text.to_owned(),
        })
        .collect();
    values.join(", ")
}
