//! What every business's auditor reads from the log alike: where records are, which commands count, what cannot be
//! judged, where a saga's status history ends. Plain counting; the judgement is in the checks.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use schemas::state::Command;
use schemas::{AvroRecord, Codec, TopicSpec};

use super::findings::{Check, Findings};
use super::rules;
use crate::business::Business;
use crate::log::{LogRecord, partition_of};

/// Latest time of a command that is judged, milliseconds since the epoch: 9999-01-01.
const TIMESTAMP_MS_MAX: i64 = 253_370_764_800_000;

/// How far two clocks of one deployment may be apart, milliseconds: less than that says nothing about before and after.
pub const CLOCKS_APART_MS: i64 = 1_000;

/// Where a record is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Topic without a deployment's prefix.
    pub topic: &'static str,
    /// Partition.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// What must happen to a record of a command topic that cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Poison {
    /// It must be a dead letter.
    Must(&'static str),
    /// It may be, or it is refused with a verdict: its form is right, its content is not.
    May(&'static str),
}

/// A command that can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It counts.
    New,
    /// It, or another that asks for the same, came before: it has no second effect.
    Again,
}

/// Commands met before, by id, with what they said. Few per key, so a list.
#[derive(Debug, Default)]
pub struct Commands(Vec<(String, i64)>);

impl Commands {
    /// Remembers a command.
    ///
    /// # Errors
    /// When its id is that of another command.
    pub fn meet(&mut self, command: &impl Command) -> Result<Heard, Poison> {
        let hash = command.content_hash();
        match self.0.iter().find(|(id, _)| id == command.command_id()) {
            Some((_, known)) if *known == hash => Ok(Heard::Again),
            Some(_) => Err(Poison::May("command id of another command")),
            None => {
                self.0.push((command.command_id().to_owned(), hash));
                Ok(Heard::New)
            }
        }
    }
}

/// Decodes a command and checks its ids, as every command's are.
///
/// # Errors
/// When it is a dead letter whatever it asks for.
pub fn read<T: AvroRecord + Command>(codec: &Codec<T>, key: &[u8], value: &[u8]) -> Result<T, Poison> {
    let command = codec.decode(value).map_err(|_| Poison::Must("no Avro of ours"))?;
    if command.key().as_bytes() != key {
        return Err(Poison::Must("key is not the id"));
    }
    rules::id(command.key()).map_err(Poison::Must)?;
    rules::id(command.command_id()).map_err(Poison::Must)?;
    Ok(command)
}

/// Decodes a record that we write ourselves.
///
/// # Errors
/// When it cannot be read, in words.
pub fn own<T: AvroRecord>(codec: &Codec<T>, value: &[u8]) -> Result<T, String> {
    codec.decode(value).map_err(|e| e.to_string())
}

/// The business's part of reading the log.
pub trait Fold {
    /// Takes a command in. `at_ms` is the record's time.
    ///
    /// # Errors
    /// When it cannot be judged.
    fn command(&mut self, place: &Place, key: &[u8], value: &[u8], at_ms: i64) -> Result<Heard, Poison>;

    /// Takes in a record of an internal topic or an event: written by us, so whatever cannot be read is a fault.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn own(&mut self, place: &Place, value: &[u8]) -> Result<(), String>;
}

/// Reads the log of one business: knows which topics are whose, and keeps what cannot be judged.
#[derive(Debug)]
pub struct Reader {
    topics: &'static [TopicSpec],
    commands: Vec<&'static str>,
    dead_letter_topic: String,
    partitions: HashMap<&'static str, i32>,
    poison: BTreeMap<Place, Poison>,
    /// Where each dead letter says it came from, how often.
    dead_letters: BTreeMap<(String, i32, i64), u32>,
    /// Dead letters that do not say where they came from.
    stray_dead_letters: u64,
    /// Commands that sit on another partition than their key's.
    misplaced: u64,
    duplicates: u64,
    /// Records of our own topics that cannot be read.
    unreadable: Vec<(Place, String)>,
}

impl Reader {
    /// `partitions` tells how many partitions a topic has, where that is known.
    pub fn new(business: &dyn Business, partitions: &dyn Fn(&str) -> Option<i32>) -> Self {
        let commands = business.command_topics();
        Reader {
            topics: business.topics(),
            partitions: commands.iter().filter_map(|topic| Some((*topic, partitions(topic)?))).collect(),
            commands,
            dead_letter_topic: business.dead_letter_topic(),
            poison: BTreeMap::new(),
            dead_letters: BTreeMap::new(),
            stray_dead_letters: 0,
            misplaced: 0,
            duplicates: 0,
            unreadable: Vec::new(),
        }
    }

    /// Takes a record in and gives it to the business if it can be judged.
    pub fn observe(&mut self, record: &LogRecord, fold: &mut impl Fold) {
        if record.topic == self.dead_letter_topic {
            return self.dead_letter(record);
        }
        let Some(topic) = self.topics.iter().find(|topic| topic.base == record.topic).map(|topic| topic.base) else {
            return;
        };
        let place = Place { topic, partition: record.partition, offset: record.offset };
        if self.commands.contains(&topic) {
            match self.command(record, &place, fold) {
                Ok(Heard::New) => {}
                Ok(Heard::Again) => self.duplicates += 1,
                Err(poison) => drop(self.poison.insert(place, poison)),
            }
        } else {
            let read = record.value.as_deref().ok_or("null value".to_owned()).and_then(|v| fold.own(&place, v));
            if let Err(reason) = read {
                self.unreadable.push((place, reason));
            }
        }
    }

    fn command(&mut self, record: &LogRecord, place: &Place, fold: &mut impl Fold) -> Result<Heard, Poison> {
        if !(0..=TIMESTAMP_MS_MAX).contains(&record.timestamp) {
            return Err(Poison::Must("time before 1970 or in year 9999"));
        }
        let key = record.key.as_deref().ok_or(Poison::Must("null key"))?;
        let value = record.value.as_deref().ok_or(Poison::Must("null value"))?;
        let count = self.partitions.get(place.topic).copied();
        if count.is_some_and(|count| partition_of(key, count) != record.partition) {
            // Sent on to its right partition, where it is seen again; or dead-lettered, by configuration.
            self.misplaced += 1;
            return Err(Poison::May("on another partition than its key's"));
        }
        fold.command(place, key, value, record.timestamp)
    }

    fn dead_letter(&mut self, record: &LogRecord) {
        let text = |name: &str| std::str::from_utf8(record.header(name)?).ok();
        let origin = || {
            let partition = text("orderflow.error.partition")?.parse().ok()?;
            let offset = text("orderflow.error.offset")?.parse().ok()?;
            Some((text("orderflow.error.topic")?.to_owned(), partition, offset))
        };
        match origin() {
            Some(origin) => *self.dead_letters.entry(origin).or_default() += 1,
            None => self.stray_dead_letters += 1,
        }
    }

    /// Every record that cannot be judged is a dead letter once, and nothing else is.
    pub fn check_dead_letters(&self, findings: &mut Findings) {
        let says = "every record that cannot be judged is a dead letter once, and nothing else is";
        let mut check = findings.check("dead letters", says);
        // Topics in headers have the deployment's prefix; places do not.
        let mut letters: BTreeMap<(&str, i32, i64), u32> = BTreeMap::new();
        for ((topic, partition, offset), count) in &self.dead_letters {
            let topic = self.commands.iter().find(|command| topic.ends_with(*command)).copied().unwrap_or(topic);
            *letters.entry((topic, *partition, *offset)).or_default() += count;
        }
        for (place, poison) in &self.poison {
            let count = letters.get(&(place.topic, place.partition, place.offset)).copied().unwrap_or_default();
            let (fits, what) = match poison {
                Poison::Must(what) => (count == 1, what),
                Poison::May(what) => (count <= 1, what),
            };
            check.holds(
                fits,
                &place.to_string(),
                "one dead letter",
                || format!("{count} dead letters"),
                || format!("it has: {what}"),
            );
        }
        for (topic, partition, offset) in letters.into_keys() {
            let known = self.commands.iter().find(|command| topic == **command);
            let place = known.map(|topic| Place { topic, partition, offset });
            if place.is_none_or(|place| !self.poison.contains_key(&place)) {
                let subject = format!("{topic}/{partition}@{offset}");
                check.differs(subject, "judged like any command", "a dead letter", "");
            }
        }
        if self.stray_dead_letters > 0 {
            let found = format!("{} without", self.stray_dead_letters);
            check.differs("dead letters", "headers that say where they came from", found, "");
        }
    }

    /// Whatever we write ourselves can be read.
    pub fn check_readable(&self, check: &mut Check<'_>) {
        for (place, reason) in &self.unreadable {
            check.differs(place.to_string(), "a readable record", reason, "");
        }
    }

    /// Counts for the report.
    pub fn summary(&self) -> [(&'static str, u64); 3] {
        [
            ("duplicates", self.duplicates),
            ("dead letters", self.dead_letters.values().map(|count| u64::from(*count)).sum()),
            ("misplaced commands", self.misplaced),
        ]
    }
}

/// Where a saga's status history stands: a status event counts the changes from 1.
#[derive(Debug)]
pub struct History<S> {
    /// The last state told.
    pub last: Option<S>,
    version: i32,
    /// A version that did not follow the one before, and where.
    gap: Option<(i32, i32, Place)>,
}

impl<S> Default for History<S> {
    fn default() -> Self {
        History { last: None, version: 0, gap: None }
    }
}

impl<S: Copy + PartialEq + fmt::Display> History<S> {
    /// Takes the next change in.
    pub fn tell(&mut self, status: S, version: i32, place: &Place) {
        if version != self.version + 1 && self.gap.is_none() {
            self.gap = Some((self.version, version, place.clone()));
        }
        self.last = Some(status);
        self.version = version;
    }

    /// The last state, in words.
    pub fn words(&self) -> String {
        self.last.map_or_else(|| "none".to_owned(), |status| status.to_string())
    }

    /// Every change counted once, without a gap, up to the state expected, where one is.
    pub fn check(&self, subject: &str, expected: Option<S>, at: &str, check: &mut Check<'_>) {
        check.examined();
        if let Some((before, version, place)) = &self.gap {
            let found = format!("version {version} behind {before}");
            check.differs(subject, format!("version {}", before + 1), found, place.to_string());
        }
        if let Some(expected) = expected.filter(|expected| self.last != Some(*expected)) {
            check.differs(subject, format!("last status {expected}"), self.words(), at);
        }
    }
}
