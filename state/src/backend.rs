//! The port to committed state.

use std::ops::ControlFlow;

use crate::{Batch, Direction, Error, Partition, Position, Range, StoreId};

/// Called with each key and value of a scan; breaking ends the scan.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Longest store name, in bytes.
const STORE_NAME_BYTES_MAX: usize = 255;

/// How a store's data is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreKind {
    /// On disk, if the backend has one: data and positions outlive the process.
    Persistent,
    /// In memory on every backend: after a restart data *and positions* are gone, and come back from the changelog.
    Memory,
}

/// Committed state: one per process, shared by all worker and query threads.
///
/// Data of different stores and of different partitions never meet. Reads see what completed writes have written, and
/// never a part of a batch in one [`Snapshot`]. One thread at a time writes a given store partition (the task that
/// owns it); different partitions are written concurrently.
pub trait Backend: Send + Sync + 'static {
    /// Opens a store, making it if it is not there. Opening it again gives the same id.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::KindChanged`], [`Error::TooManyStores`], or the storage's own.
    fn open_store(&self, name: &str, kind: StoreKind) -> Result<StoreId, Error>;

    /// Reads one value into `out`, which is cleared first. Answers whether the key is there.
    fn get(&self, store: StoreId, partition: Partition, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Error>;

    /// Visits the keys of a range in order, at one instant of this store partition. `visit` must not call the
    /// backend: a memory store holds its lock meanwhile.
    fn scan(
        &self,
        store: StoreId,
        partition: Partition,
        range: Range<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error>;

    /// A view of all stores at one instant. Cheap to take; hold it briefly, it keeps superseded data alive.
    fn snapshot(&self) -> Box<dyn Snapshot + '_>;

    /// Applies a batch, atomically over all its stores. On an error nothing of it is visible.
    fn write(&self, batch: &Batch) -> Result<(), Error>;

    /// Returns when everything written before is durable against power loss.
    fn sync(&self) -> Result<(), Error>;

    /// Where a store partition stands; `None` if no position was written since it was made or dropped.
    fn position(&self, store: StoreId, partition: Partition) -> Result<Option<Position>, Error>;

    /// Removes data and position of a store partition, atomically.
    fn drop_partition(&self, store: StoreId, partition: Partition) -> Result<(), Error>;

    /// What the state takes up, for metrics.
    fn usage(&self) -> Usage;
}

/// A view of all stores of a [`Backend`] at one instant.
pub trait Snapshot: Send + Sync {
    /// As [`Backend::get`].
    fn get(&self, store: StoreId, partition: Partition, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Error>;

    /// As [`Backend::scan`].
    fn scan(
        &self,
        store: StoreId,
        partition: Partition,
        range: Range<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error>;

    /// As [`Backend::position`], of the same instant.
    fn position(&self, store: StoreId, partition: Partition) -> Result<Option<Position>, Error>;
}

/// What the state takes up. All in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Stores held in memory: keys and values, without the maps around them.
    pub memory_store_bytes: u64,
    /// Writes not yet in a file of their own (RocksDB's memtables).
    pub memtable_bytes: u64,
    /// Block cache in use, including what memtables charge to it.
    pub block_cache_bytes: u64,
    /// Part of the block cache that cannot be evicted now.
    pub block_cache_pinned_bytes: u64,
    /// The one budget of the two above; 0 when there is none.
    pub memory_budget_bytes: u64,
    /// Live data files.
    pub disk_bytes: u64,
    /// Compaction's backlog (RocksDB's estimate).
    pub pending_compaction_bytes: u64,
}

/// The rule for store names, the same on every backend: a store's name is its column family's on disk, where
/// `default` is taken.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let rule = match name {
        "default" => "it is reserved",
        _ if name.is_empty() || name.len() > STORE_NAME_BYTES_MAX => "1 to 255 bytes",
        _ => return Ok(()),
    };
    Err(Error::InvalidName { name: name.to_owned(), rule })
}
