//! Framing, the words of its errors, and reading what other versions have written.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use apache_avro::Schema;
use apache_avro::types::Value;
use schemas::fashion::{OrderStage, OrderState, OrderStatus, topics};
use schemas::limits::WRITER_SCHEMAS_MAX;
use schemas::{AvroRecord, Codec, DecodeError, Registry, RegistryError, frame, unframe};

/// A registry held in memory that counts what it is asked.
#[derive(Debug, Default)]
struct MemoryRegistry {
    schemas: Mutex<BTreeMap<u32, String>>,
    asked: AtomicUsize,
    down: Mutex<bool>,
}

impl MemoryRegistry {
    fn with(schemas: impl IntoIterator<Item = (u32, String)>) -> Arc<Self> {
        Arc::new(MemoryRegistry { schemas: Mutex::new(schemas.into_iter().collect()), ..Self::default() })
    }
}

impl Registry for MemoryRegistry {
    fn id_for_subject(&self, subject: &str, _: &'static str) -> Result<u32, RegistryError> {
        assert_eq!(subject, "shop-fashion.order-status-value");
        Ok(77)
    }
    fn schema_by_id(&self, id: u32) -> Result<Option<Arc<str>>, RegistryError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if *self.down.lock().expect("not poisoned") {
            return Err(RegistryError::Unavailable { url: "http://registry".into(), reason: "refused".into() });
        }
        Ok(self.schemas.lock().expect("not poisoned").get(&id).map(|s| Arc::from(s.as_str())))
    }
}

fn status() -> OrderStatus {
    OrderStatus {
        order_id: "order-1".into(),
        customer_id: "c".into(),
        product_id: "4000".into(),
        size: "S".into(),
        qty: 1,
        price: 50_000,
        status: OrderState::Paid,
        reason: None,
        stage: OrderStage::Payment,
        version: 1,
        at: 1_795_000_000_000,
    }
}

/// Our schema after a change of its text, as JSON.
fn changed(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut schema = serde_json::from_str(OrderStatus::schema_json()).expect("our .avsc is JSON");
    change(&mut schema);
    schema.to_string()
}

fn fields(schema: &mut serde_json::Value) -> &mut Vec<serde_json::Value> {
    schema["fields"].as_array_mut().expect("a record")
}

/// What another program writes: our value by another schema, framed with `id`.
fn written_by(schema: &str, id: u32, change: impl FnOnce(&mut Vec<(String, Value)>)) -> Vec<u8> {
    let own = Schema::parse_str(OrderStatus::schema_json()).expect("parses");
    let other = Schema::parse_str(schema).expect("parses");
    let mut body = Vec::new();
    status().encode_body(&mut body);
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(&own).build().expect("resolves");
    let Value::Record(mut values) = reader.read_value(&mut &body[..]).expect("reads") else {
        panic!("not a record");
    };
    change(&mut values);
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&other).build().expect("resolves");
    let body = writer.write_value_to_vec(Value::Record(values)).expect("fits the other schema");
    [&frame(id)[..], &body].concat()
}

/// The value, which straight to JSON is the same.
fn decode(id: u32, schema: String, bytes: &[u8]) -> Result<OrderStatus, DecodeError> {
    let codec = Codec::<OrderStatus>::new(1, MemoryRegistry::with([(id, schema)]));
    let (decoded, mut text) = (codec.decode(bytes), Vec::new());
    let transcoded = codec.transcode(bytes, &mut text);
    assert_eq!(transcoded.map(|()| text), decoded.clone().map(|v| serde_json::to_vec(&v).expect("serializes")));
    decoded
}

#[test]
fn a_frame_is_a_zero_and_the_id_big_endian() {
    assert_eq!(frame(0x0102_0304), [0, 1, 2, 3, 4]);
    assert_eq!(unframe(&[0, 1, 2, 3, 4, 9]), Ok((0x0102_0304, &[9][..])));
    let codec = Codec::<OrderStatus>::fixed();
    assert_eq!(codec.to_vec(&status())[..5], frame(codec.id()));
    assert_eq!(codec.decode(&codec.to_vec(&status())), Ok(status()));
}

#[test]
fn errors_say_what_is_wrong() {
    let codec = Codec::<OrderStatus>::fixed();
    let check = |bytes: &[u8], expected: &str| {
        let error = codec.decode(bytes).expect_err("not a value").to_string();
        assert!(error.contains(expected), "{error:?} lacks {expected:?}");
    };
    check(b"", "empty value");
    check(br#"{"orderId":1}"#, "the first byte is 0x7b (looks like JSON)");
    check(b"Obj\x01", "looks like an Avro container file");
    check(&[0xc3, 1], "looks like Avro single-object encoding");
    check(&[0, 0, 0], "truncated: 2 more byte(s) needed at offset 3");
    check(&frame(424_242), "unknown schema id 424242");
    check(&frame(codec.id()), "truncated: 1 more byte(s) needed at offset 5");
    let mut bytes = codec.to_vec(&status());
    bytes.push(0);
    check(&bytes, "1 byte(s) are left over");
    // order_id of length 1 that is not UTF-8.
    check(&[&frame(codec.id())[..], &[2, 0xff]].concat(), "a string at offset 5 is not UTF-8");
}

#[test]
fn another_id_of_the_same_bytes_is_read_without_resolution() {
    let documented = changed(|schema| schema["doc"] = "In other words.".into());
    let bytes = written_by(&documented, 9, |_| {});
    assert_eq!(decode(9, documented, &bytes), Ok(status()));
}

#[test]
fn an_older_writer_is_read_with_defaults() {
    let older = changed(|schema| fields(schema).retain(|f| f["name"] != "version" && f["name"] != "customer_id"));
    let bytes = written_by(&older, 9, |values| values.retain(|(n, _)| n != "version" && n != "customer_id"));
    assert_eq!(decode(9, older, &bytes), Ok(OrderStatus { customer_id: String::new(), version: 1, ..status() }));
}

#[test]
fn a_newer_writer_is_read_without_what_we_do_not_know() {
    let newer = changed(|schema| {
        fields(schema).insert(0, serde_json::json!({ "name": "colour", "type": "string", "default": "" }));
        let status = fields(schema).iter_mut().find(|f| f["name"] == "status").expect("has a status");
        status["type"]["symbols"].as_array_mut().expect("an enum").push("LOST".into());
    });
    let bytes = written_by(&newer, 9, |values| {
        values.insert(0, ("colour".into(), Value::String("red".into())));
        for (name, value) in values {
            if name == "status" {
                *value = Value::Enum(9, "LOST".into());
            }
        }
    });
    assert_eq!(decode(9, newer, &bytes), Ok(OrderStatus { status: OrderState::Unknown, ..status() }));
}

#[test]
fn a_writer_that_cannot_be_read_is_named() {
    let other = r#"{"type":"record","name":"OrderStatus","namespace":"orderflow.fashion","fields":[
        {"name":"order_id","type":"string"}]}"#;
    let bytes = [&frame(9)[..], &[2, b'a']].concat();
    let error = decode(9, other.to_owned(), &bytes).expect_err("no product_id").to_string();
    assert!(error.starts_with("written with schema id 9, which cannot be read as orderflow.fashion.OrderStatus"));
}

#[test]
fn hostile_bytes_under_another_id_are_refused_before_apache_avro_sees_them() {
    let older = changed(|schema| fields(schema).retain(|f| f["name"] != "version"));
    // A string of 2^40 bytes: apache-avro alone would try to reserve memory.
    let bytes = [&frame(9)[..], &[0x80, 0x80, 0x80, 0x80, 0x80, 0x40]].concat();
    assert!(matches!(decode(9, older, &bytes), Err(DecodeError::Truncated { .. })));
}

#[test]
fn a_schema_that_nests_into_itself_without_end_is_refused() {
    let loop_schema = r#"{"type":"record","name":"OrderStatus","fields":[
        {"name":"next","type":["null","OrderStatus"],"default":null}]}"#;
    let bytes = [&frame(9)[..], &[2; 100_000]].concat();
    let error = decode(9, loop_schema.to_owned(), &bytes).expect_err("too deep").to_string();
    assert!(error.contains("nest deeper"), "{error}");
}

#[test]
fn a_writer_schema_is_asked_for_once_and_an_unreachable_registry_is_retriable() {
    let older = changed(|schema| fields(schema).retain(|f| f["name"] != "version"));
    let bytes = written_by(&older, 9, |values| values.retain(|(n, _)| n != "version"));
    let registry = MemoryRegistry::with([(9, older)]);
    let codec = Codec::<OrderStatus>::new(1, Arc::clone(&registry) as Arc<dyn Registry>);

    *registry.down.lock().expect("not poisoned") = true;
    let error = codec.decode(&bytes).expect_err("down");
    assert!(error.is_retriable(), "{error}");
    assert_eq!(error.to_string(), "schema id 9 could not be looked up: schema registry http://registry: refused");

    *registry.down.lock().expect("not poisoned") = false;
    for _ in 0..3 {
        assert_eq!(codec.clone().decode(&bytes), Ok(status()));
    }
    assert_eq!(registry.asked.load(Ordering::Relaxed), 2);
}

#[test]
fn a_codec_holds_a_limited_number_of_writer_schemas() {
    let max = u32::try_from(WRITER_SCHEMAS_MAX).expect("small");
    let own = OrderStatus::schema_json().to_owned();
    let registry = MemoryRegistry::with((100..=100 + max).map(|id| (id, own.clone())));
    let codec = Codec::<OrderStatus>::new(1, registry);
    let mut body = Vec::new();
    status().encode_body(&mut body);
    for id in 100..100 + max {
        assert_eq!(codec.decode(&[&frame(id)[..], &body].concat()), Ok(status()));
    }
    let result = codec.decode(&[&frame(100 + max)[..], &body].concat());
    assert_eq!(result, Err(DecodeError::TooManyWriters { id: 100 + max, max: WRITER_SCHEMAS_MAX }));
}

#[test]
fn public_topics_take_the_registrys_id_and_internal_ones_never() {
    let registry: Arc<dyn Registry> = MemoryRegistry::with([]);
    let public = Codec::for_topic(&topics::ORDER_STATUS, "shop-", &registry).expect("has an id");
    assert_eq!(public.id(), 77);
    // The registry would fail this test if it were asked for this subject.
    let internal = Codec::for_topic(&topics::STOCK_REQUESTS, "shop-", &registry).expect("has an id");
    assert_eq!(internal.id(), 1_000_001_000);
}
