//! Nanoseconds and allocations per record of the hot path, beside apache-avro's value path on the same records:
//! `cargo run --release -p schemas --example codec_bench`. Best of several rounds, so that a busy machine disturbs less.

#[path = "../tests/support/counting.rs"]
#[allow(dead_code)] // the tests use more of it
mod counting;

use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use schemas::fashion::{OrderCommand, OrderStage, OrderState, OrderStatus, PlaceOrder};
use schemas::payment::{PaymentOutcome, PaymentRequestKind, PaymentResult};
use schemas::{AvroRecord, Codec};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// Records per round, and rounds, the fastest of which counts.
const RECORDS: usize = 4_096;
const ROUNDS: usize = 15;

/// What one path costs per record.
struct Cost {
    ns: f64,
    allocations: f64,
}

/// Runs `f` over all records; `f` gets the record's number.
fn measure(mut f: impl FnMut(usize)) -> Cost {
    let mut ns = f64::INFINITY;
    let mut allocations = 0.0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let ((), counts) = counting::count(|| (0..RECORDS).for_each(&mut f));
        ns = ns.min(start.elapsed().as_nanos() as f64 / RECORDS as f64);
        allocations = counts.calls as f64 / RECORDS as f64;
    }
    Cost { ns, allocations }
}

fn bench<T: AvroRecord>(out: &mut impl std::io::Write, make: impl Fn(usize) -> T) -> std::io::Result<()> {
    let codec = Codec::<T>::fixed();
    let records: Vec<T> = (0..RECORDS).map(make).collect();
    let framed: Vec<Vec<u8>> = records.iter().map(|record| codec.to_vec(record)).collect();
    let size = framed.iter().map(Vec::len).sum::<usize>() as f64 / RECORDS as f64 - 5.0;

    let mut buffer = Vec::with_capacity(1_024);
    let encode = measure(|i| {
        buffer.clear();
        codec.encode(black_box(&records[i]), &mut buffer);
        black_box(&buffer);
    });
    let decode = measure(|i| drop(black_box(codec.decode(black_box(&framed[i])))));

    let schema = Schema::parse_str(T::schema_json()).expect("our own .avsc parses");
    let reader = GenericDatumReader::builder(&schema).build().expect("our own .avsc resolves");
    let writer = GenericDatumWriter::builder(&schema).build().expect("our own .avsc resolves");
    let values: Vec<_> = framed.iter().map(|f| reader.read_value(&mut &f[5..]).expect("decodes")).collect();
    let their_encode = measure(|i| {
        buffer.clear();
        writer.write_value_ref(&mut buffer, black_box(&values[i])).expect("encodes");
    });
    let their_decode = measure(|i| drop(black_box(reader.read_value(&mut black_box(&framed[i][5..])))));

    let name = T::NAME.rsplit('.').next().unwrap_or(T::NAME);
    for (path, encode, decode) in [("ours", encode, decode), ("apache-avro Value", their_encode, their_decode)] {
        let (e, d) = (encode.ns, decode.ns);
        let (ea, da) = (encode.allocations, decode.allocations);
        writeln!(out, "{name:<14} {size:>5.0}  {path:<18} {e:>9.1} {ea:>7.1} {d:>12.1} {da:>7.1}")?;
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "record         bytes  path               encode ns  allocs    decode ns  allocs")?;
    bench(&mut out, |i| OrderCommand {
        command: PlaceOrder {
            command_id: format!("c-{i:08}"),
            order_id: format!("order-{i:08}"),
            customer_id: format!("customer-{:05}", i % 10_000),
            product_id: format!("{}", 1_000 + i % 500),
            size: "XL".to_owned(),
            qty: 1 + (i % 5) as i32,
            price: 50_000 + i as i64,
            placed_at: 1_795_000_000_000 + i as i64,
        }
        .into(),
    })?;
    bench(&mut out, |i| OrderStatus {
        order_id: format!("order-{i:08}"),
        customer_id: format!("customer-{:05}", i % 10_000),
        product_id: format!("{}", 1_000 + i % 500),
        size: "XL".to_owned(),
        qty: 1 + (i % 5) as i32,
        price: 50_000 + i as i64,
        status: OrderState::Paid,
        reason: None,
        stage: OrderStage::Payment,
        version: 3,
        at: 1_795_000_000_000 + i as i64,
    })?;
    bench(&mut out, |i| PaymentResult {
        outcome: PaymentOutcome::Approved,
        correlation_id: format!("order-{i:08}"),
        request_kind: PaymentRequestKind::Charge,
        idempotency_key: format!("order-{i:08}-charge"),
        amount: 50_000 + i as i64,
        attempt: 1,
        reason: None,
        provider_reference: Some(format!("pg-{i:010}")),
        at: 1_795_000_000_000 + i as i64,
    })?;
    out.flush()
}
