//! Shared by the tests: the list of all record types, and values generated from their schemas.
#![allow(dead_code)] // every test binary uses its part

pub(crate) mod counting;

use apache_avro::Schema;
use apache_avro::schema::{NamesRef, ResolvedSchema};
use apache_avro::types::Value;
use proptest::prelude::*;
use proptest::strategy::Union;
use schemas::AvroRecord;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Something done to every record type.
pub(crate) trait Visitor {
    /// Called once per type.
    fn visit<T: Record>(&mut self);
}

/// What every record type can do.
pub(crate) trait Record:
    AvroRecord + Clone + std::fmt::Debug + PartialEq + Serialize + DeserializeOwned
{
}
impl<T: AvroRecord + Clone + std::fmt::Debug + PartialEq + Serialize + DeserializeOwned> Record for T {}

/// Visits every record type; `catalog.rs` proves that none is missing.
pub(crate) fn visit_all(visitor: &mut impl Visitor) {
    macro_rules! visit {
        ( $( [ $( $module:tt )+ ] $( $type:ident )+; )+ ) => { $( {
            use schemas::$( $module )+::*;
            $( visitor.visit::<$type>(); )+
        } )+ };
    }
    visit! {
        [payment] PaymentRequest PaymentResult;
        [fashion] ProductCommand OrderCommand StockRequest StockResult DeliveryRequest DeliveryEvent OrderCancelled
            OrderStatus;
        [gdmarket] ItemCommand RentalCommand ItemRequest ItemResult RentalEvent RentalStatus ItemStatus;
        [taxi] PassengerCommand DriverCommand CallRequest CallResult CallEvent CallStatus;
        [ebook] BookCommand RentCommand DecisionCommand BookRequest BookResult ApprovalRequest ApprovalResult RentEvent RentStatus;
    }
    macro_rules! visit_stored {
        ( $( $type:path )+ ) => { $( visitor.visit::<$type>(); )+ };
    }
    use schemas::ebook::state as ebook;
    use schemas::fashion::state as fashion;
    use schemas::gdmarket::state as gdmarket;
    use schemas::state as common;
    use schemas::taxi::state as taxi;
    visit_stored! {
        common::Payment common::CommandOutcome common::Hold
        fashion::Order fashion::Dashboard fashion::Product fashion::Reservation fashion::Delivery
        gdmarket::Rental gdmarket::Item gdmarket::ItemView
        taxi::Passenger taxi::Call
        ebook::Rent ebook::Book ebook::Approval ebook::Dashboard
    }
}

/// Any value that a schema allows; strings stay short, numbers lean to the edges of their range.
pub(crate) fn values(schema: &Schema) -> BoxedStrategy<Value> {
    let resolved = ResolvedSchema::try_from(schema).expect("schema resolves");
    values_in(schema, resolved.get_names())
}

fn values_in(schema: &Schema, names: &NamesRef<'_>) -> BoxedStrategy<Value> {
    match schema {
        Schema::Null => Just(Value::Null).boxed(),
        Schema::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        Schema::Int => edgy(i64::from(i32::MIN), i64::from(i32::MAX)).prop_map(|n| Value::Int(n as i32)).boxed(),
        Schema::Long => edgy(i64::MIN, i64::MAX).prop_map(Value::Long).boxed(),
        Schema::TimestampMillis => edgy(i64::MIN, i64::MAX).prop_map(Value::TimestampMillis).boxed(),
        Schema::String => {
            prop_oneof![4 => "[a-z0-9-]{0,12}", 1 => ".{0,6}", 1 => "[가-힣]{60,90}"].prop_map(Value::String).boxed()
        }
        Schema::Enum(schema) => {
            let symbols = schema.symbols.clone();
            (0..symbols.len()).prop_map(move |i| Value::Enum(i as u32, symbols[i].clone())).boxed()
        }
        Schema::Union(union) => Union::new(union.variants().iter().enumerate().map(|(i, variant)| {
            values_in(variant, names).prop_map(move |value| Value::Union(i as u32, Box::new(value))).boxed()
        }))
        .boxed(),
        Schema::Array(array) => {
            prop::collection::vec(values_in(&array.items, names), 0..4).prop_map(Value::Array).boxed()
        }
        Schema::Record(record) => record
            .fields
            .iter()
            .fold(Just(Vec::new()).boxed(), |fields, field| {
                let name = field.name.clone();
                (fields, values_in(&field.schema, names))
                    .prop_map(move |(mut fields, value)| {
                        fields.push((name.clone(), value));
                        fields
                    })
                    .boxed()
            })
            .prop_map(Value::Record)
            .boxed(),
        Schema::Ref { name } => values_in(names.get(name).expect("name is defined"), names),
        other => panic!("no generator for {other:?}: add one"),
    }
}

fn edgy(low: i64, high: i64) -> impl Strategy<Value = i64> + Clone {
    prop_oneof![Just(low), Just(high), -70_i64..70, low..=high]
}

/// The record type's schema, parsed.
pub(crate) fn schema<T: AvroRecord>() -> Schema {
    Schema::parse_str(T::schema_json()).unwrap_or_else(|e| panic!("{}: {e}", T::NAME))
}

/// A value as apache-avro writes it.
pub(crate) fn apache_bytes(schema: &Schema, value: &Value) -> Vec<u8> {
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(schema).build().expect("schema resolves");
    writer.write_value_to_vec(value.clone()).expect("value fits its schema")
}

/// Bytes as apache-avro reads them.
pub(crate) fn apache_value(schema: &Schema, mut bytes: &[u8]) -> Value {
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(schema).build().expect("schema resolves");
    reader.read_value(&mut bytes).expect("bytes fit their schema")
}
