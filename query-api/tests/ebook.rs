//! The resources of ebook-rental over the real topology: what the seed's clients see.

mod support;

use serde_json::{Value, json};
use support::Provider;
use support::client::Client;

/// siege's body from the seed; httpie's says the same with strings.
const RENT: &str = r#"{"userId":1, "bookId":1, "bookName":"Hello, JAVA", "rentalFee":3000}"#;

async fn library(provider: Provider) -> Client {
    let client = Client::with(&["ebook-rental"], provider);
    client.post("/books", r#"{"id":"1","bookName":"Hello, JAVA","rentalFee":"3000"}"#).await.expect(201);
    client
}

async fn paid(client: &Client) -> String {
    let rent = client.post("/rents", RENT).await.expect(201).json();
    let id = rent["id"].as_str().unwrap().to_owned();
    client.get(&format!("/approvals/{id}?wait=5")).await.expect(200);
    id
}

async fn settled(client: &Client, id: &str) -> Value {
    client.get(&format!("/rents/{id}?wait=5&until=settled")).await.expect(200).json()
}

#[tokio::test]
async fn a_book_is_rented_paid_approved_and_brought_back() {
    let client = library(Provider::Approves).await;
    let id = paid(&client).await;
    let seen = client.get(&format!("/rents/{id}")).await.expect(200).json();
    assert_eq!((&seen["status"], &seen["userId"]), (&json!("PAID"), &json!("1")));
    assert_eq!(client.get(&format!("/payments/{id}")).await.expect(200).json()["status"], "PAID");
    assert_eq!(client.get("/waitingapprovals").await.json()["page"]["totalElements"], 1);
    let approved =
        client.patch(&format!("/rents/{id}"), r#"{"status":"APPROVED","librarianId":"l1"}"#).await.expect(200).json();
    assert_eq!((&approved["status"], &approved["librarianId"]), (&json!("APPROVED"), &json!("l1")));
    assert_eq!(client.get("/waitingapprovals").await.json()["page"]["totalElements"], 0);
    assert_eq!(settled(&client, &id).await["status"], "APPROVED");
    let late = client.patch(&format!("/rents/{id}"), r#"{"status":"REJECTED"}"#).await.expect(200).json();
    assert_eq!((&late["verdict"], &late["status"]), (&json!("REFUSED"), &json!("APPROVED")));
    client.patch(&format!("/rents/{id}"), r#"{"status":"RETURNED"}"#).await.expect(200);
    assert_eq!(settled(&client, &id).await["status"], "RETURNED");
    let row = client.get(&format!("/dashboards/{id}")).await.expect(200).json();
    for date in ["rentedDate", "paidDate", "approvedDate", "returnedDate"] {
        assert!(row[date].is_i64(), "{date} of {row}");
    }
    assert_eq!((&row["canceledDate"], &row["status"]), (&Value::Null, &json!("RETURNED")));
    assert_eq!(client.get("/books/1").await.json()["status"], "POSSIBLE");
}

#[tokio::test]
async fn a_rejected_rent_is_paid_back_and_the_book_is_free() {
    let client = library(Provider::Approves).await;
    let id = paid(&client).await;
    let other = client.post("/rents", RENT).await.expect(201).json();
    assert_eq!((&other["status"], &other["reason"]), (&json!("CANCELED"), &json!("TAKEN_BY_ANOTHER")));
    client.patch(&format!("/rents/{id}"), r#"{"status":"REJECTED","reason":"reserved"}"#).await.expect(200);
    let rent = settled(&client, &id).await;
    assert_eq!((&rent["status"], &rent["reason"]), (&json!("CANCELED"), &json!("REJECTED")));
    assert_eq!(client.get(&format!("/payments/{id}")).await.json()["status"], "REFUNDED");
    assert_eq!(client.get("/books/1").await.json()["status"], "POSSIBLE");
}

#[tokio::test]
async fn an_unpaid_rent_is_not_approved() {
    let client = library(Provider::Down).await;
    let rent = client.post("/rents", RENT).await.expect(201);
    assert_eq!(rent.json()["status"], "PAYMENT_DEFERRED");
    rent.header("retry-after").parse::<u64>().expect("Retry-After in seconds");
    let id = rent.json()["id"].as_str().unwrap().to_owned();
    let refused = client.patch(&format!("/rents/{id}"), r#"{"status":"APPROVED"}"#).await.expect(200).json();
    assert_eq!(refused["verdict"], "REFUSED", "the librarian has not been asked: {refused}");
    assert_eq!((&refused["id"], &refused["status"]), (&json!(id), &json!("PAYMENT_DEFERRED")), "the rent as it is");
    assert_eq!(refused["_links"]["self"]["href"], format!("http://shop.example:8088/rents/{id}"));
}
