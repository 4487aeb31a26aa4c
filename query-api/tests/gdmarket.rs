//! The resources of gdmarket over the real topology.

mod support;

use axum::http::Method;
use serde_json::{Value, json};
use support::Provider;
use support::client::Client;

async fn market(provider: Provider) -> Client {
    let client = Client::with(&["gdmarket"], provider);
    client.post("/items", r#"{"id":"drill","name":"Drill","fee":"3000"}"#).await.expect(201);
    client
}

async fn request(client: &Client, id: &str) -> Value {
    let body = json!({"id": id, "itemId": "drill", "renterId": "r1"}).to_string();
    client.post("/rentals", &body).await.expect(201).json()
}

async fn settled(client: &Client, id: &str) -> Value {
    client.get(&format!("/rentals/{id}?wait=5&until=settled")).await.expect(200).json()
}

#[tokio::test]
async fn an_item_is_rented_paid_brought_back_and_deleted() {
    let client = market(Provider::Approves).await;
    let rental = request(&client, "a").await;
    assert!(["PAID", "RENTED"].contains(&rental["status"].as_str().unwrap()), "waited for the payment: {rental}");
    assert_eq!(settled(&client, "a").await["status"], "RENTED");
    let item = client.get("/items/drill").await.expect(200).json();
    assert_eq!((&item["status"], &item["rentalId"]), (&json!("RENTED"), &json!("a")));
    assert_eq!(client.get("/itemviews/drill").await.expect(200).json()["rentals"], 1);
    assert_eq!(client.get("/payments/a").await.expect(200).json()["status"], "APPROVED");

    let refused = client.delete("/items/drill").await.expect(200).json();
    assert_eq!((&refused["verdict"], &refused["status"]), (&json!("REFUSED"), &json!("RENTED")));
    let second = request(&client, "b").await;
    assert_eq!((&second["status"], &second["reason"]), (&json!("CANCELLED"), &json!("NOT_AVAILABLE")));

    client.patch("/rentals/a", r#"{"status":"LOST"}"#).await.expect(400);
    client.patch("/rentals/a", r#"{"status":"RETURNED"}"#).await.expect(200);
    assert_eq!(settled(&client, "a").await["status"], "RETURNED");
    assert_eq!(client.get("/items/drill").await.json()["status"], "AVAILABLE");
    let late = client.delete("/rentals/a").await.expect(200).json();
    assert_eq!(late["verdict"], "REFUSED", "nothing is left to cancel: {late}");
    assert_eq!(client.delete("/items/drill").await.expect(200).json()["status"], "DELETED");
    assert_eq!(request(&client, "c").await["reason"], "DELETED");
}

#[tokio::test]
async fn a_payment_and_a_request_can_be_cancelled() {
    let client = market(Provider::Approves).await;
    request(&client, "a").await;
    settled(&client, "a").await;
    let cancelled = client.delete("/payments/a?reason=changed%20my%20mind").await.expect(200).json();
    assert_eq!(cancelled["reason"], "PAYMENT_CANCELLED");
    let done = settled(&client, "a").await;
    assert_eq!((&done["status"], &done["detail"]), (&json!("CANCELLED"), &json!("changed my mind")));
    assert_eq!(client.get("/payments/a").await.json()["status"], "REFUNDED");
    assert_eq!(client.get("/items/drill").await.json()["status"], "AVAILABLE");
    request(&client, "b").await;
    client.delete("/rentals/b").await.expect(200);
    assert_eq!(settled(&client, "b").await["reason"], "RENTER");
    client.delete("/rentals/none").await.expect(404);
}

#[tokio::test]
async fn a_put_off_payment_says_when_to_come_back() {
    let client = market(Provider::Down).await;
    let body = r#"{"id":"a","itemId":"drill","renterId":"r1"}"#;
    let put_off = client.call(Method::POST, "/rentals", &[], body).await.expect(201);
    assert_eq!(put_off.json()["status"], "PAYMENT_DEFERRED");
    let seconds: u64 = put_off.header("retry-after").parse().expect("Retry-After in seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(client.get("/payments/a").await.json()["deferred"], true);
    client.get("/rentals/a").await.expect(200).header("retry-after").parse::<u64>().expect("on reads as well");
}
