//! The floor of every engine on librdkafka: the records that W2 wrote, read and written again in transactions, with nothing
//! done to them. librdkafka is called without any wrapper, and delivery reports are not asked for.
#![allow(unsafe_code, reason = "a C library is called; each block says why it is sound")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::path::PathBuf;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use node::config::Config;
use node::kafka::{Settings, TopicSpec, ensure_topics};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use rdkafka_sys as sys;
use state::{Backend, Batch, RocksBackend, StoreId, StoreKind, rocks};
use sys::rd_kafka_resp_err_t::{RD_KAFKA_RESP_ERR__PARTITION_EOF, RD_KAFKA_RESP_ERR_NO_ERROR};

use crate::cpu;

/// Messages taken from the consumer's queue at once.
const BATCH: usize = 1_000;
/// Longest wait for a batch.
const POLL_MS: i32 = 10;
/// Longest wait for a transaction call.
const CALL_MS: i32 = 30_000;
/// Topics of this end are state: with a store they are written to it as well.
const CHANGELOG: &str = "-changelog";

/// What to copy, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// bootstrap.servers.
    #[arg(long)]
    pub bootstrap: String,
    /// Topics to copy; every topic NAME is copied to PREFIXNAME, which is made if it is missing.
    #[arg(long, value_delimiter = ',', required = true)]
    pub topics: Vec<String>,
    /// Put before the names of the copies.
    #[arg(long, default_value = "raw-copy-")]
    pub prefix: String,
    /// Threads, each with its share of the partitions, its own consumer and its own transactional producer.
    #[arg(long, default_value_t = 2)]
    pub threads: u32,
    /// Milliseconds between commits.
    #[arg(long, default_value_t = 100)]
    pub commit_ms: u64,
    /// Writes the records of changelogs to RocksDB in this directory too, one batch per transaction.
    #[arg(long)]
    pub state_dir: Option<PathBuf>,
}

/// What was measured.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Report {
    /// Records copied.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Transactions committed.
    pub transactions: u64,
    /// Seconds from a thread's first record to its last commit, of the thread that took longest.
    pub copying_s: f64,
    /// CPU seconds of the whole process, starting included.
    pub cpu_s: f64,
}

/// Copies everything there is, then answers.
///
/// # Errors
/// Kafka's words.
pub fn run(options: &Options) -> anyhow::Result<Report> {
    let partitions = partitions(options)?;
    let set = [format!("kafka.brokers={}", options.bootstrap)];
    let settings = Settings::new(&Config::load(None, std::env::vars(), &set)?.kafka, "", "raw-copy")?;
    let copies = partitions.iter().map(|(topic, count)| TopicSpec {
        name: format!("{}{topic}", options.prefix),
        partitions: *count,
        config: BTreeMap::new(),
    });
    ensure_topics(&settings, &copies.collect::<Vec<_>>(), false)?;
    let backend = match &options.state_dir {
        Some(directory) => Some(Arc::new(RocksBackend::open(directory, rocks::Options::default())?)),
        None => None,
    };
    let threads: Vec<_> = (0..options.threads)
        .map(|number| {
            let (options, partitions, backend) = (options.clone(), partitions.clone(), backend.clone());
            std::thread::spawn(move || Copy::new(&options, number, &partitions, backend)?.run(options.commit_ms))
        })
        .collect();
    let mut total = Report::default();
    for thread in threads {
        let report = thread.join().map_err(|_| anyhow!("a copying thread panicked"))??;
        total.records += report.records;
        total.bytes += report.bytes;
        total.transactions += report.transactions;
        total.copying_s = total.copying_s.max(report.copying_s);
    }
    total.cpu_s = cpu::process_ns()? as f64 / 1e9;
    Ok(total)
}

/// Partition counts of the topics.
fn partitions(options: &Options) -> anyhow::Result<Vec<(String, u32)>> {
    let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", &options.bootstrap).create()?;
    let mut found = Vec::new();
    for topic in &options.topics {
        let metadata = client.fetch_metadata(Some(topic), Duration::from_secs(10))?;
        let count = metadata.topics().first().map_or(0, |t| t.partitions().len());
        ensure!(count > 0, "there is no topic {topic}");
        found.push((topic.clone(), u32::try_from(count)?));
    }
    Ok(found)
}

/// A client that is closed when it goes.
struct Client(NonNull<sys::rd_kafka_t>);

impl Client {
    fn new(kind: sys::rd_kafka_type_t, settings: &[(&str, &str)]) -> anyhow::Result<Client> {
        let mut config = ClientConfig::new();
        for (name, value) in settings {
            config.set(*name, *value);
        }
        let config = config.create_native_config()?;
        let mut words = [0 as c_char; 512];
        // SAFETY: librdkafka copies the configuration's duplicate and writes at most so many characters on failure; on
        // success the duplicate is its own.
        unsafe {
            let config = sys::rd_kafka_conf_dup(config.ptr());
            match NonNull::new(sys::rd_kafka_new(kind, config, words.as_mut_ptr(), words.len())) {
                Some(client) => Ok(Client(client)),
                None => {
                    sys::rd_kafka_conf_destroy(config);
                    bail!("no client: {}", CStr::from_ptr(words.as_ptr()).to_string_lossy())
                }
            }
        }
    }

    fn ptr(&self) -> *mut sys::rd_kafka_t {
        self.0.as_ptr()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once; messages, queues and topics of it are gone by then.
        unsafe { sys::rd_kafka_destroy(self.ptr()) }
    }
}

/// # Safety
/// `error` must be null or an error owned by the caller, which gives it away.
unsafe fn check(error: *mut sys::rd_kafka_error_t) -> anyhow::Result<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: by this function's contract.
    unsafe {
        let words = CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned();
        sys::rd_kafka_error_destroy(error);
        bail!(words)
    }
}

/// Where the records of one topic go.
struct Way {
    from: String,
    /// Handle of the source, known from its first message on: messages of one topic all carry the same.
    source: *mut sys::rd_kafka_topic_t,
    to: *mut sys::rd_kafka_topic_t,
    store: Option<StoreId>,
    /// Next offset by partition, where something was copied in this transaction.
    next: Vec<Option<i64>>,
}

/// One thread's copying.
struct Copy {
    consumer: Client,
    producer: Client,
    queue: NonNull<sys::rd_kafka_queue_t>,
    ways: Vec<Way>,
    /// Partitions that are not read to their end yet.
    left: usize,
    backend: Option<Arc<RocksBackend>>,
    batch: Batch,
    report: Report,
}

impl Copy {
    fn new(
        options: &Options,
        number: u32,
        partitions: &[(String, u32)],
        backend: Option<Arc<RocksBackend>>,
    ) -> anyhow::Result<Copy> {
        let brokers = ("bootstrap.servers", options.bootstrap.as_str());
        let consumer = Client::new(
            sys::rd_kafka_type_t::RD_KAFKA_CONSUMER,
            &[
                brokers,
                ("group.id", "raw-copy"),
                ("enable.auto.commit", "false"),
                ("enable.partition.eof", "true"),
                ("isolation.level", "read_committed"),
            ],
        )?;
        let id = format!("raw-copy-{number}");
        let producer = Client::new(
            sys::rd_kafka_type_t::RD_KAFKA_PRODUCER,
            &[brokers, ("transactional.id", &id), ("compression.type", "lz4")],
        )?;
        let mut assignment = TopicPartitionList::new();
        let mut ways = Vec::new();
        for (topic, count) in partitions {
            for partition in (0..*count).filter(|p| p * options.threads / count == number) {
                assignment.add_partition_offset(topic, i32::try_from(partition)?, Offset::Beginning)?;
            }
            let to = CString::new(format!("{}{topic}", options.prefix))?;
            // SAFETY: client and name are alive; a null configuration means the client's defaults.
            let to = unsafe { sys::rd_kafka_topic_new(producer.ptr(), to.as_ptr(), ptr::null_mut()) };
            ensure!(!to.is_null(), "no handle of the copy of {topic}");
            let store = match &backend {
                Some(backend) if topic.ends_with(CHANGELOG) => Some(backend.open_store(topic, StoreKind::Persistent)?),
                _ => None,
            };
            let next = vec![None; usize::try_from(*count)?];
            ways.push(Way { from: topic.clone(), source: ptr::null_mut(), to, store, next });
        }
        // SAFETY: both clients and the list are alive.
        let queue = unsafe {
            check(sys::rd_kafka_init_transactions(producer.ptr(), CALL_MS))?;
            sys::rd_kafka_poll_set_consumer(consumer.ptr());
            let code = sys::rd_kafka_assign(consumer.ptr(), assignment.ptr());
            ensure!(code == RD_KAFKA_RESP_ERR_NO_ERROR, "the partitions cannot be assigned: {code:?}");
            sys::rd_kafka_queue_get_consumer(consumer.ptr())
        };
        let queue = NonNull::new(queue).context("the consumer has no queue")?;
        let left = assignment.count();
        Ok(Copy { consumer, producer, queue, ways, left, backend, batch: Batch::new(), report: Report::default() })
    }

    fn run(mut self, commit_ms: u64) -> anyhow::Result<Report> {
        let mut messages: Vec<*mut sys::rd_kafka_message_t> = Vec::with_capacity(BATCH);
        let mut open: Option<Instant> = None;
        let mut first: Option<Instant> = None;
        while self.left > 0 {
            // SAFETY: there is room for so many pointers; librdkafka says how many it has written.
            unsafe {
                let at = messages.as_mut_ptr();
                let count = sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), POLL_MS, at, BATCH);
                messages.set_len(usize::try_from(count).unwrap_or(0));
            }
            if open.is_none() && !messages.is_empty() {
                // SAFETY: the client is alive.
                unsafe { check(sys::rd_kafka_begin_transaction(self.producer.ptr())) }?;
                open = Some(Instant::now());
                first = first.or(open);
            }
            for message in messages.drain(..) {
                // SAFETY: the message is ours until destroyed, and destroyed once.
                unsafe {
                    let copied = self.take(&*message);
                    sys::rd_kafka_message_destroy(message);
                    copied?;
                }
            }
            if open.is_some_and(|since| self.left == 0 || since.elapsed() >= Duration::from_millis(commit_ms)) {
                self.commit()?;
                open = None;
            }
        }
        self.report.copying_s = first.map_or(0.0, |at| at.elapsed().as_secs_f64());
        Ok(self.report)
    }

    /// Copies one message, or notes the end of its partition.
    ///
    /// # Safety
    /// `message` must be alive.
    unsafe fn take(&mut self, message: &sys::rd_kafka_message_t) -> anyhow::Result<()> {
        match message.err {
            RD_KAFKA_RESP_ERR_NO_ERROR => (),
            RD_KAFKA_RESP_ERR__PARTITION_EOF => {
                self.left -= 1;
                return Ok(());
            }
            // SAFETY: by this function's contract.
            _ => bail!(unsafe { CStr::from_ptr(sys::rd_kafka_message_errstr(message)) }.to_string_lossy().into_owned()),
        }
        let way = match self.ways.iter_mut().position(|w| w.source == message.rkt) {
            Some(known) => &mut self.ways[known],
            None => {
                // SAFETY: the topic belongs to the message, which is alive.
                let name = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(message.rkt)) }.to_str()?;
                let way = self.ways.iter_mut().find(|w| w.from == name).context("a message of another topic")?;
                way.source = message.rkt;
                way
            }
        };
        // SAFETY: client, topic and message are alive; the variable arguments follow librdkafka's table of types and end
        // with END. F_COPY has the contents copied, F_BLOCK waits for room in the queue.
        let code = unsafe {
            use sys::rd_kafka_vtype_t::*;
            sys::rd_kafka_producev(
                self.producer.ptr(),
                RD_KAFKA_VTYPE_RKT,
                way.to,
                RD_KAFKA_VTYPE_PARTITION,
                message.partition,
                RD_KAFKA_VTYPE_MSGFLAGS,
                sys::RD_KAFKA_MSG_F_COPY | sys::RD_KAFKA_MSG_F_BLOCK,
                RD_KAFKA_VTYPE_VALUE,
                message.payload,
                message.len,
                RD_KAFKA_VTYPE_KEY,
                message.key,
                message.key_len,
                RD_KAFKA_VTYPE_TIMESTAMP,
                sys::rd_kafka_message_timestamp(message, ptr::null_mut()),
                RD_KAFKA_VTYPE_END,
            )
        };
        ensure!(code == RD_KAFKA_RESP_ERR_NO_ERROR, "a record was not taken: {code:?}");
        if let Some(next) = way.next.get_mut(usize::try_from(message.partition)?) {
            *next = Some(message.offset + 1);
        }
        self.report.records += 1;
        self.report.bytes += u64::try_from(message.len + message.key_len)?;
        if let Some(store) = way.store {
            let partition = u32::try_from(message.partition)?;
            // SAFETY: key and value are valid for their lengths while the message lives.
            let (key, value) = unsafe { (bytes(message.key, message.key_len), bytes(message.payload, message.len)) };
            match value {
                Some(value) => self.batch.put(store, partition, key.unwrap_or_default(), value),
                None => self.batch.delete(store, partition, key.unwrap_or_default()),
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> anyhow::Result<()> {
        let mut positions = TopicPartitionList::new();
        for way in &mut self.ways {
            for (partition, next) in (0..).zip(&mut way.next) {
                if let Some(next) = next.take() {
                    positions.add_partition_offset(&way.from, partition, Offset::Offset(next))?;
                }
            }
        }
        // SAFETY: both clients and the list are alive; the group's metadata is ours and destroyed once.
        unsafe {
            let group = sys::rd_kafka_consumer_group_metadata(self.consumer.ptr());
            let (producer, positions) = (self.producer.ptr(), positions.ptr());
            let sent = check(sys::rd_kafka_send_offsets_to_transaction(producer, positions, group, CALL_MS));
            sys::rd_kafka_consumer_group_metadata_destroy(group);
            sent?;
            check(sys::rd_kafka_commit_transaction(producer, CALL_MS))?;
        }
        if let Some(backend) = &self.backend {
            backend.write(&self.batch)?;
            self.batch.clear();
        }
        self.report.transactions += 1;
        Ok(())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // SAFETY: each is ours and destroyed once, before the clients they belong to.
        unsafe {
            self.ways.iter().for_each(|w| sys::rd_kafka_topic_destroy(w.to));
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// # Safety
/// `data` must be null or valid for `len` bytes as long as the result is used.
unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: by this function's contract.
    (!data.is_null()).then(|| unsafe { std::slice::from_raw_parts(data.cast(), len) })
}
