//! Stores on disk: one RocksDB per process.
//!
//! A column family holds one store, and its keys begin with the partition (4 bytes, big-endian): a task's data lies
//! together, a scan stays inside it by its bounds, and dropping it is one range delete. The default column family
//! holds the positions, under `partition | store name`. All column families share one write-ahead log, so a batch is
//! atomic over all stores, and one memory budget.

mod directory;
mod options;
mod stall;

use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rocksdb::{
    AsColumnFamilyRef, BoundColumnFamily, Cache, ColumnFamilyDescriptor, DBAccess, DBRawIteratorWithThreadMode,
    DBWithThreadMode, MultiThreaded, ReadOptions, SnapshotWithThreadMode, WriteBatch, WriteBufferManager, WriteOptions,
};
use smallvec::SmallVec;

use crate::backend::{Backend, Snapshot, StoreKind, Usage, Visit, check_name};
use crate::memory::{Memory, View};
use crate::{Batch, Direction, Error, Op, Partition, Position, Range, StoreId};

pub use options::{Durability, Options};

type Db = DBWithThreadMode<MultiThreaded>;

/// Where positions are; RocksDB makes it by itself.
const POSITIONS: &str = rocksdb::DEFAULT_COLUMN_FAMILY_NAME;

/// Most bytes that RocksDB's form of a batch has for one change beside its key and value: tag, column family, two lengths,
/// two partitions. Its head is smaller. A batch that outgrew what was reserved for it would be copied whole.
const RECORD_OVERHEAD_BYTES_MAX: usize = 1 + 3 * 5 + 2 * size_of::<Partition>();

/// A [`Backend`] over one RocksDB in one directory; [`StoreKind::Memory`] stores are held in memory beside it.
///
/// A store keeps its column family under its name, in whatever order stores are opened; stores that a run does not
/// open stay as they are.
pub struct RocksBackend {
    db: Db,
    /// The memory stores. Also hands out the ids of all stores, so that a store has the same id here and there.
    memory: Memory,
    /// Column family names by store id; none for a memory store.
    column_families: RwLock<Vec<Option<Arc<str>>>>,
    /// Read to take a snapshot of disk and memory, written to change both: each snapshot has a batch whole or not.
    both: RwLock<()>,
    options: Options,
    column_family_options: rocksdb::Options,
    write_options: WriteOptions,
    /// Of reads of one key outside a snapshot; made once, because making them allocates.
    read_options: ReadOptions,
    cache: Cache,
    write_buffers: WriteBufferManager,
    /// Why nothing is written any more; only with [`Durability::Buffered`].
    poison: OnceLock<String>,
    /// RocksDB's own directory.
    path: PathBuf,
}

impl RocksBackend {
    /// Opens the stores in `directory`, or makes them there if it is empty or missing.
    ///
    /// # Errors
    /// [`Error::Locked`] if another backend has the directory open; [`Error::UnknownFormat`] if it was written by
    /// something else; [`Error::DiskFull`], [`Error::Corrupt`] or [`Error::Storage`] as RocksDB says.
    pub fn open(directory: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let path = directory::prepare(directory.as_ref())?;
        let cache = options.cache();
        let write_buffers = options.write_buffers(&cache);
        let database_options = options.database(&write_buffers);
        let column_family_options = options.column_family(&cache);
        // A directory without CURRENT is a new database: list_cf would call it an error.
        let names = match path.join("CURRENT").exists() {
            true => Db::list_cf(&database_options, &path).map_err(failed("listing stores"))?,
            false => vec![POSITIONS.to_owned()],
        };
        let descriptors = names.iter().map(|name| ColumnFamilyDescriptor::new(name, column_family_options.clone()));
        let db = Db::open_cf_descriptors(&database_options, &path, descriptors).map_err(|error| {
            match is_locked(&error) {
                true => Error::Locked { path: directory.as_ref().to_owned() },
                false => failed("opening")(error),
            }
        })?;
        let mut write_options = WriteOptions::default();
        write_options.set_sync(options.durability == Durability::Sync);
        // Held up writes wait in `stall`.
        write_options.set_no_slowdown(true);
        Ok(RocksBackend {
            db,
            memory: Memory::new(),
            column_families: RwLock::default(),
            both: RwLock::default(),
            options,
            column_family_options,
            write_options,
            read_options: ReadOptions::default(),
            cache,
            write_buffers,
            poison: OnceLock::new(),
            path,
        })
    }

    /// Names of all stores on disk, opened in this run or not; sorted.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn store_names(&self) -> Result<Vec<String>, Error> {
        let mut names = Db::list_cf(&rocksdb::Options::default(), &self.path).map_err(failed("listing stores"))?;
        names.retain(|name| name != POSITIONS);
        names.sort();
        Ok(names)
    }

    /// Removes a store that is not open, with all its data and positions.
    ///
    /// # Errors
    /// [`Error::InvalidName`] if it is open in this run; [`Error::Storage`].
    pub fn remove_store(&self, name: &str) -> Result<(), Error> {
        let names = self.column_families.read().unwrap_or_else(PoisonError::into_inner);
        if names.iter().flatten().any(|open| **open == *name) {
            return Err(Error::InvalidName { name: name.to_owned(), rule: "it is open" });
        }
        let positions = self.column_family_named(POSITIONS)?;
        let mut batch = WriteBatch::default();
        let mut found = self.db.raw_iterator_cf_opt(&positions, ReadOptions::default());
        found.seek_to_first();
        while let Some((key, _)) = found.item() {
            // Behind the partition.
            if key.get(4..) == Some(name.as_bytes()) {
                batch.delete_cf(&positions, key);
            }
            found.next();
        }
        found.status().map_err(failed("scanning"))?;
        // First: a position must not outlive the data it stands for.
        self.write_encoded(|| Ok(WriteBatch::from_data(batch.data())))?;
        self.db.drop_cf(name).map_err(failed("removing a store"))
    }

    fn name(&self, store: StoreId) -> Result<Option<Arc<str>>, Error> {
        let names = self.column_families.read().unwrap_or_else(PoisonError::into_inner);
        names.get(usize::from(store.0)).cloned().ok_or(Error::UnknownStore(store))
    }

    /// A store's column family, or none if it is a memory store.
    fn column_family(&self, store: StoreId) -> Result<Option<Arc<BoundColumnFamily<'_>>>, Error> {
        self.name(store)?.map(|name| self.column_family_named(&name)).transpose()
    }

    fn column_family_named(&self, name: &str) -> Result<Arc<BoundColumnFamily<'_>>, Error> {
        let missing = || Error::Corrupt { message: format!("column family {name} is missing") };
        self.db.cf_handle(name).ok_or_else(missing)
    }

    fn is_memory(&self, store: StoreId) -> Result<bool, Error> {
        Ok(self.name(store)?.is_none())
    }

    /// Whether a batch changes memory stores, and whether it changes others.
    fn kinds(&self, batch: &Batch) -> Result<(bool, bool), Error> {
        let (mut memory, mut disk) = (false, false);
        let names = self.column_families.read().unwrap_or_else(PoisonError::into_inner);
        for op in batch.iter() {
            let store = op.store();
            match names.get(usize::from(store.0)).ok_or(Error::UnknownStore(store))? {
                Some(_) => disk = true,
                None => memory = true,
            }
        }
        Ok((memory, disk))
    }

    /// A buffered log that failed once may lack what readers have seen, and RocksDB does not recover it; the other
    /// modes fail before anything is visible, and RocksDB resumes by itself.
    fn durable(&self, result: Result<(), Error>) -> Result<(), Error> {
        if let (Err(error), Durability::Buffered) = (&result, self.options.durability) {
            self.poison.get_or_init(|| error.to_string());
        }
        result
    }

    fn not_poisoned(&self) -> Result<(), Error> {
        self.poison.get().map_or(Ok(()), |cause| Err(Error::Poisoned { cause: cause.clone() }))
    }

    /// Writes what `encode` makes, which is called again for each attempt of a write that is held up.
    fn write_encoded(&self, encode: impl Fn() -> Result<WriteBatch, Error>) -> Result<(), Error> {
        self.not_poisoned()?;
        stall::wait_out(&self.path, self.options.memtable_bytes(), || {
            let batch = match encode() {
                Ok(batch) => batch,
                Err(error) => return Some(Err(error)),
            };
            match self.db.write_opt(batch, &self.write_options) {
                Err(error) if error.kind() == rocksdb::ErrorKind::Incomplete => None,
                result => Some(self.durable(result.map_err(failed("writing")))),
            }
        })
    }

    /// A batch's changes of stores on disk, as RocksDB takes them.
    fn encode(&self, batch: &Batch) -> Result<WriteBatch, Error> {
        let mut out = WriteBatch::with_capacity_bytes(batch.bytes() + (batch.len() + 1) * RECORD_OVERHEAD_BYTES_MAX);
        let positions = self.column_family_named(POSITIONS)?;
        // Batches go store by store, so the last column family is nearly always the next.
        let mut last: Option<(StoreId, Option<Arc<BoundColumnFamily<'_>>>)> = None;
        let mut from_key = Vec::new();
        let mut to_key = Vec::new();
        for op in batch.iter() {
            if last.as_ref().is_none_or(|(store, _)| *store != op.store()) {
                last = Some((op.store(), self.column_family(op.store())?));
            }
            let Some((_, Some(column_family))) = &last else { continue };
            match op {
                Op::Put { partition, key, value, .. } => {
                    prefixed(partition, key, &mut from_key);
                    out.put_cf(column_family, &from_key, value);
                }
                Op::Delete { partition, key, .. } => {
                    prefixed(partition, key, &mut from_key);
                    out.delete_cf(column_family, &from_key);
                }
                Op::DeleteRange { partition, from, to, .. } => {
                    prefixed(partition, from, &mut from_key);
                    prefixed(partition, to, &mut to_key);
                    out.delete_range_cf(column_family, &from_key, &to_key);
                }
                Op::Position { store, partition, encoded } => {
                    if let Some(name) = self.name(store)? {
                        prefixed(partition, name.as_bytes(), &mut from_key);
                        out.put_cf(&positions, &from_key, encoded);
                    }
                }
            }
        }
        Ok(out)
    }
}

impl Backend for RocksBackend {
    fn open_store(&self, name: &str, kind: StoreKind) -> Result<StoreId, Error> {
        check_name(name)?;
        let mut names = self.column_families.write().unwrap_or_else(PoisonError::into_inner);
        if kind == StoreKind::Persistent && self.db.cf_handle(name).is_none() {
            self.db.create_cf(name, &self.column_family_options).map_err(failed("making a store"))?;
        }
        let id = self.memory.open_store(name, kind)?;
        if usize::from(id.0) == names.len() {
            names.push((kind == StoreKind::Persistent).then(|| name.into()));
        }
        Ok(id)
    }

    fn get(&self, store: StoreId, partition: Partition, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        let Some(column_family) = self.column_family(store)? else {
            return self.memory.get(store, partition, key, out);
        };
        get(&self.db, &column_family, &self.read_options, partition, key, out)
    }

    fn scan(
        &self,
        store: StoreId,
        partition: Partition,
        range: Range<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        let Some(column_family) = self.column_family(store)? else {
            return self.memory.scan(store, partition, range, direction, visit);
        };
        let Some(bounds) = bounds(partition, range) else { return Ok(()) };
        walk(self.db.raw_iterator_cf_opt(&column_family, bounds), direction, visit)
    }

    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        let _whole = self.both.read().unwrap_or_else(PoisonError::into_inner);
        Box::new(RocksSnapshot { backend: self, disk: self.db.snapshot(), memory: self.memory.view() })
    }

    fn write(&self, batch: &Batch) -> Result<(), Error> {
        let (memory, disk) = self.kinds(batch)?;
        if !memory {
            return self.write_encoded(|| self.encode(batch));
        }
        let _whole = self.both.write().unwrap_or_else(PoisonError::into_inner);
        if disk {
            self.write_encoded(|| self.encode(batch))?;
        }
        self.memory.write_where(batch, |store| self.is_memory(store).unwrap_or(false))
    }

    fn sync(&self) -> Result<(), Error> {
        self.not_poisoned()?;
        self.durable(self.db.flush_wal(true).map_err(failed("syncing")))
    }

    fn position(&self, store: StoreId, partition: Partition) -> Result<Option<Position>, Error> {
        let Some(name) = self.name(store)? else { return self.memory.position(store, partition) };
        position(&self.db, &self.column_family_named(POSITIONS)?, &self.read_options, partition, &name)
    }

    fn drop_partition(&self, store: StoreId, partition: Partition) -> Result<(), Error> {
        let Some(name) = self.name(store)? else { return self.memory.drop_partition(store, partition) };
        let end = partition.checked_add(1).ok_or(Error::InvalidPartition(partition))?;
        let column_family = self.column_family_named(&name)?;
        let positions = self.column_family_named(POSITIONS)?;
        let mut key = Vec::new();
        prefixed(partition, name.as_bytes(), &mut key);
        self.write_encoded(|| {
            let mut batch = WriteBatch::default();
            batch.delete_range_cf(&column_family, partition.to_be_bytes(), end.to_be_bytes());
            batch.delete_cf(&positions, &key);
            Ok(batch)
        })
    }

    fn usage(&self) -> Usage {
        let names = self.column_families.read().unwrap_or_else(PoisonError::into_inner);
        let pending = names.iter().flatten().filter_map(|name| {
            let column_family = self.db.cf_handle(name)?;
            let property = rocksdb::properties::ESTIMATE_PENDING_COMPACTION_BYTES;
            self.db.property_int_value_cf(&column_family, property).ok()?
        });
        Usage {
            pending_compaction_bytes: pending.sum(),
            memtable_bytes: self.write_buffers.get_usage() as u64,
            block_cache_bytes: self.cache.get_usage() as u64,
            block_cache_pinned_bytes: self.cache.get_pinned_usage() as u64,
            memory_budget_bytes: self.options.memory_budget_bytes as u64,
            disk_bytes: disk_bytes(&self.path),
            ..self.memory.usage()
        }
    }
}

/// A snapshot of disk and memory at one instant.
struct RocksSnapshot<'a> {
    backend: &'a RocksBackend,
    disk: SnapshotWithThreadMode<'a, Db>,
    memory: View<'a>,
}

impl RocksSnapshot<'_> {
    fn at_instant(&self, mut options: ReadOptions) -> ReadOptions {
        options.set_snapshot(&self.disk);
        options
    }
}

impl Snapshot for RocksSnapshot<'_> {
    fn get(&self, store: StoreId, partition: Partition, key: &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        let Some(column_family) = self.backend.column_family(store)? else {
            return self.memory.get(store, partition, key, out);
        };
        get(&self.backend.db, &column_family, &self.at_instant(ReadOptions::default()), partition, key, out)
    }

    fn scan(
        &self,
        store: StoreId,
        partition: Partition,
        range: Range<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        let Some(column_family) = self.backend.column_family(store)? else {
            return self.memory.scan(store, partition, range, direction, visit);
        };
        let Some(bounds) = bounds(partition, range) else { return Ok(()) };
        walk(self.backend.db.raw_iterator_cf_opt(&column_family, self.at_instant(bounds)), direction, visit)
    }

    fn position(&self, store: StoreId, partition: Partition) -> Result<Option<Position>, Error> {
        let Some(name) = self.backend.name(store)? else { return self.memory.position(store, partition) };
        let column_family = self.backend.column_family_named(POSITIONS)?;
        position(&self.backend.db, &column_family, &self.at_instant(ReadOptions::default()), partition, &name)
    }
}

fn get(
    db: &Db,
    column_family: &impl AsColumnFamilyRef,
    options: &ReadOptions,
    partition: Partition,
    key: &[u8],
    out: &mut Vec<u8>,
) -> Result<bool, Error> {
    out.clear();
    // Long enough inline for ids and windowed ids.
    let mut full = SmallVec::<[u8; 128]>::from_slice(&partition.to_be_bytes());
    full.extend_from_slice(key);
    let found = db.get_pinned_cf_opt(column_family, &full, options).map_err(failed("reading"))?;
    out.extend_from_slice(found.as_deref().unwrap_or_default());
    Ok(found.is_some())
}

fn position(
    db: &Db,
    positions: &impl AsColumnFamilyRef,
    options: &ReadOptions,
    partition: Partition,
    name: &str,
) -> Result<Option<Position>, Error> {
    let mut encoded = Vec::new();
    let found = get(db, positions, options, partition, name.as_bytes(), &mut encoded)?;
    found.then(|| Position::decode(&encoded)).transpose()
}

/// Read options for a range of one partition, both bounds as `[lower, upper)`; `None` for an empty range.
fn bounds(partition: Partition, range: Range<'_>) -> Option<ReadOptions> {
    if range.is_empty() {
        return None;
    }
    let key = |key: &[u8], successor: bool| {
        let mut full = Vec::with_capacity(5 + key.len());
        prefixed(partition, key, &mut full);
        // No key lies between `key` and `key 0x00`.
        full.extend(successor.then_some(0));
        full
    };
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(match range.from {
        Bound::Included(from) => key(from, false),
        Bound::Excluded(from) => key(from, true),
        Bound::Unbounded => key(&[], false),
    });
    match range.to {
        Bound::Included(to) => options.set_iterate_upper_bound(key(to, true)),
        Bound::Excluded(to) => options.set_iterate_upper_bound(key(to, false)),
        Bound::Unbounded => {
            if let Some(next) = partition.checked_add(1) {
                options.set_iterate_upper_bound(next.to_be_bytes());
            }
        }
    }
    Some(options)
}

fn walk<D: DBAccess>(
    mut found: DBRawIteratorWithThreadMode<'_, D>,
    direction: Direction,
    visit: &mut Visit<'_>,
) -> Result<(), Error> {
    match direction {
        Direction::Forward => found.seek_to_first(),
        Direction::Reverse => found.seek_to_last(),
    }
    while let Some((full, value)) = found.item() {
        let Some((_partition, key)) = full.split_first_chunk::<4>() else {
            return Err(Error::Corrupt { message: format!("a key of {} bytes has no partition", full.len()) });
        };
        if visit(key, value).is_break() {
            return Ok(());
        }
        match direction {
            Direction::Forward => found.next(),
            Direction::Reverse => found.prev(),
        }
    }
    found.status().map_err(failed("scanning"))
}

fn prefixed(partition: Partition, key: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&partition.to_be_bytes());
    out.extend_from_slice(key);
}

/// RocksDB tells what happened in its message only.
fn failed(doing: &'static str) -> impl Fn(rocksdb::Error) -> Error {
    move |error| {
        let message = error.to_string();
        let full = ["No space left on device", "Disk quota exceeded", "Max allowed space was reached"];
        if full.iter().any(|words| message.contains(words)) {
            return Error::DiskFull { message };
        }
        match error.kind() {
            rocksdb::ErrorKind::Corruption => Error::Corrupt { message },
            _ => Error::Storage { doing, message },
        }
    }
}

fn is_locked(error: &rocksdb::Error) -> bool {
    let message = error.to_string();
    message.contains("While lock file") || message.contains("lock hold by current process")
}

fn disk_bytes(path: &Path) -> u64 {
    let Ok(files) = fs::read_dir(path) else { return 0 };
    files.filter_map(|file| file.ok()?.metadata().ok()).map(|file| file.len()).sum()
}
