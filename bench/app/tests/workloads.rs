//! The workloads' rules without a broker, on the engine's test driver.

use std::path::Path;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Request, StatusCode};
use bench_app::format::Ids;
use bench_app::http::{self, Queries};
use bench_app::model::{
    CancelOrder, CancelReason, DeliveryStatus, OrderCommand, OrderStatus, PlaceOrder, RegisterProduct,
};
use bench_app::w2::{self, Formats};
use bench_app::{engine_only, local};
use streams::serde::Serde;
use streams::testing::TestDriver;
use tower::ServiceExt as _;

/// An order id that the payment provider declines: its CRC-32 is divisible by 20.
fn declined_id() -> String {
    (0..1000).map(|i| format!("ord-{i:09}")).find(|id| w2::declined(id)).expect("one in twenty is declined")
}

fn accepted_id() -> String {
    (0..1000).map(|i| format!("ord-{i:09}")).find(|id| !w2::declined(id)).expect("most are accepted")
}

struct Shop {
    driver: TestDriver,
    formats: Formats,
}

impl Shop {
    fn with_stock(stock: i32) -> Shop {
        let ids = Ids::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../peer/schemas/schema-ids.json")));
        let formats = Formats::new(&ids.expect("the peer's ids")).expect("all formats");
        let topology = w2::topology("test", &formats).expect("a topology");
        let mut shop = Shop { driver: TestDriver::new(topology, 4), formats };
        let product = RegisterProduct { product_id: "prod-0001".into(), name: "A product".into(), stock, price: 700 };
        let mut bytes = Vec::new();
        shop.formats.product_command.serialize(&product, &mut bytes).expect("it serializes");
        shop.driver.pipe("products", Some(b"prod-0001"), Some(&bytes), 1);
        shop
    }

    /// Writes commands about one order, all before the first is processed.
    fn send(&mut self, id: &str, commands: &[OrderCommand]) {
        for command in commands {
            let mut bytes = Vec::new();
            self.formats.order_command.serialize(command, &mut bytes).expect("it serializes");
            self.driver.produce("orders", Some(id.as_bytes()), Some(&bytes), 10);
        }
        self.driver.run();
    }

    fn deliveries(&mut self) -> Vec<DeliveryStatus> {
        let read = self.driver.read("deliveries");
        let status = |value: &[u8]| self.formats.delivery_event.deserialize(value).expect("a delivery").status;
        read.iter().map(|r| status(r.value.as_deref().expect("a value"))).collect()
    }

    fn cancellations(&mut self) -> Vec<CancelReason> {
        let read = self.driver.read("cancellations");
        let reason = |value: &[u8]| self.formats.cancellation.deserialize(value).expect("a cancellation").reason;
        read.iter().map(|r| reason(r.value.as_deref().expect("a value"))).collect()
    }

    fn stock(&mut self) -> i32 {
        self.stored(w2::STOCK_STORE, "prod-0001", |f, bytes| f.stock_view.deserialize(bytes).expect("a product").stock)
    }

    fn status(&mut self, id: &str) -> OrderStatus {
        self.stored(w2::ORDERS_STORE, id, |f, bytes| f.order_view.deserialize(bytes).expect("an order").status)
    }

    fn stored<T>(&mut self, store: &str, key: &str, read: impl FnOnce(&Formats, &[u8]) -> T) -> T {
        let view = self.driver.view().clone();
        let partition = streams::partitioner::partition_for_key(key.as_bytes(), 4);
        let (index, _) = view.store(store).expect("the store");
        let (bytes, _) = view.get(index, partition, key.as_bytes()).expect("readable").expect("an entry");
        read(&self.formats, &bytes)
    }
}

fn place(id: &str) -> OrderCommand {
    let product_id = "prod-0001".into();
    let (customer_id, size) = ("cust-00001".into(), "M".into());
    PlaceOrder { order_id: id.into(), customer_id, product_id, size, qty: 3, price: 700, placed_at: 10 }.into()
}

fn cancel(id: &str) -> OrderCommand {
    CancelOrder { order_id: id.into(), reason: "changed my mind".into(), requested_at: 11 }.into()
}

#[test]
fn an_order_is_delivered_once_however_often_it_is_placed() {
    let (mut shop, id) = (Shop::with_stock(10), accepted_id());
    shop.send(&id, &[place(&id), place(&id)]);
    assert_eq!(shop.deliveries(), [DeliveryStatus::Started]);
    assert_eq!(shop.status(&id), OrderStatus::DeliveryStarted);
    assert_eq!(shop.stock(), 7);
}

#[test]
fn what_is_out_of_stock_is_cancelled() {
    let (mut shop, id) = (Shop::with_stock(2), accepted_id());
    shop.send(&id, &[place(&id)]);
    assert_eq!(shop.cancellations(), [CancelReason::OutOfStock]);
    assert_eq!(shop.stock(), 2);
}

#[test]
fn a_declined_payment_gives_the_stock_back() {
    let (mut shop, id) = (Shop::with_stock(10), declined_id());
    shop.send(&id, &[place(&id)]);
    assert_eq!(shop.cancellations(), [CancelReason::PaymentDeclined]);
    assert_eq!(shop.stock(), 10);
}

#[test]
fn a_cancellation_before_the_reservation_gives_the_stock_back() {
    let (mut shop, id) = (Shop::with_stock(10), accepted_id());
    shop.send(&id, &[place(&id), cancel(&id)]);
    assert_eq!(shop.cancellations(), [CancelReason::Customer]);
    assert_eq!(shop.deliveries(), []);
    assert_eq!(shop.stock(), 10);
}

#[test]
fn a_cancelled_delivery_gives_stock_and_money_back() {
    let (mut shop, id) = (Shop::with_stock(10), accepted_id());
    shop.send(&id, &[place(&id)]);
    shop.send(&id, &[cancel(&id)]);
    assert_eq!(shop.deliveries(), [DeliveryStatus::Started, DeliveryStatus::Cancelled]);
    assert_eq!(shop.status(&id), OrderStatus::DeliveryCancelled);
    assert_eq!(shop.stock(), 10);
    assert_eq!(shop.driver.read("payment-results").len(), 2, "a charge and a refund");
}

#[tokio::test]
async fn an_order_is_read_as_the_json_of_its_committed_state() {
    let (mut shop, id) = (Shop::with_stock(10), accepted_id());
    shop.send(&id, &[place(&id)]);
    let order = shop.stored(w2::ORDERS_STORE, &id, |f, bytes| f.order_view.deserialize(bytes).expect("an order"));
    let queries = Queries::new(shop.driver.view().clone(), &shop.formats, 4).expect("a view of W2");
    let router = http::router(queries);
    let get = async |path: String| {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = router.clone().oneshot(request).await.expect("an answer");
        let (status, content_type) = (answer.status(), answer.headers().get("content-type").cloned());
        (status, content_type, to_bytes(answer.into_body(), 10_000).await.expect("a body"))
    };
    let (status, content_type, body) = get(format!("/orders/{id}")).await;
    assert_eq!((status, content_type), (StatusCode::OK, Some(HeaderValue::from_static("application/json"))));
    assert_eq!(body, serde_json::to_vec(&order).expect("it serializes"));
    let (status, _, body) = get("/orders/ord-none".to_owned()).await;
    assert_eq!((status, body.len()), (StatusCode::NOT_FOUND, 0));
}

#[test]
fn the_engine_only_run_gives_every_order_one_outcome() {
    let report = engine_only::run(&engine_only_options()).expect("every order has exactly one outcome");
    assert_eq!(report.started + report.cancelled, 2_000);
    assert!(report.started > 0 && report.cancelled > 0, "{report:?}");
}

#[test]
fn orders_in_rounds_come_out_as_all_at_once() {
    let once = engine_only::run(&engine_only_options()).expect("a run");
    let options = engine_only::Options { round: 300, stages: true, ..engine_only_options() };
    let rounds = engine_only::run(&options).expect("a run in rounds");
    assert_eq!(
        rounds.rounds.iter().map(|(before, _)| *before).collect::<Vec<_>>(),
        [0, 300, 600, 900, 1200, 1500, 1800]
    );
    assert_eq!(rounds.started + rounds.cancelled, once.started + once.cancelled);
    let sum: f64 = rounds.stages.values().sum();
    assert!((sum / rounds.cpu_ns_per_order - 1.0).abs() < 0.01, "the stages are all of an order's time: {rounds:?}");
    assert!(["decode", "produce", "engine"].iter().all(|stage| rounds.stages[stage] > 0.0), "{rounds:?}");
}

fn engine_only_options() -> engine_only::Options {
    engine_only::Options {
        orders: 2_000,
        round: 2_000,
        products: 50,
        partitions: 4,
        padding_bytes: 0,
        schema_ids: concat!(env!("CARGO_MANIFEST_DIR"), "/../peer/schemas/schema-ids.json").into(),
        state_dir: None,
        stages: false,
        seed: 1,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_log_and_sqlite_leave_the_same_stock() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = local::Options {
        data_dir: directory.path().into(),
        seconds: 0.2,
        clients: vec![4],
        commit_min_interval_ms: None,
        schema_ids: concat!(env!("CARGO_MANIFEST_DIR"), "/../peer/schemas/schema-ids.json").into(),
    };
    let reports = local::run(&options).await.expect("the stock is what the orders leave");
    let cases: Vec<_> = reports.iter().map(|r| (r.store, r.sync)).collect();
    let wanted = [("orderflow", "always"), ("sqlite", "always"), ("orderflow", "interval"), ("sqlite", "interval")];
    assert_eq!(cases, wanted);
    assert!(reports.iter().all(|r| r.orders > 0 && r.accepted_ms.p50 <= r.done_ms.p50), "{reports:?}");
}
