//! Which topology a position and its state belong to. Each position is committed with the fingerprint of the sub-topology
//! that was at work, and a takeover compares: a topology that would take over what is not its own does not start.
//!
//! What counts is what state and positions rest on: the sub-topology's number (other instances, `--tasks` and announcements
//! name tasks by it), the topics it reads, and its stores, each with its shape, the segments in its keys, and where its data
//! lasts. What it does with a record does not count: nodes and their names, sinks, formats, caching. Nor do other
//! sub-topologies, so one may be added behind the last. Compatible is both ways, so that going back is always possible;
//! that is why a store may not even be added: it would be empty beside inputs that are half read.
//!
//! The hash travels in the committed metadata. The text is kept beside the local stores under its hash, so that a refusal
//! can say what there was before.

use rustc_hash::FxHashMap;
use state::{Batch, StoreKind};

use crate::error::Error;
use crate::log::{Committed, StateWrites};
use crate::task::Task;
use crate::topology::{StoreDef, Topology};
use crate::types::TopicPartition;
use crate::view::View;

/// How a part of a committed position's metadata begins that holds a fingerprint's hash. No node or store has such a name,
/// so releases that do not know it take it for the time of a node that is gone.
const METADATA_MARK: &str = "#=";

/// Metadata of a position whose application is being reset: a hash that is no topology's, so that none starts over what is left
/// while some of it is gone already.
pub const RESET_UNDER_WAY: &str = "1|-1|#=0000000000000000";

/// Where the texts are within their store.
const PARTITION: u32 = 0;

/// What the state and positions of a sub-topology's tasks rest on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    text: String,
    hash: u64,
}

impl Fingerprint {
    /// In words, on one line.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Of the text: FNV-1a, 64 bit.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The part of a committed position's metadata that holds it.
    pub(crate) fn metadata_part(&self) -> String {
        format!("{METADATA_MARK}{:016x}", self.hash)
    }
}

impl Topology {
    /// The fingerprint of a sub-topology on a log: two sub-topologies of one fingerprint can take over each other's state
    /// and positions, and those of different ones must not. Where a store's data lasts depends on the log: on Kafka a logged
    /// store may move between disk and memory, for its changelog has it all; on one that keeps state itself a persistent
    /// store has no changelog to come back from.
    #[must_use]
    pub fn fingerprint(&self, subtopology: u16, state_writes: StateWrites) -> Fingerprint {
        let sub = self.subtopologies().get(usize::from(subtopology));
        let mut topics: Vec<&str> = sub.iter().flat_map(|s| s.source_topics()).map(|t| self.topic_name(t)).collect();
        topics.sort_unstable();
        let own = sub.iter().flat_map(|s| s.stores()).filter_map(|s| self.stores().get(usize::from(s.0)));
        let mut stores: Vec<String> = own.map(|store| words(store, state_writes)).collect();
        stores.sort_unstable();
        let stores = if stores.is_empty() { "no stores".to_owned() } else { format!("stores {}", stores.join(", ")) };
        let text = format!("sub-topology {subtopology} reads {}; {stores}", topics.join(", "));
        Fingerprint { hash: fnv_1a(&text), text }
    }

    /// A hash over the fingerprints of all sub-topologies. Two topologies of one hash can take over each other's state on any
    /// log; of two hashes they may, see [`Topology::fingerprint`].
    #[must_use]
    pub fn hash(&self) -> u64 {
        let all = (0_u16..).zip(self.subtopologies()).map(|(i, _)| self.fingerprint(i, StateWrites::WithCommit).text);
        fnv_1a(&all.collect::<Vec<_>>().join("\n"))
    }
}

fn words(store: &StoreDef, state_writes: StateWrites) -> String {
    let lasts = match (&store.engine, store.kind) {
        _ if state_writes == StateWrites::WithCommit && store.is_kept_by_log() => "kept by the log".to_owned(),
        _ if store.changelog.is_some() => "with a changelog".to_owned(),
        (Some(engine), _) => format!("in engine {} only", engine.name()),
        (None, StoreKind::Persistent) => "on disk only".to_owned(),
        (None, StoreKind::Memory) => "in memory only".to_owned(),
    };
    let segments = store.segment_ms.map_or_else(String::new, |ms| format!(", segments of {ms} ms"));
    format!("{} ({}{segments}, {lasts})", store.name, store.shape)
}

fn fnv_1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The hash in a committed position's metadata; `None` of a release that wrote none.
fn committed_hash(metadata: &str) -> Option<u64> {
    let hash = metadata.split('|').find_map(|part| part.strip_prefix(METADATA_MARK))?;
    u64::from_str_radix(hash, 16).ok()
}

/// Refuses tasks whose inputs were committed by another sub-topology than theirs, before anything is touched; then keeps
/// their own texts for the day on which they are the ones from before.
///
/// # Errors
/// [`Error::Incompatible`]; of the store.
pub(crate) fn check(
    view: &View,
    tasks: &[Task],
    committed: &FxHashMap<TopicPartition, Option<Committed>>,
) -> Result<(), Error> {
    let own = || tasks.iter().filter_map(|task| Some((task, task.fingerprint.as_ref()?)));
    for (task, fingerprint) in own() {
        for input in task.buffer.inputs.iter().map(|i| i.partition) {
            let before = committed.get(&input).and_then(Option::as_ref).and_then(|c| committed_hash(&c.metadata));
            if let Some(before) = before.filter(|before| *before != fingerprint.hash) {
                return Err(Error::Incompatible(refusal(
                    view,
                    view.topology().topic_name(input.topic),
                    before,
                    fingerprint,
                )?));
            }
        }
    }
    let mut batch = Batch::default();
    for (_, fingerprint) in own() {
        if known(view, fingerprint.hash)?.is_none() {
            batch.put(view.fingerprints(), PARTITION, &fingerprint.hash.to_be_bytes(), fingerprint.text.as_bytes());
        }
    }
    if !batch.is_empty() {
        view.backend().write(&batch)?;
    }
    Ok(())
}

/// The text of a hash, if a topology of it ran over these stores.
fn known(view: &View, hash: u64) -> Result<Option<String>, Error> {
    let mut text = Vec::new();
    let found = view.backend().get(view.fingerprints(), PARTITION, &hash.to_be_bytes(), &mut text)?;
    Ok(found.then(|| String::from_utf8_lossy(&text).into_owned()))
}

fn refusal(view: &View, topic: &str, before: u64, now: &Fingerprint) -> Result<String, Error> {
    let application = view.topology().application_id();
    if committed_hash(RESET_UNDER_WAY) == Some(before) {
        return Ok(format!(
            "application '{application}' was being reset, and that was interrupted: repeat `orderflow reset`"
        ));
    }
    let was = known(view, before)?.unwrap_or_else(|| {
        format!("known by its hash {before:016x} only, because it did not run with this data directory")
    });
    Ok(format!(
        "application '{application}' cannot go on with this topology: the positions in topic '{topic}' and the state that belongs to them \
         are of another one. It was: {was}. It is: {}. No state was touched. Either go back to the version from before; or \
         start this one under an application name of its own, from the beginning of its topics; or reset the application, \
         which deletes its state and its positions (docs/upgrades.md says which changes need that, and how)",
        now.text
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_tells_the_hash_and_what_has_none_tells_nothing() {
        let fingerprint = Fingerprint { text: "a".into(), hash: fnv_1a("a") };
        assert_eq!(fingerprint.hash, 0xaf63_dc4c_8601_ec8c, "FNV-1a's own test vector");
        let metadata = format!("1|1000|{}|count=900", fingerprint.metadata_part());
        assert_eq!(committed_hash(&metadata), Some(fingerprint.hash));
        for older in ["", "1|1000", "1|1000|count=900", "1|1000|#=later form"] {
            assert_eq!(committed_hash(older), None, "{older}");
        }
    }
}
