//! The only unsafe code of this crate: the calls of librdkafka that the safe wrapper lacks or makes slow.
//!
//! - reading a partition's own queue in batches (the wrapper allocates an event per record);
//! - `commit_transaction` (the wrapper's polls 100 ms between flushes, by design);
//! - delivery reports by the batch (the wrapper's poll makes deadlines and allocates for every one);
//! - group metadata with its generation (the wrapper hides it);
//! - producing by topic handle (the wrapper looks the topic up by name for every record);
//! - topic ids (the wrapper has no DescribeTopics);
//! - a request that nobody waits for (the wrapper's all wait for their answers).
//!
//! Every object here keeps the client it belongs to alive, so that no pointer outlives it.
#![allow(unsafe_code, reason = "a C library is called; each block says why it is sound")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka_sys as sys;
use streams::Offset;

use streams::{Headers, Incoming};

/// Set by librdkafka's threads when a queue gets something, awaited by the thread that reads the queues.
#[derive(Default)]
pub(super) struct Wakeup {
    woken: Mutex<bool>,
    condvar: Condvar,
}

impl Wakeup {
    pub(super) fn wake(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.condvar.notify_all();
    }

    /// Forgets earlier wake-ups; called before the queues are looked at, so that none is lost.
    pub(super) fn clear(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Waits until woken or until `deadline`.
    pub(super) fn wait_until(&self, deadline: Instant) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        while !*woken {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            woken = self.condvar.wait_timeout(woken, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

unsafe extern "C" fn wake(_client: *mut sys::rd_kafka_t, wakeup: *mut c_void) {
    // SAFETY: `wakeup` is the pointer of an `Arc<Wakeup>` held by the `PartitionQueue` that registered it; it is
    // deregistered, under the queue's lock, before that `Arc` is dropped.
    unsafe { &*wakeup.cast::<Wakeup>() }.wake();
}

/// What a partition's queue brings.
pub(super) enum Fetched {
    /// A record.
    Record(Incoming),
    /// The end of what can be read now; the next record is at or past this offset (control records are skipped).
    End(Offset),
    /// An error of this partition.
    Failed(RDKafkaErrorCode, String),
}

/// Messages between librdkafka and us, reused from batch to batch.
#[derive(Default)]
pub(super) struct Scratch(Vec<*mut sys::rd_kafka_message_t>);

// SAFETY: empty between calls, so that what moves to another thread is room, not messages.
unsafe impl Send for Scratch {}

/// The queue of one partition of a consumer, split from the consumer's main queue for as long as this lives and, as
/// librdkafka never takes the split back, not to be dropped before the consumer (rust-rdkafka #535: the partition would
/// silently never be read again).
///
/// Reading it in batches is safe only because it is not the main queue: there a rebalance would be answered by a forced
/// unassign.
pub(super) struct PartitionQueue<C: ConsumerContext + 'static> {
    queue: NonNull<sys::rd_kafka_queue_t>,
    // Dropped after `Drop::drop` has destroyed the queue.
    _wakeup: Option<Arc<Wakeup>>,
    _consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues may be used from any thread; the other fields are Send and Sync.
unsafe impl<C: ConsumerContext> Send for PartitionQueue<C> {}
// SAFETY: as above; every operation on a queue takes the queue's own lock.
unsafe impl<C: ConsumerContext> Sync for PartitionQueue<C> {}

impl<C: ConsumerContext> PartitionQueue<C> {
    /// Splits a partition off; to be done before it is assigned. `wakeup` is told when something arrives, if anyone waits
    /// for that. `None` for a name librdkafka cannot take.
    pub(super) fn split(
        consumer: &Arc<BaseConsumer<C>>,
        topic: &str,
        partition: u32,
        wakeup: Option<&Arc<Wakeup>>,
    ) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        let partition = i32::try_from(partition).ok()?;
        // SAFETY: the client and the C string are alive; a null answer is handled by NonNull. The callback's opaque
        // pointer is kept alive by the `Arc` in the result (see `wake`).
        unsafe {
            let queue = sys::rd_kafka_queue_get_partition(consumer.client().native_ptr(), topic.as_ptr(), partition);
            let queue = NonNull::new(queue)?;
            sys::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            if let Some(wakeup) = wakeup {
                sys::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(wake), Arc::as_ptr(wakeup).cast_mut().cast());
            }
            Some(PartitionQueue { queue, _wakeup: wakeup.cloned(), _consumer: consumer.clone() })
        }
    }

    /// Takes up to `max` messages that are there now, without waiting, in order. Answers with how many there were.
    pub(super) fn drain(&self, scratch: &mut Scratch, max: usize, mut f: impl FnMut(Fetched)) -> usize {
        scratch.0.clear();
        scratch.0.reserve(max);
        // SAFETY: the buffer has room for `max` pointers; librdkafka says how many it has written.
        let count = unsafe {
            let count = sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, scratch.0.as_mut_ptr(), max);
            let count = usize::try_from(count).unwrap_or(0);
            scratch.0.set_len(count);
            count
        };
        for message in scratch.0.drain(..) {
            // SAFETY: librdkafka handed the message over to us: it is valid until destroyed, and destroyed once.
            let fetched = unsafe {
                let fetched = read_message(message);
                sys::rd_kafka_message_destroy(message);
                fetched
            };
            f(fetched);
        }
        count
    }
}

impl<C: ConsumerContext> Drop for PartitionQueue<C> {
    fn drop(&mut self) {
        // SAFETY: the queue is ours, used nowhere else, and its client is still alive in `_consumer`.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// # Safety
/// `message` must be a message of a consumer that is not destroyed yet.
unsafe fn read_message(message: *mut sys::rd_kafka_message_t) -> Fetched {
    // SAFETY: by this function's contract.
    let m = unsafe { &*message };
    match m.err {
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => (),
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => return Fetched::End(Offset(m.offset)),
        // SAFETY: as above.
        err => return Fetched::Failed(err.into(), unsafe { text(sys::rd_kafka_message_errstr(message)) }),
    }
    // SAFETY: key and payload are valid for their lengths while the message lives; the accessors take a live message.
    unsafe {
        let key = bytes(m.key, m.key_len);
        let value = bytes(m.payload, m.len);
        let timestamp = sys::rd_kafka_message_timestamp(message, ptr::null_mut());
        Fetched::Record(Incoming::new(Offset(m.offset), timestamp, key, value, read_headers(message)))
    }
}

/// # Safety
/// As [`read_message`].
unsafe fn read_headers(message: *mut sys::rd_kafka_message_t) -> Option<Headers> {
    let mut native = ptr::null_mut();
    // SAFETY: librdkafka keeps ownership of the headers it hands out; they live as long as the message.
    let err = unsafe { sys::rd_kafka_message_headers(message, &mut native) };
    if err != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return None;
    }
    let mut headers = Headers::default();
    // SAFETY: as above; out-parameters are written when the call succeeds.
    unsafe {
        for i in 0..sys::rd_kafka_header_cnt(native) {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            let err = sys::rd_kafka_header_get_all(native, i, &mut name, &mut value, &mut size);
            if err == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                headers.add(&text(name), bytes(value, size));
            }
        }
    }
    Some(headers)
}

/// # Safety
/// `data` must be null or valid for `len` bytes as long as the result is used.
unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: by this function's contract.
    (!data.is_null()).then(|| unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// # Safety
/// `text` must be null or a C string.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: by this function's contract.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A failed call of the transactional producer, with what decides about its consequence.
#[derive(Clone, Debug)]
pub(super) struct TransactionError {
    /// Kafka's code.
    pub(super) code: RDKafkaErrorCode,
    /// The client can never be used again.
    pub(super) fatal: bool,
    /// The transaction has to be aborted; nothing of it was committed.
    pub(super) abortable: bool,
    /// Kafka's words.
    pub(super) text: String,
}

impl std::fmt::Display for TransactionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:?})", self.text, self.code)
    }
}

/// # Safety
/// `error` must be null or an error owned by the caller, which gives it away.
unsafe fn take_error(error: *mut sys::rd_kafka_error_t) -> Result<(), TransactionError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: by this function's contract; destroyed once.
    unsafe {
        let taken = TransactionError {
            code: sys::rd_kafka_error_code(error).into(),
            fatal: sys::rd_kafka_error_is_fatal(error) != 0,
            abortable: sys::rd_kafka_error_txn_requires_abort(error) != 0,
            text: text(sys::rd_kafka_error_string(error)),
        };
        sys::rd_kafka_error_destroy(error);
        Err(taken)
    }
}

fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

/// A consumer's membership as of one moment; what fences a transaction's positions.
pub(super) struct GroupMetadata(NonNull<sys::rd_kafka_consumer_group_metadata_t>);

// SAFETY: the object is plain data, never changed after creation.
unsafe impl Send for GroupMetadata {}

impl GroupMetadata {
    /// The membership now; `None` for a client without a group.
    pub(super) fn of<C: ClientContext>(consumer: &Client<C>) -> Option<Self> {
        // SAFETY: the client is alive; the result is ours.
        NonNull::new(unsafe { sys::rd_kafka_consumer_group_metadata(consumer.native_ptr()) }).map(GroupMetadata)
    }

    /// Whether a client that was fenced (`FENCED_INSTANCE_ID`) was so by another process with its name. `revoked`: when
    /// it was, it had been told to give up its partitions.
    ///
    /// One that lost its session itself, in an outage or a pause of longer than that, was not: it forgets its member id,
    /// but sends heartbeats until its partitions are given up, and a coordinator that has come back takes the nameless
    /// member for a rival of the one it knows, which is the same client (librdkafka #3437). One that a rival fenced forgets
    /// its member id as well, a session later: it was not told anything before.
    pub(super) fn fenced_by_another<C: ClientContext>(fenced: &Client<C>, revoked: bool) -> bool {
        !revoked || GroupMetadata::of(fenced).is_none_or(|group| group.has_member_id())
    }

    /// The group's generation; negative outside the group.
    pub(super) fn generation(&self) -> i32 {
        // SAFETY: the object is alive.
        unsafe { sys::rd_kafka_consumer_group_metadata_generation_id(self.0.as_ptr()) }
    }

    /// True with a member id.
    pub(super) fn has_member_id(&self) -> bool {
        // SAFETY: the object is alive and owns the string.
        unsafe {
            let id = sys::rd_kafka_consumer_group_metadata_member_id(self.0.as_ptr());
            !id.is_null() && *id != 0
        }
    }
}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) }
    }
}

/// Adds positions to the open transaction. May take longer than `timeout` (librdkafka #5456): call it from a thread whose
/// end nobody has to wait for.
pub(super) fn send_offsets_to_transaction<C: ClientContext>(
    producer: &Client<C>,
    offsets: &TopicPartitionList,
    group: &GroupMetadata,
    timeout: Duration,
) -> Result<(), TransactionError> {
    // SAFETY: all three objects are alive and not changed by the call; the error is ours.
    unsafe {
        take_error(sys::rd_kafka_send_offsets_to_transaction(
            producer.native_ptr(),
            offsets.ptr(),
            group.0.as_ptr(),
            millis(timeout),
        ))
    }
}

/// Commits the open transaction. Another thread has to poll the producer meanwhile: the call waits for its deliveries.
pub(super) fn commit_transaction<C: ClientContext>(
    producer: &Client<C>,
    timeout: Duration,
) -> Result<(), TransactionError> {
    // SAFETY: the client is alive; the error is ours.
    unsafe { take_error(sys::rd_kafka_commit_transaction(producer.native_ptr(), millis(timeout))) }
}

/// Aborts the open transaction, dropping what is not delivered yet.
pub(super) fn abort_transaction<C: ClientContext>(
    producer: &Client<C>,
    timeout: Duration,
) -> Result<(), TransactionError> {
    // SAFETY: the client is alive; the error is ours.
    unsafe { take_error(sys::rd_kafka_abort_transaction(producer.native_ptr(), millis(timeout))) }
}

/// Registers the producer's `transactional.id`, fencing every earlier producer of it and ending what they left open.
pub(super) fn init_transactions<C: ClientContext>(
    producer: &Client<C>,
    timeout: Duration,
) -> Result<(), TransactionError> {
    // SAFETY: the client is alive; the error is ours.
    unsafe { take_error(sys::rd_kafka_init_transactions(producer.native_ptr(), millis(timeout))) }
}

/// Begins a transaction; local, never waits.
pub(super) fn begin_transaction<C: ClientContext>(producer: &Client<C>) -> Result<(), TransactionError> {
    // SAFETY: the client is alive; the error is ours.
    unsafe { take_error(sys::rd_kafka_begin_transaction(producer.native_ptr())) }
}

/// A topic of a producer, looked up once. To be dropped before its client.
pub(super) struct TopicHandle(NonNull<sys::rd_kafka_topic_t>);

// SAFETY: topic handles are reference counted by librdkafka and may be used from any thread.
unsafe impl Send for TopicHandle {}
// SAFETY: as above.
unsafe impl Sync for TopicHandle {}

impl TopicHandle {
    /// `None` for a name librdkafka cannot take.
    pub(super) fn new<C: ClientContext>(client: &Client<C>, name: &str) -> Option<Self> {
        let name = CString::new(name).ok()?;
        // SAFETY: client and name are alive; a null configuration means the client's defaults.
        NonNull::new(unsafe { sys::rd_kafka_topic_new(client.native_ptr(), name.as_ptr(), ptr::null_mut()) })
            .map(TopicHandle)
    }
}

impl Drop for TopicHandle {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { sys::rd_kafka_topic_destroy(self.0.as_ptr()) }
    }
}

/// What became of a produced record.
pub(super) struct Delivery {
    /// As given to [`produce`].
    pub(super) opaque: usize,
    pub(super) partition: i32,
    /// Where it is in the log, or why it is not.
    pub(super) outcome: Result<Offset, RDKafkaErrorCode>,
}

/// The queue of a producer's delivery reports, log lines and errors. To be dropped before its client.
pub(super) struct ReportQueue(NonNull<sys::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for ReportQueue {}
// SAFETY: as above; every operation on a queue takes the queue's own lock.
unsafe impl Sync for ReportQueue {}

impl ReportQueue {
    /// `None` when there is no memory for one.
    pub(super) fn of<C: ClientContext>(producer: &Client<C>) -> Option<Self> {
        // SAFETY: the client is alive; the reference is ours.
        NonNull::new(unsafe { sys::rd_kafka_queue_get_main(producer.native_ptr()) }).map(ReportQueue)
    }

    /// Waits up to `timeout` for one event. The delivery reports in it go to `delivered`, all in one call; anything else
    /// goes where the wrapper would send it, to the client's context.
    pub(super) fn serve<C: ClientContext>(
        &self,
        context: &C,
        timeout: Duration,
        delivered: impl FnOnce(&mut dyn Iterator<Item = Delivery>),
    ) {
        // SAFETY: the queue is alive; the event is ours until destroyed, below, and what is read of it is used before.
        unsafe {
            let event = sys::rd_kafka_queue_poll(self.0.as_ptr(), millis(timeout));
            match sys::rd_kafka_event_type(event) {
                sys::RD_KAFKA_EVENT_DR => delivered(&mut std::iter::from_fn(|| next_delivery(event))),
                sys::RD_KAFKA_EVENT_LOG => {
                    let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
                    if sys::rd_kafka_event_log(event, &mut facility, &mut line, &mut level) == 0 {
                        context.log(log_level(level), &text(facility), &text(line));
                    }
                }
                sys::RD_KAFKA_EVENT_ERROR => {
                    let code = sys::rd_kafka_event_error(event);
                    context.error(KafkaError::Global(code.into()), &text(sys::rd_kafka_event_error_string(event)));
                }
                _ => (),
            }
            if !event.is_null() {
                sys::rd_kafka_event_destroy(event);
            }
        }
    }
}

/// Syslog's numbers.
fn log_level(level: i32) -> RDKafkaLogLevel {
    match level {
        ..=2 => RDKafkaLogLevel::Critical,
        3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 | 6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    }
}

impl Drop for ReportQueue {
    fn drop(&mut self) {
        // SAFETY: our reference, given up once.
        unsafe { sys::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

/// # Safety
/// `event` must be a live delivery report event.
unsafe fn next_delivery(event: *mut sys::rd_kafka_event_t) -> Option<Delivery> {
    // SAFETY: by this function's contract; the message belongs to the event.
    let message = unsafe { sys::rd_kafka_event_message_next(event).as_ref() }?;
    let outcome = match message.err {
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(Offset(message.offset)),
        err => Err(err.into()),
    };
    Some(Delivery { opaque: message._private as usize, partition: message.partition, outcome })
}

/// Sends everything queued without waiting for `linger.ms`, and waits up to `timeout` for its delivery reports to be served
/// (by another thread); true when there is nothing left.
pub(super) fn flush<C: ClientContext>(producer: &Client<C>, timeout: Duration) -> bool {
    // SAFETY: the client is alive; any thread may flush at any time.
    let outcome = unsafe { sys::rd_kafka_flush(producer.native_ptr(), millis(timeout)) };
    outcome == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// A record for [`produce`].
pub(super) struct Produce<'a> {
    pub(super) partition: Option<u32>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    /// Milliseconds since the epoch, above 0: librdkafka takes 0 for "now".
    pub(super) timestamp: i64,
    pub(super) headers: &'a Headers,
    /// Comes back with the delivery report.
    pub(super) opaque: usize,
}

/// Queues a record; everything is copied. Never waits.
pub(super) fn produce<C: ClientContext>(
    client: &Client<C>,
    topic: &TopicHandle,
    record: &Produce<'_>,
) -> Result<(), RDKafkaErrorCode> {
    use sys::rd_kafka_vtype_t::*;
    let (key, key_len) = raw(record.key);
    let (value, value_len) = raw(record.value);
    let partition = record.partition.and_then(|p| i32::try_from(p).ok()).unwrap_or(-1);
    let headers = native_headers(record.headers);
    // SAFETY: the variable arguments follow librdkafka's table of types per RD_KAFKA_VTYPE and end with END; all
    // pointers are alive for the call, and F_COPY has their contents copied. The headers become librdkafka's when it
    // answers with success and stay ours otherwise.
    unsafe {
        let err = sys::rd_kafka_producev(
            client.native_ptr(),
            RD_KAFKA_VTYPE_RKT,
            topic.0.as_ptr(),
            RD_KAFKA_VTYPE_PARTITION,
            partition,
            RD_KAFKA_VTYPE_MSGFLAGS,
            sys::RD_KAFKA_MSG_F_COPY,
            RD_KAFKA_VTYPE_VALUE,
            value,
            value_len,
            RD_KAFKA_VTYPE_KEY,
            key,
            key_len,
            RD_KAFKA_VTYPE_OPAQUE,
            record.opaque as *mut c_void,
            RD_KAFKA_VTYPE_TIMESTAMP,
            record.timestamp,
            RD_KAFKA_VTYPE_HEADERS,
            headers,
            RD_KAFKA_VTYPE_END,
        );
        if err == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(());
        }
        if !headers.is_null() {
            sys::rd_kafka_headers_destroy(headers);
        }
        Err(err.into())
    }
}

fn raw(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    bytes.map_or((ptr::null_mut(), 0), |b| (b.as_ptr().cast_mut().cast(), b.len()))
}

/// Headers in librdkafka's form, owned by the caller; null when there are none.
fn native_headers(headers: &Headers) -> *mut sys::rd_kafka_headers_t {
    if headers.is_empty() {
        return ptr::null_mut();
    }
    // SAFETY: names and values are copied by the call, with the lengths given.
    unsafe {
        let native = sys::rd_kafka_headers_new(headers.len());
        for (name, value) in headers.iter() {
            let (data, len) = raw(value);
            let name_len = isize::try_from(name.len()).unwrap_or(0);
            let len = isize::try_from(len).unwrap_or(0);
            sys::rd_kafka_header_add(native, name.as_ptr().cast(), name_len, data, len);
        }
        native
    }
}

/// Wakes librdkafka's threads of the brokers that lead these partitions, by asking each for their beginnings. Nobody waits
/// for the answers.
pub(super) fn wake_leaders<C: ClientContext>(client: &Client<C>, partitions: &[(&str, i32)]) {
    let names: Vec<(CString, i32)> =
        partitions.iter().filter_map(|(name, partition)| Some((CString::new(*name).ok()?, *partition))).collect();
    let Ok(count) = c_int::try_from(names.len()) else { return };
    // SAFETY: the names outlive the list, which copies them, and the request copies the list; every object created here is
    // destroyed here. The answer finds the queue closed, and is dropped by librdkafka.
    unsafe {
        let client = client.native_ptr();
        let list = sys::rd_kafka_topic_partition_list_new(count);
        for (name, partition) in &names {
            let element = sys::rd_kafka_topic_partition_list_add(list, name.as_ptr(), *partition);
            (*element).offset = sys::RD_KAFKA_OFFSET_BEGINNING.into();
        }
        let queue = sys::rd_kafka_queue_new(client);
        sys::rd_kafka_ListOffsets(client, list, ptr::null(), queue);
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_topic_partition_list_destroy(list);
    }
}

/// A topic as the cluster knows it.
pub(super) struct DescribedTopic {
    /// Its name.
    pub(super) name: String,
    /// Its id, given when it was created, and its partition count; or why it cannot be told.
    pub(super) found: Result<([u8; 16], u32), RDKafkaErrorCode>,
}

/// Ids and partition counts of topics, asked from the cluster.
///
/// # Errors
/// Kafka's words, when there is no answer within `timeout`.
pub(super) fn describe_topics<C: ClientContext>(
    client: &Client<C>,
    names: &[String],
    timeout: Duration,
) -> Result<Vec<DescribedTopic>, String> {
    let names: Vec<CString> = names.iter().filter_map(|n| CString::new(n.as_str()).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|n| n.as_ptr()).collect();
    // SAFETY: the names outlive the collection, which copies them; every object created here is destroyed here, the
    // event last because the descriptions belong to it.
    unsafe {
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let client = client.native_ptr();
        let options =
            sys::rd_kafka_AdminOptions_new(client, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, millis(timeout), ptr::null_mut(), 0);
        let queue = sys::rd_kafka_queue_new(client);
        sys::rd_kafka_DescribeTopics(client, topics, options, queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_TopicCollection_destroy(topics);
        // A little longer than the request itself, so that its own error arrives.
        let event = sys::rd_kafka_queue_poll(queue, millis(timeout + Duration::from_millis(500)));
        let described = read_descriptions(event);
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        described
    }
}

/// # Safety
/// `event` must be null or a live event.
unsafe fn read_descriptions(event: *mut sys::rd_kafka_event_t) -> Result<Vec<DescribedTopic>, String> {
    if event.is_null() {
        return Err("no answer to DescribeTopics".to_owned());
    }
    // SAFETY: by this function's contract; all that is read belongs to the event.
    unsafe {
        if sys::rd_kafka_event_error(event) != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(text(sys::rd_kafka_event_error_string(event)));
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err("an answer to something else than DescribeTopics".to_owned());
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let described = (0..count).map(|i| {
            let topic = *topics.add(i);
            let name = text(sys::rd_kafka_TopicDescription_name(topic));
            let error = sys::rd_kafka_TopicDescription_error(topic);
            let found = if error.is_null()
                || sys::rd_kafka_error_code(error) == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                let mut partitions = 0;
                sys::rd_kafka_TopicDescription_partitions(topic, &mut partitions);
                let id = sys::rd_kafka_TopicDescription_topic_id(topic);
                let high = sys::rd_kafka_Uuid_most_significant_bits(id).cast_unsigned();
                let low = sys::rd_kafka_Uuid_least_significant_bits(id).cast_unsigned();
                let id = ((u128::from(high) << 64) | u128::from(low)).to_be_bytes();
                Ok((id, u32::try_from(partitions).unwrap_or(u32::MAX)))
            } else {
                Err(sys::rd_kafka_error_code(error).into())
            };
            DescribedTopic { name, found }
        });
        Ok(described.collect())
    }
}
