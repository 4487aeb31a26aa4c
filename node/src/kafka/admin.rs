//! Topics: which ones an application needs, and creating those that are missing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use streams::{TopicRole, Topology};
use thiserror::Error;

use super::{Settings, native};

/// Longest wait for the cluster's answer.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the cluster is asked whether it knows what was created.
const KNOWN_POLL: Duration = Duration::from_millis(50);
/// How much longer Kafka keeps the changelog of a store with windows than the store keeps them: Kafka counts from the wall
/// clock, the store from stream time. As in Kafka Streams (`windowstore.changelog.additional.retention.ms`).
const CHANGELOG_ADDITIONAL_RETENTION_MS: i64 = 24 * 60 * 60 * 1000;
/// Topics described in one request.
const TOPICS_PER_REQUEST: usize = 100;

/// A topic as an application needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name in the cluster.
    pub name: String,
    /// Its partition count, fixed for life: keys would be looked for on other partitions otherwise.
    pub partitions: u32,
    /// Topic settings that are not the broker's defaults, by Kafka's names.
    pub config: BTreeMap<&'static str, String>,
}

/// What [`ensure_topics`] did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicChange {
    /// Created (in a dry run: to be created).
    Created(TopicSpec),
    /// It was there, as it should be.
    Present(String),
}

/// Why topics cannot be made ready.
#[derive(Debug, Error)]
pub enum TopicsError {
    /// A topic exists and differs in what cannot be changed under data.
    #[error("{}", .0.join("\n"))]
    Different(Vec<String>),
    /// The cluster refused to create a topic.
    #[error("topic '{topic}' cannot be created: {reason}")]
    Refused {
        /// Which.
        topic: String,
        /// Kafka's words.
        reason: String,
    },
    /// The cluster refused to delete a group or a topic.
    #[error("{what} cannot be deleted: {reason}")]
    NotDeleted {
        /// Which.
        what: String,
        /// Kafka's words, or what to do first.
        reason: String,
    },
    /// The cluster did not answer.
    #[error("the cluster does not answer: {0}")]
    Unavailable(String),
}

/// The topics of a topology: `partitions` each (or what the author fixed for a repartition topic), changelogs compacted, those
/// of windows also deleted by age, because windows expire without a word to their changelog, everything between processors kept until consumed, the rest as the broker's defaults say.
#[must_use]
pub fn topic_specs(
    settings: &Settings,
    topology: &Topology,
    partitions: u32,
    delete_retention_ms: i64,
) -> Vec<TopicSpec> {
    let spec = |topic: &streams::TopicDef| {
        let mut config = BTreeMap::new();
        match topic.role {
            TopicRole::Changelog => {
                let retention_ms = changelog_retention_ms(topology, &topic.name);
                let policy = if retention_ms.is_some() { "compact,delete" } else { "compact" };
                config.insert("cleanup.policy", policy.to_owned());
                config.insert("delete.retention.ms", delete_retention_ms.to_string());
                config.extend(retention_ms.map(|ms| ("retention.ms", ms.to_string())));
            }
            // Requests between processors: an instance that is down for long must still find them.
            TopicRole::Repartition | TopicRole::DeadLetter => {
                config.insert("cleanup.policy", "delete".to_owned());
                config.insert("retention.ms", "-1".to_owned());
            }
            TopicRole::External if is_internal_request(&topic.name) => {
                config.insert("retention.ms", "-1".to_owned());
            }
            TopicRole::External => (),
        }
        if topic.role != TopicRole::External {
            config.insert("message.timestamp.type", "CreateTime".to_owned());
        }
        TopicSpec { name: settings.physical(&topic.name), partitions: topic.partitions.unwrap_or(partitions), config }
    };
    topology.topics().iter().map(spec).collect()
}

/// How long a changelog's records can matter, if not for ever: of stores whose keys lie in segments of time.
fn changelog_retention_ms(topology: &Topology, changelog: &str) -> Option<i64> {
    let topic = topology.topic(changelog);
    let store = topology.stores().iter().find(|store| store.changelog.is_some() && store.changelog == topic)?;
    let retention_ms = store.segment_ms.and(store.retention_ms)?;
    retention_ms.checked_add(CHANGELOG_ADDITIONAL_RETENTION_MS)
}

/// `<app>.…-requests` carry commands from one processor to the next or to a worker; losing one by age would leave a saga
/// waiting.
fn is_internal_request(topic: &str) -> bool {
    topic.ends_with("-requests")
}

/// Creates what is missing, unless `dry_run`. Nothing is created when anything that exists differs.
///
/// Blocks; inside an async runtime too, as the waiting is done on a thread of its own.
///
/// # Errors
/// [`TopicsError`]; each difference with its remedy.
pub fn ensure_topics(settings: &Settings, specs: &[TopicSpec], dry_run: bool) -> Result<Vec<TopicChange>, TopicsError> {
    let mut specs = specs.to_vec();
    specs.sort_by(|a, b| a.name.cmp(&b.name));
    specs.dedup_by(|a, b| a.name == b.name);
    let admin: AdminClient<DefaultClientContext> =
        settings.admin().create().map_err(|e| TopicsError::Unavailable(e.to_string()))?;
    let present = partition_counts(&admin, &specs)?;
    let configs = describe_configs(&admin, specs.iter().filter(|s| present.contains_key(&s.name)))?;
    let mut differences = Vec::new();
    let mut changes = Vec::new();
    for spec in specs {
        match present.get(&spec.name) {
            None => changes.push(TopicChange::Created(spec)),
            Some(partitions) => {
                differences.extend(difference(&spec, *partitions, configs.get(&spec.name)));
                changes.push(TopicChange::Present(spec.name));
            }
        }
    }
    if !differences.is_empty() {
        return Err(TopicsError::Different(differences));
    }
    if !dry_run {
        let missing: Vec<&TopicSpec> = changes
            .iter()
            .filter_map(|c| match c {
                TopicChange::Created(spec) => Some(spec),
                TopicChange::Present(_) => None,
            })
            .collect();
        create(&admin, &missing, settings.replication_factor)?;
    }
    // librdkafka takes 100 ms to let go of a client: a tenth of what a start has to wait for.
    super::in_background("topics", admin);
    Ok(changes)
}

/// Deletes an application's group and the repartition and changelog topics of its topology, or says what it would delete. The
/// group is first, because Kafka refuses that while a member is active. Blocks as [`ensure_topics`] does.
///
/// # Errors
/// [`TopicsError::NotDeleted`], [`TopicsError::Unavailable`]; repeated, it goes on where it was interrupted.
pub fn forget_application(settings: &Settings, topology: &Topology, dry_run: bool) -> Result<Vec<String>, TopicsError> {
    let admin: AdminClient<DefaultClientContext> =
        settings.admin().create().map_err(|e| TopicsError::Unavailable(e.to_string()))?;
    let own = topology.topics().iter().filter(|t| matches!(t.role, TopicRole::Repartition | TopicRole::Changelog));
    let own: Vec<String> = own.map(|t| settings.physical(&t.name)).collect();
    let mut specs = topic_specs(settings, topology, 1, 0);
    specs.retain(|spec| own.contains(&spec.name));
    let present: Vec<String> = partition_counts(&admin, &specs)?.into_keys().collect();
    let group = settings.group(topology.application_id());
    let not_deleted = |what: String, code: RDKafkaErrorCode| {
        let reason = match code {
            RDKafkaErrorCode::NonEmptyGroup => "it has active members. Stop every instance, then wait kafka.session_timeout_ms: a member that was stopped is \
                 one until then, so that its restart needs no rebalance"
                .to_owned(),
            code => code.to_string(),
        };
        TopicsError::NotDeleted { what, reason }
    };
    if !dry_run {
        for deleted in wait(admin.delete_groups(&[&group], &options()))? {
            match deleted {
                Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound)) => (),
                Err((group, code)) => return Err(not_deleted(format!("group '{group}'"), code)),
            }
        }
        let names: Vec<&str> = present.iter().map(String::as_str).collect();
        let deleted = if names.is_empty() { Vec::new() } else { wait(admin.delete_topics(&names, &options()))? };
        for deleted in deleted {
            match deleted {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => (),
                Err((topic, code)) => return Err(not_deleted(format!("topic '{topic}'"), code)),
            }
        }
    }
    let topics = present.iter().map(|topic| format!("topic {topic}"));
    Ok(std::iter::once(format!("group {group} and its positions, if it is there")).chain(topics).collect())
}

/// What is wrong with a topic that exists, and what to do about it.
fn difference(spec: &TopicSpec, partitions: u32, config: Option<&BTreeMap<String, String>>) -> Option<String> {
    if partitions != spec.partitions {
        return Some(format!(
            "topic '{}' has {partitions} partitions, not {}: the count is fixed for life, as keys are placed by it. Set \
             topics.partitions = {partitions}, or move to new topics under another topics.prefix",
            spec.name, spec.partitions
        ));
    }
    // Of the settings only this one can destroy state: a changelog that deletes by age forgets what still stands.
    let policy = config.and_then(|c| c.get("cleanup.policy"))?;
    let wanted = spec.config.get("cleanup.policy")?;
    let retention = spec.config.get("retention.ms").map_or_else(String::new, |ms| format!(",retention.ms={ms}"));
    (policy != wanted).then(|| {
        format!(
            "topic '{}' has cleanup.policy={policy}, not {wanted}: kafka-configs.sh --alter --topic {} --add-config \
             cleanup.policy=[{wanted}]{retention}",
            spec.name, spec.name
        )
    })
}

fn partition_counts(
    admin: &AdminClient<DefaultClientContext>,
    specs: &[TopicSpec],
) -> Result<BTreeMap<String, u32>, TopicsError> {
    let names: Vec<String> = specs.iter().map(|s| s.name.clone()).collect();
    let mut present = BTreeMap::new();
    for names in names.chunks(TOPICS_PER_REQUEST) {
        let described =
            native::describe_topics(admin.inner(), names, ADMIN_TIMEOUT).map_err(TopicsError::Unavailable)?;
        for topic in described {
            match topic.found {
                Ok((_, partitions)) => {
                    present.insert(topic.name, partitions);
                }
                Err(RDKafkaErrorCode::UnknownTopicOrPartition) => (),
                Err(code) => return Err(TopicsError::Refused { topic: topic.name, reason: code.to_string() }),
            }
        }
    }
    Ok(present)
}

fn describe_configs<'a>(
    admin: &AdminClient<DefaultClientContext>,
    specs: impl Iterator<Item = &'a TopicSpec>,
) -> Result<BTreeMap<String, BTreeMap<String, String>>, TopicsError> {
    let resources: Vec<ResourceSpecifier<'_>> = specs.map(|s| ResourceSpecifier::Topic(&s.name)).collect();
    if resources.is_empty() {
        return Ok(BTreeMap::new());
    }
    let described = wait(admin.describe_configs(&resources, &options()))?;
    let mut configs = BTreeMap::new();
    for resource in described.into_iter().flatten() {
        if let rdkafka::admin::OwnedResourceSpecifier::Topic(name) = resource.specifier {
            let entries = resource.entries.into_iter().filter_map(|e| Some((e.name, e.value?)));
            configs.insert(name, entries.collect());
        }
    }
    Ok(configs)
}

fn create(
    admin: &AdminClient<DefaultClientContext>,
    missing: &[&TopicSpec],
    replication_factor: i32,
) -> Result<(), TopicsError> {
    if missing.is_empty() {
        return Ok(());
    }
    let topics: Vec<NewTopic<'_>> = missing
        .iter()
        .map(|spec| {
            let partitions = i32::try_from(spec.partitions).unwrap_or(i32::MAX);
            let topic = NewTopic::new(&spec.name, partitions, TopicReplication::Fixed(replication_factor));
            spec.config.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
        })
        .collect();
    for created in wait(admin.create_topics(&topics, &options()))? {
        match created {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => (),
            Err((topic, code)) => return Err(TopicsError::Refused { topic, reason: code.to_string() }),
        }
    }
    await_known(admin, missing)
}

/// The controller answers before every broker has heard of the topics, whatever the operation timeout says (KRaft): who
/// starts at once would be told that they do not exist.
fn await_known(admin: &AdminClient<DefaultClientContext>, created: &[&TopicSpec]) -> Result<(), TopicsError> {
    let specs: Vec<TopicSpec> = created.iter().copied().cloned().collect();
    let deadline = Instant::now() + ADMIN_TIMEOUT;
    while partition_counts(admin, &specs)?.len() < specs.len() {
        if Instant::now() > deadline {
            return Err(TopicsError::Unavailable(
                "the topics were created, but the brokers do not know them yet".into(),
            ));
        }
        std::thread::sleep(KNOWN_POLL);
    }
    Ok(())
}

fn options() -> AdminOptions {
    // The operation timeout has the broker wait until the topics are known everywhere.
    AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT)).operation_timeout(Some(ADMIN_TIMEOUT))
}

/// Waits for an admin call, on a thread of its own because the caller may be inside a runtime.
fn wait<T: Send>(call: impl Future<Output = Result<T, KafkaError>> + Send) -> Result<T, TopicsError> {
    let answer = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|e| e.to_string())?;
                runtime.block_on(call).map_err(|e| e.to_string())
            })
            .join()
    });
    match answer {
        Ok(answer) => answer.map_err(TopicsError::Unavailable),
        Err(_) => Err(TopicsError::Unavailable("the admin thread panicked".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> TopicSpec {
        let config = BTreeMap::from([("cleanup.policy", "compact".to_owned())]);
        TopicSpec { name: "t".to_owned(), partitions: 4, config }
    }

    #[test]
    fn a_difference_names_the_remedy() {
        let config = BTreeMap::from([("cleanup.policy".to_owned(), "delete".to_owned())]);
        assert_eq!(difference(&spec(), 4, None), None);
        let text = difference(&spec(), 3, None).expect("partitions differ");
        assert!(text.contains("topics.partitions = 3"), "{text}");
        let text = difference(&spec(), 4, Some(&config)).expect("policies differ");
        assert!(text.ends_with("--add-config cleanup.policy=[compact]"), "{text}");
        let mut windowed = spec();
        windowed.config.insert("cleanup.policy", "compact,delete".to_owned());
        windowed.config.insert("retention.ms", "5".to_owned());
        let text = difference(&windowed, 4, Some(&config)).expect("policies differ");
        assert!(text.ends_with("--add-config cleanup.policy=[compact,delete],retention.ms=5"), "{text}");
    }

    #[test]
    fn changelogs_of_windows_end_a_day_after_the_windows() {
        use streams::dsl::{Consumed, Materialized, StreamsBuilder, TimeWindows, UnlimitedWindows};
        use streams::serde::{I64, Utf8};
        let builder = StreamsBuilder::new("app");
        let clicks = builder.stream("clicks", Consumed::<String, String>::with(Utf8, Utf8)).group_by_key();
        clicks.count(Materialized::new("all", Utf8, I64));
        let windows = TimeWindows::of_size_and_grace(60_000, 5_000);
        clicks.windowed_by(windows).count(Materialized::new("by-minute", Utf8, I64));
        clicks.windowed_by(UnlimitedWindows::of()).count(Materialized::new("ever", Utf8, I64));
        builder.table("rows", Materialized::<String, String>::new("versions", Utf8, Utf8).versioned(1_000));
        let topology = builder.build().expect("valid");
        let retention = |store: &str| changelog_retention_ms(&topology, &format!("app-{store}-changelog"));
        assert_eq!(retention("by-minute"), Some(65_000 + 86_400_000));
        assert_eq!((retention("all"), retention("ever"), retention("versions")), (None, None, None));
    }
}
