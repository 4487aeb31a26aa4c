//! A thousand want one thing at once: exactly one gets it, and every other is told.

mod support;

use axum::http::Method;
use futures_util::future::join_all;
use serde_json::{Value, json};
use support::Provider;
use support::client::Client;

const MANY: usize = 1_000;
const SETTLED: &[(&str, &str)] = &[("prefer", "wait=60")];

/// A thousand requests at once. With the preference each is answered once everything about it is settled.
async fn all_at_once(
    client: &Client,
    path: &str,
    prefer: &'static [(&'static str, &'static str)],
    body: impl Fn(usize) -> Value,
) -> Vec<Value> {
    let asked = (0..MANY).map(|n| {
        let (client, path, body) = (client.clone(), path.to_owned(), body(n).to_string());
        tokio::spawn(async move { client.call(Method::POST, &path, prefer, &body).await })
    });
    join_all(asked).await.into_iter().map(|answer| answer.unwrap().json()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_drivers_one_has_the_call() {
    let client = Client::with(&["taxi"], Provider::Approves);
    client.post("/passengers", r#"{"id":"c1","startLocation":"a","endLocation":"b"}"#).await.expect(201);
    client.get("/calls/c1?wait=10").await.expect(200);
    let body = |n| json!({"callId": "c1", "driverId": format!("d{n}")});
    let answers = all_at_once(&client, "/taxis/accept", SETTLED, body).await;
    let (won, told): (Vec<&Value>, Vec<&Value>) = answers.iter().partition(|answer| answer["accepted"] == true);
    assert_eq!((won.len(), told.len()), (1, MANY - 1));
    assert!(told.iter().all(|answer| answer["message"] == "배차완료된 콜입니다"));
    let seen = client.get("/passengers/c1?wait=10&until=settled").await.expect(200).json();
    assert_eq!(seen["driverId"], won[0]["driverId"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_renters_one_has_the_item() {
    let client = Client::with(&["gdmarket"], Provider::Approves);
    client.post("/items", r#"{"id":"drill","name":"Drill","fee":3000}"#).await.expect(201);
    let body = |n| json!({"id": format!("r{n}"), "itemId": "drill"});
    let answers = all_at_once(&client, "/rentals", SETTLED, body).await;
    let (won, told): (Vec<&Value>, Vec<&Value>) = answers.iter().partition(|answer| answer["status"] == "RENTED");
    assert_eq!((won.len(), told.len()), (1, MANY - 1));
    assert!(told.iter().all(|answer| answer["status"] == "CANCELLED" && answer["reason"] == "NOT_AVAILABLE"));
    assert_eq!(client.get("/items/drill").await.json()["rentalId"], won[0]["id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_members_one_has_the_book() {
    let client = Client::with(&["ebook-rental"], Provider::Approves);
    client.post("/books", r#"{"id":"b1","bookName":"Hello, JAVA","rentalFee":3000}"#).await.expect(201);
    let body = |n| json!({"id": format!("r{n}"), "userId": n, "bookId": "b1"});
    // The one that has it waits for the librarian: it is not settled, but its payment is.
    let answers = all_at_once(&client, "/rents", &[], body).await;
    let (won, told): (Vec<&Value>, Vec<&Value>) = answers.iter().partition(|answer| answer["status"] == "PAID");
    assert_eq!((won.len(), told.len()), (1, MANY - 1));
    assert!(told.iter().all(|answer| answer["status"] == "CANCELED" && answer["reason"] == "TAKEN_BY_ANOTHER"));
    assert_eq!(client.get("/books/b1").await.json()["rentId"], won[0]["id"]);
}
