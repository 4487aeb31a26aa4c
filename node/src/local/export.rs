//! Everything in the log at one instant, for moving to Kafka: past one machine that is the answer.

use std::ops::ControlFlow;
use std::sync::Arc;

use state::{Direction, Partition as StatePartition, Range, Snapshot, StoreId};
use streams::log::Committed;
use streams::{Incoming, Offset, Partition};

use super::shared::{Shared, read};
use super::topic::Topic;
use super::{Error, LocalBroker, TopicInfo, format};

/// A view of all topics, positions and stores at one instant. It keeps what is superseded meanwhile alive: take it, read
/// it, drop it.
pub struct Export<'a> {
    shared: &'a Shared,
    topics: Vec<Arc<Topic>>,
    infos: Vec<TopicInfo>,
    snapshot: Box<dyn Snapshot + 'a>,
}

/// A committed position as exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedPosition {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: Partition,
    /// Offset and metadata. The offset counts from the log's start here: on Kafka, where records get new offsets, it is
    /// that of the same record's copy.
    pub committed: Committed,
}

impl LocalBroker {
    /// A view of everything, to be moved elsewhere.
    #[must_use]
    pub fn export(&self) -> Export<'_> {
        let shared = &**self.shared();
        let snapshot = shared.backend.snapshot();
        let topics: Vec<Arc<Topic>> = read(&shared.catalog).topics.values().cloned().collect();
        Export { shared, topics, infos: self.topics(), snapshot }
    }
}

impl Export<'_> {
    /// The topics, by name.
    #[must_use]
    pub fn topics(&self) -> &[TopicInfo] {
        &self.infos
    }

    /// Visits a partition's records in order, until `visit` breaks.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`], [`Error::State`].
    pub fn records(
        &self,
        topic: &str,
        partition: Partition,
        from: Offset,
        visit: &mut dyn FnMut(Incoming) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let known = self.topics.iter().find(|t| &*t.name == topic);
        let log = known.ok_or_else(|| Error::UnknownTopic(topic.to_owned()))?.partition(partition)?;
        let mut failed = None;
        let from = format::record_key(from.0.max(0));
        let range = Range::starting_at(&from);
        self.snapshot.scan(self.shared.stores.records, log.id.0, range, Direction::Forward, &mut |key, record| {
            let offset = format::record_offset(key).ok_or_else(format::corrupt);
            match offset.and_then(|offset| format::decode(offset, record)) {
                Ok(record) => visit(record),
                Err(e) => {
                    failed = Some(e);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(()), |e| Err(e.into()))
    }

    /// All groups' positions.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn positions(&self) -> Result<Vec<ExportedPosition>, Error> {
        let mut positions = Vec::new();
        let stores = self.shared.stores;
        let mut corrupt = false;
        self.snapshot.scan(
            stores.positions,
            format::POSITIONS,
            Range::all(),
            Direction::Forward,
            &mut |key, value| {
                let entry = format::read_position_key(key).zip(format::decode_position(value));
                let Some(((group, log), (offset, metadata))) = entry else {
                    corrupt = true;
                    return ControlFlow::Break(());
                };
                let place = self.topics.iter().find_map(|t| Some((t, t.partitions.iter().find(|p| p.id == log)?)));
                if let Some((topic, log)) = place {
                    positions.push(ExportedPosition {
                        group: group.to_owned(),
                        topic: topic.name.to_string(),
                        partition: log.partition,
                        committed: Committed { offset: Offset(offset), metadata },
                    });
                }
                ControlFlow::Continue(())
            },
        )?;
        if corrupt { Err(format::corrupt().into()) } else { Ok(positions) }
    }

    /// Visits a state store's partition in key order, until `visit` breaks: what becomes its changelog on Kafka.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn entries(
        &self,
        store: StoreId,
        partition: StatePartition,
        visit: &mut state::Visit<'_>,
    ) -> Result<(), Error> {
        Ok(self.snapshot.scan(store, partition, Range::all(), Direction::Forward, visit)?)
    }
}
