//! How RocksDB is set up, and why.

use rocksdb::{BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, LogLevel, WriteBufferManager};

/// Smallest budget that still works: a few memtables and their index blocks.
const MEMORY_BUDGET_BYTES_MIN: usize = 4 * MIB;
const MIB: usize = 1 << 20;

/// Memtables take memory in pieces of this size. RocksDB's default is an eighth of a memtable: with dozens of stores
/// that are written little, the pieces alone would fill a small budget and flush all the time.
const ARENA_BLOCK_BYTES: usize = 64 * 1024;

/// Memtables of one store, the one being written and those being flushed, before its writers wait. Their memory is
/// bounded by the budget, not by this.
const MEMTABLES_PER_STORE_MAX: i32 = 6;

/// Bits per key of the bloom filters: about 1 % of the reads of missing keys go to the file in vain.
const BLOOM_BITS_PER_KEY: f64 = 10.0;

/// Bloom filter of a memtable, as a share of it: about ten bits for each of its entries. Half the reads of a saga's first
/// command ask for what is not there yet. It is taken whole with the first entry, so it has to be small where stores are
/// many.
const MEMTABLE_BLOOM_SHARE: f64 = 0.01;

/// Files kept open. Their index and filter blocks are in the block cache, and so in the budget.
const OPEN_FILES_MAX: i32 = 512;

/// What a write has survived once it returns. [`Backend::sync`](crate::Backend::sync) makes all written before
/// survive everything, in each mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// The log is in this process: a kill −9 or a crash loses what was not synced, always from the end and whole
    /// batches. Saves a system call a write, for a caller that groups its commits and publishes them after a sync.
    /// A failed write or sync (a full disk) ends this backend: it answers
    /// [`Error::Poisoned`](crate::Error::Poisoned) until it is opened again. With [`Durability::Process`] and a sync
    /// per group writes go on by themselves once there is room.
    Buffered,
    /// The log is in the operating system: survives a kill −9, not a power loss. For stores with a changelog, which
    /// brings back the rest. After a full disk RocksDB looks for room every 5 seconds.
    #[default]
    Process,
    /// The log is on the device: survives a power loss. One device flush for each write.
    Sync,
}

/// Options of a [`RocksBackend`](crate::RocksBackend).
#[derive(Clone, Debug)]
pub struct Options {
    /// Memory for block cache (data, index and filter blocks) and memtables together, over all stores. At least 4 MiB.
    pub memory_budget_bytes: usize,
    /// What a write survives.
    pub durability: Durability,
    /// Threads that flush and compact.
    pub background_threads: u16,
}

impl Default for Options {
    /// 32 MiB, [`Durability::Process`], two background threads.
    fn default() -> Self {
        Options { memory_budget_bytes: 32 * MIB, durability: Durability::default(), background_threads: 2 }
    }
}

impl Options {
    fn memory_budget_bytes(&self) -> usize {
        self.memory_budget_bytes.max(MEMORY_BUDGET_BYTES_MIN)
    }

    /// All memtables together: a quarter of the budget.
    fn memtables_bytes(&self) -> usize {
        self.memory_budget_bytes() / 4
    }

    /// One memtable: an eighth of the budget.
    pub(super) fn memtable_bytes(&self) -> usize {
        self.memtables_bytes() / 2
    }

    pub(super) fn cache(&self) -> Cache {
        Cache::new_lru_cache(self.memory_budget_bytes())
    }

    /// Flushes when all memtables together reach their share, and charges them to the cache. It does not stall
    /// writers: the commit waits for nothing, and the cache gives way until the flush is done.
    pub(super) fn write_buffers(&self, cache: &Cache) -> WriteBufferManager {
        WriteBufferManager::new_write_buffer_manager_with_cache(self.memtables_bytes(), false, cache.clone())
    }

    /// Options of the whole database.
    pub(super) fn database(&self, write_buffers: &WriteBufferManager) -> rocksdb::Options {
        let mut options = rocksdb::Options::default();
        options.create_if_missing(true);
        options.set_write_buffer_manager(write_buffers);
        // The log is cut after this much, by flushing the stores that hold it back: bounds recovery and disk.
        options.set_max_total_wal_size(4 * self.memtables_bytes() as u64);
        options.set_manual_wal_flush(self.durability == Durability::Buffered);
        options.set_max_background_jobs(i32::from(self.background_threads.max(1)));
        options.set_max_open_files(OPEN_FILES_MAX);
        // Write back as we go, not all at the end of a file.
        options.set_bytes_per_sync(MIB as u64);
        options.set_wal_bytes_per_sync(MIB as u64);
        options.set_log_level(LogLevel::Warn);
        options.set_keep_log_file_num(4);
        options.set_max_log_file_size(MIB);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options
    }

    /// Options of each column family.
    pub(super) fn column_family(&self, cache: &Cache) -> rocksdb::Options {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(cache);
        table.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
        table.set_optimize_filters_for_memory(true);
        // Index and filter blocks live in the cache, so that the budget covers them; the newest level's stay there.
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        // In pieces of a data block's size: a file's whole filter (over 1 MB from a million keys on) has no room in a shard of
        // a small cache, and every read would read and check it anew.
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(true);
        table.set_pin_top_level_index_and_filter(true);
        table.set_format_version(6);
        let mut options = rocksdb::Options::default();
        options.set_block_based_table_factory(&table);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_write_buffer_size(self.memtable_bytes());
        options.set_max_write_buffer_number(MEMTABLES_PER_STORE_MAX);
        options.set_arena_block_size(ARENA_BLOCK_BYTES);
        options.set_memtable_prefix_bloom_ratio(MEMTABLE_BLOOM_SHARE);
        options.set_memtable_whole_key_filtering(true);
        options
    }
}
