//! The resources of fashion-store over the real topology: what the seeds' clients see.

mod support;

use std::time::Duration;

use axum::http::Method;
use query_api::platform::{AppendError, Owner};
use serde_json::json;
use streams::TaskId;
use streams::partitioner::partition_for_key;
use support::client::Client;
use support::{PARTITIONS, Provider};

/// httpie's `http POST :8088/orders productId="4000" size="S" qty=1 price=50000`, byte for byte.
const HTTPIE: &str = r#"{"productId": "4000", "size": "S", "qty": "1", "price": "50000"}"#;
/// siege's body from the seed.
const SIEGE: &str = r#"{"productId":"1500","qty":1,"size":"30","price":100}"#;

#[tokio::test]
async fn the_seeds_order_is_paid_delivered_and_taken_back() {
    let client = Client::start(Provider::Approves);
    client.post("/products", r#"{"id":"4000","name":"Shirt","price":50000,"stock":3}"#).await.expect(201);
    let placed = client.post("/orders", HTTPIE).await.expect(201);
    assert!(
        ["PAID", "DELIVERY_STARTED"].contains(&placed.json()["status"].as_str().unwrap()),
        "waited for the payment"
    );
    let order = placed.json();
    let id = order["id"].as_str().unwrap();
    assert_eq!(placed.header("location"), format!("/orders/{id}"));
    assert_eq!(placed.header("content-type"), "application/hal+json");
    assert_eq!((&order["qty"], &order["price"], &order["size"]), (&json!(1), &json!(50_000), &json!("S")));
    let href = json!({ "href": format!("http://shop.example:8088/orders/{id}") });
    assert_eq!((&order["_links"]["self"], &order["_links"]["order"]), (&href, &href));

    let order = client.get(&format!("/orders/{id}?wait=5&until=settled")).await.expect(200).json();
    let steps = order["history"].as_array().unwrap().iter().map(|s| s["status"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(steps, ["ORDERED", "STOCK_RESERVED", "PAID", "DELIVERY_STARTED"]);
    assert_eq!(client.get(&format!("/dashboards/{id}")).await.expect(200).json()["status"], "DELIVERY_STARTED");
    assert_eq!(client.get(&format!("/payments/{id}")).await.expect(200).json()["status"], "APPROVED");
    assert_eq!(client.get(&format!("/deliveries/{id}")).await.expect(200).json()["status"], "STARTED");
    assert_eq!(client.get("/products/4000").await.expect(200).json()["stock"], 2);

    let cancelled = client.delete(&format!("/fashion-store/orders/{id}")).await.expect(200).json();
    let href = format!("http://shop.example:8088/fashion-store/orders/{id}");
    assert_eq!(cancelled["_links"]["self"]["href"], href, "links stay under the mount that was used");
    client.order("orders").await.expect(201);
    let link = &client.get("/orders/orders").await.expect(200).json()["_links"]["self"]["href"];
    assert_eq!(link, "http://shop.example:8088/orders/orders", "whatever the id is");
    let settled = client.get(&format!("/orders/{id}?wait=5&until=settled")).await.expect(200).json();
    assert_eq!((&settled["status"], &settled["reason"]), (&json!("CANCELLED"), &json!("CUSTOMER")));
    assert_eq!(client.get(&format!("/payments/{id}")).await.expect(200).json()["status"], "REFUNDED");
    assert_eq!(client.get("/products/4000").await.expect(200).json()["stock"], 3);
}

#[tokio::test]
async fn a_business_refusal_is_no_error() {
    let client = Client::start(Provider::Declines);
    let unknown = client.post("/orders", SIEGE).await.expect(201).json();
    assert_eq!((&unknown["status"], &unknown["reason"]), (&json!("CANCELLED"), &json!("UNKNOWN_PRODUCT")));
    let id = unknown["id"].as_str().unwrap();
    client.get(&format!("/payments/{id}")).await.expect(404);
    client.product().await;
    let declined = client.order("o1").await.expect(201).json();
    let settled = client.get("/orders/o1?wait=5&until=settled").await.expect(200).json();
    assert_eq!(settled["reason"], "PAYMENT_DECLINED", "{declined}");
    assert_eq!(client.get("/products/p1").await.json()["stock"], 100);
}

#[tokio::test]
async fn a_put_off_payment_is_an_outcome_and_wait_says_the_state_so_far() {
    let client = Client::start(Provider::Down);
    client.product().await;
    let put_off = client.post("/orders", r#"{"productId":"p1","qty":1,"price":100}"#).await.expect(201).json();
    assert_eq!(put_off["status"], "PAYMENT_DEFERRED");
    client.fake.provider(Provider::Hangs);
    let body = r#"{"productId":"p1","qty":1,"price":100}"#;
    let so_far = client.call(Method::POST, "/orders", &[("prefer", "wait=0.05")], body).await.expect(201);
    assert_eq!(so_far.header("preference-applied"), "wait=0.05");
    assert_eq!(so_far.json()["status"], "STOCK_RESERVED");
}

#[tokio::test]
async fn repeating_a_command_is_safe() {
    let client = Client::start(Provider::Approves);
    client.product().await;
    let body = r#"{"productId":"p1","qty":1,"price":100}"#;
    let key = [("idempotency-key", "\"k-1\"")];
    let first = client.call(Method::POST, "/orders", &key, body).await.expect(201);
    let again = client.call(Method::POST, "/orders", &key, body).await.expect(201);
    assert_eq!(first.json()["id"], again.json()["id"], "the same key is the same order");
    assert_eq!(first.json()["placedAt"], again.json()["placedAt"]);
    let other = r#"{"productId":"p1","qty":2,"price":100}"#;
    client.call(Method::POST, "/orders", &key, other).await.expect(409);
    assert_eq!(client.get("/products/p1").await.json()["stock"], 99, "one piece, once");

    client.order("o1").await.expect(201);
    client.order("o1").await.expect(200);
    assert_eq!(client.get("/products/p1").await.json()["stock"], 98);
    client.post("/orders", r#"{"id":"o1","productId":"p1","size":"M","qty":1,"price":100}"#).await.expect(409);
}

#[tokio::test]
async fn an_append_without_answer_says_under_which_id_to_repeat() {
    let client = Client::start(Provider::Approves);
    client.product().await;
    client.fake.fail_appends(Some(AppendError::Timeout(Duration::from_secs(1))));
    let body = r#"{"productId":"p1","qty":1,"price":100}"#;
    let refused = client.post("/orders", body).await.expect(503);
    assert_eq!(refused.header("retry-after"), "1");
    let id = refused.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(refused.header("orderflow-id"), id);
    client.fake.fail_appends(None);
    let body = format!(r#"{{"id":"{id}","productId":"p1","qty":1,"price":100}}"#);
    assert_eq!(client.post("/orders", &body).await.expect(201).json()["id"], id);
}

#[tokio::test]
async fn a_command_that_no_one_judges_is_accepted_and_told_later() {
    let client = Client::start(Provider::Approves);
    client.product().await;
    client.fake.hold(true);
    let body = r#"{"id":"o1","productId":"p1","qty":1,"price":100}"#;
    let taken = client.call(Method::POST, "/orders", &[("prefer", "respond-async")], body).await.expect(202);
    assert_eq!(taken.header("location"), "/orders/o1");
    assert_eq!(taken.header("preference-applied"), "respond-async");
    let command = taken.json()["_links"]["command"]["href"].as_str().unwrap().to_owned();
    let command = command.strip_prefix("http://shop.example:8088").unwrap().to_owned();
    client.get(&command).await.expect(404);
    client.get("/orders/o1").await.expect(404);
    client.fake.hold(false);
    let judged = client.get(&format!("{command}?wait=5&until=settled")).await.expect(201);
    assert_eq!(judged.json()["status"], "DELIVERY_STARTED");
}

#[tokio::test]
async fn a_position_makes_a_read_see_the_write() {
    let client = Client::start(Provider::Approves);
    client.product().await;
    client.fake.hold(true);
    let body = r#"{"id":"o1","productId":"p1","qty":1,"price":100}"#;
    let taken = client.call(Method::POST, "/orders", &[("prefer", "respond-async")], body).await.expect(202);
    let token = taken.header("orderflow-position").to_owned();
    for path in ["/orders/o1", "/dashboards/o1", "/orders", "/dashboards", "/stores/orders/o1"] {
        client.get(&format!("{path}?wait=0&min-position={token}")).await.expect(504);
    }
    // What cannot be promised is refused, before any wait.
    client.get(&format!("/deliveries/o1?min-position={token}")).await.expect(400);
    client.get(&format!("/products?min-position={token}")).await.expect(400);
    let reader = client.clone();
    let path = format!("/orders/o1?wait=10&min-position={token}");
    let read = tokio::spawn(async move { reader.get(&path).await });
    client.fake.hold(false);
    assert_eq!(read.await.unwrap().expect(200).json()["id"], "o1");
    client.get(&format!("/dashboards/o1?min-position={token}")).await.expect(200);
    assert_eq!(client.get(&format!("/orders?min-position={token}")).await.json()["page"]["totalElements"], 1);
}

/// Waiters register while commits land, over and over: none may sleep through the commit it waits for. A lost wake-up
/// would show as an answer that took until the poll of owners, or the whole wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_waiter_sleeps_through_its_commit() {
    let client = Client::start(Provider::Approves);
    client.product().await;
    for round in 0..40 {
        let id = format!("race-{round}");
        let many: Vec<_> = (0..5)
            .map(|_| {
                let (client, path) = (client.clone(), format!("/orders/{id}?wait=30&until=settled"));
                tokio::spawn(async move { client.get(&path).await })
            })
            .collect();
        client.order(&id).await.expect(201);
        for waiter in many {
            assert_eq!(waiter.await.unwrap().expect(200).json()["status"], "DELIVERY_STARTED");
        }
    }
}

#[tokio::test]
async fn without_an_owner_a_read_says_so_and_a_command_is_taken() {
    let client = Client::start(Provider::Approves);
    client.product().await;
    let task = TaskId { subtopology: 0, partition: partition_for_key(b"o1", PARTITIONS) };
    client.fake.set_owner(task, Owner::Unknown);
    let refused = client.get("/orders/o1").await.expect(503);
    assert_eq!(refused.header("retry-after"), "1");
    client.get("/orders/o1?wait=0.01").await.expect(503);
    client.get("/orders").await.expect(503);
    let body = r#"{"id":"o1","productId":"p1","qty":1,"price":100}"#;
    client.call(Method::POST, "/orders", &[("prefer", "respond-async")], body).await.expect(202);
    client.fake.set_owner(task, Owner::Here);
    client.get("/orders/o1?wait=5&until=settled").await.expect(200);
}

#[tokio::test]
async fn collections_are_paged_as_spring_data_rest_pages_them() {
    let client = Client::start(Provider::Approves);
    client.product().await;
    for i in 0..7 {
        client.order(&format!("o{i}")).await.expect(201);
    }
    let page = client.get("/orders?page=1&size=3").await.expect(200).json();
    let ids = |page: &serde_json::Value| {
        page["_embedded"]["orders"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| o["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&page), ["o3", "o4", "o5"]);
    assert_eq!(page["page"], json!({"size":3,"totalElements":7,"totalPages":3,"number":1}));
    let links = page["_links"].as_object().unwrap();
    assert_eq!(links.keys().collect::<Vec<_>>(), ["first", "prev", "self", "next", "last", "profile"]);
    assert_eq!(links["next"]["href"], "http://shop.example:8088/orders?page=2&size=3");
    let next = links["next"]["href"].as_str().unwrap().strip_prefix("http://shop.example:8088").unwrap();
    assert_eq!(ids(&client.get(next).await.json()), ["o6"]);
    let newest = client.get("/orders?size=2&sort=id,desc").await.json();
    assert_eq!(ids(&newest), ["o6", "o5"]);
    assert_eq!(ids(&client.get("/orders?page=9&size=3").await.expect(200).json()).len(), 0);
    let profile = links["profile"]["href"].as_str().unwrap().strip_prefix("http://shop.example:8088").unwrap();
    client.get(profile).await.expect(200);
    for collection in ["products", "payments", "deliveries", "dashboards"] {
        let page = client.get(&format!("/{collection}")).await.expect(200).json();
        assert!(!page["_embedded"][collection].as_array().unwrap().is_empty(), "{collection}");
    }
}
