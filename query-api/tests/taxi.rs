//! The resources of taxi over the real topology: what the seed's clients see.

mod support;

use axum::http::Method;
use futures_util::StreamExt;
use serde_json::{Value, json};
use support::Provider;
use support::client::Client;

/// httpie's `http POST :8088/passengers startLocation=서울역 endLocation=강남역 status=call`, byte for byte.
const CALL: &str = r#"{"startLocation": "서울역", "endLocation": "강남역", "status": "call"}"#;

fn desk() -> Client {
    Client::with(&["taxi"], Provider::Approves)
}

fn accept(call: &str, driver: &str) -> String {
    json!({"callId": call, "driverId": driver, "startLocation": "서울역", "endLocation": "강남역", "status": "accept"})
        .to_string()
}

async fn called(client: &Client, id: &str) -> Value {
    let body =
        json!({"id": id, "passengerId": "p1", "startLocation": "서울역", "endLocation": "강남역", "status": "call"});
    client.post("/passengers", &body.to_string()).await.expect(201);
    client.get(&format!("/calls/{id}?wait=5")).await.expect(200).json()
}

#[tokio::test]
async fn the_seeds_call_is_accepted_by_one_driver_and_its_passenger_sees_it() {
    let client = desk();
    let placed = client.post("/passengers", CALL).await.expect(201);
    let id = placed.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(placed.header("location"), format!("/passengers/{id}"));
    assert_eq!(placed.json()["status"], "call");
    assert_eq!(client.get(&format!("/calls/{id}?wait=5")).await.expect(200).json()["status"], "call");
    assert_eq!(client.get("/opencalls").await.json()["page"]["totalElements"], 1);

    let won = client.post("/taxis/accept", &accept(&id, "d1")).await.expect(200).json();
    assert_eq!((&won["accepted"], &won["status"], &won["driverId"]), (&json!(true), &json!("accept"), &json!("d1")));
    let late = client.post("/taxis/accept", &accept(&id, "d2")).await.expect(200).json();
    assert_eq!((&late["accepted"], &late["message"]), (&json!(false), &json!("배차완료된 콜입니다")));
    assert_eq!(late["driverId"], "d1", "who has it");
    let again = client.post("/taxis/accept", &accept(&id, "d1")).await.expect(200).json();
    assert_eq!(again["accepted"], true, "it is this driver's already");

    let seen = client.get(&format!("/passengers/{id}?wait=5&until=settled")).await.expect(200).json();
    assert_eq!((&seen["status"], &seen["driverId"]), (&json!("accept"), &json!("d1")));
    let states: Vec<&str> = seen["history"].as_array().unwrap().iter().map(|s| s["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["CALLED", "LISTED", "ASSIGNED"]);
    let page = client.get("/passengers").await.expect(200).json();
    assert_eq!(page["_embedded"]["passengers"][0]["startLocation"], "서울역");
    assert_eq!(client.get("/opencalls").await.json()["page"]["totalElements"], 0);
    client.post("/taxis/accept", &accept("none", "d1")).await.expect(404);
}

#[tokio::test]
async fn what_the_status_word_says_is_checked() {
    let client = desk();
    let body = r#"{"startLocation":"a","endLocation":"b","status":"accept"}"#;
    let errors = client.post("/passengers", body).await.expect(400).json()["errors"].clone();
    assert_eq!(errors, json!([{"field": "status", "detail": "must be call"}]));
    let errors = client.post("/taxis/accept", r#"{"status":"call"}"#).await.expect(400).json()["errors"].clone();
    assert_eq!(errors[0]["detail"], "must be accept");
    assert_eq!(errors[1], json!({"field": "callId", "detail": "is missing"}));
}

#[tokio::test]
async fn a_decision_is_told_later_to_a_driver_who_does_not_wait() {
    let client = desk();
    called(&client, "c1").await;
    let asked = client
        .call(Method::POST, "/taxis/accept", &[("prefer", "respond-async")], &accept("c1", "d1"))
        .await
        .expect(202)
        .json();
    let link = asked["_links"]["command"]["href"].as_str().unwrap().strip_prefix("http://shop.example:8088").unwrap();
    let decided = client.get(&format!("{link}?wait=5")).await.expect(200).json();
    assert_eq!((&decided["accepted"], &decided["callId"]), (&json!(true), &json!("c1")));
}

#[tokio::test]
async fn a_passenger_and_a_driver_follow_what_concerns_them() {
    let client = desk();
    let stream = async |path: &str| {
        let request = axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        let response = tower::ServiceExt::oneshot(client.router.clone(), request).await.unwrap();
        response.into_body().into_data_stream()
    };
    let mut passenger = stream("/passengers/events?passengerId=p1").await;
    let mut other = stream("/passengers/events?passengerId=p2").await;
    let mut driver = stream("/taxis/events?driverId=d1").await;
    called(&client, "c1").await;
    client.post("/taxis/accept", &accept("c1", "d2")).await.expect(200);
    client.post("/taxis/accept", &accept("c1", "d1")).await.expect(200);
    client
        .post("/passengers", r#"{"id":"c2","passengerId":"p2","startLocation":"a","endLocation":"b"}"#)
        .await
        .expect(201);

    async fn until(stream: &mut axum::body::BodyDataStream, last: &str) -> String {
        let mut text = String::new();
        while !text.contains(last) {
            let chunk = tokio::time::timeout(std::time::Duration::from_secs(10), stream.next());
            let chunk = chunk.await.unwrap_or_else(|_| panic!("{last} did not come after {text}"));
            text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
        }
        text
    }
    let seen = until(&mut passenger, "ASSIGNED").await;
    assert!(seen.contains("CALLED") && seen.contains("LISTED") && seen.contains("\"driverId\":\"d2\""), "{seen}");
    let seen = until(&mut other, "LISTED").await;
    assert!(!seen.contains("c1"), "another passenger's call: {seen}");
    let seen = until(&mut driver, "배차완료된 콜입니다").await;
    assert!(seen.contains("callListed") && seen.contains("callAssigned"), "{seen}");
}

#[tokio::test]
async fn an_overloaded_call_list_gets_the_acceptances_after_it_has_recovered() {
    let client = desk();
    called(&client, "c1").await;
    client.fake.hold(true);
    let mut waits = Vec::new();
    for driver in 0..8 {
        let began = std::time::Instant::now();
        let put_off = client.post("/taxis/accept", &accept("c1", &format!("d{driver}"))).await.expect(202);
        assert_eq!((put_off.json()["status"].as_str(), put_off.header("retry-after")), (Some("PENDING"), "1"));
        waits.push(began.elapsed());
    }
    assert!(waits[0] >= support::BREAKER.timeout, "the first waits until the timeout: {waits:?}");
    assert!(waits[7] < support::BREAKER.timeout, "an open breaker answers at once: {waits:?}");
    let breaker = client.get("/breakers").await.expect(200).json()["breakers"][0].clone();
    assert_eq!((&breaker["name"], &breaker["state"]), (&json!("taxi-accept"), &json!("open")));

    client.fake.hold(false);
    client.fake.sync();
    let call = client.get("/calls/c1").await.expect(200).json();
    assert_eq!(
        (&call["status"], &call["driverId"]),
        (&json!("accept"), &json!("d0")),
        "none was lost: the first has it"
    );
    tokio::time::sleep(support::BREAKER.open).await;
    for _ in 0..3 {
        client.post("/taxis/accept", &accept("c1", "late")).await.expect(200);
    }
    assert_eq!(client.get("/breakers").await.json()["breakers"][0]["state"], "closed");
}
