//! What knows no business: interactive queries, events, routing between instances, health, the registry's form.

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use futures_util::StreamExt;
use query_api::platform::{Health, Owner, Trouble, WorkerHealth};
use serde_json::{Value, json};
use streams::TaskId;
use streams::partitioner::partition_for_key;
use support::client::Client;
use support::{PARTITIONS, Provider};
use tower::ServiceExt;

async fn shop(orders: usize) -> Client {
    let client = Client::start(Provider::Approves);
    client.product().await;
    for i in 0..orders {
        client.order(&format!("o{i:02}")).await.expect(201);
        client.get(&format!("/orders/o{i:02}?wait=5&until=settled")).await.expect(200);
    }
    client
}

fn keys(page: &Value) -> Vec<String> {
    page["entries"].as_array().unwrap().iter().map(|e| e["key"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_store_answers_by_key_and_by_range() {
    let client = shop(9).await;
    let stores = client.get("/fashion-store/stores").await.expect(200).json();
    let stores = stores["stores"].as_array().unwrap();
    assert!(stores.len() >= 8, "{stores:?}");
    for store in stores {
        let name = store["name"].as_str().unwrap();
        assert_eq!(store["partitions"].as_array().unwrap().len(), PARTITIONS as usize);
        assert_eq!(store["partitions"][0]["phase"]["is"], "running");
        client.get(&format!("/stores/{name}")).await.expect(200);
    }
    let entry = client.get("/stores/orders/o03").await.expect(200).json();
    assert_eq!(entry["value"]["status"], "DELIVERY_STARTED");
    assert_eq!(entry["partition"], partition_for_key(b"o03", PARTITIONS));

    let all: Vec<String> = (0..9).map(|i| format!("o{i:02}")).collect();
    assert_eq!(keys(&client.get("/stores/orders").await.json()), all);
    assert_eq!(keys(&client.get("/stores/orders?from=o02&to=o05").await.json()), ["o02", "o03", "o04"]);
    assert_eq!(keys(&client.get("/stores/orders?prefix=o0&limit=2&reverse").await.json()), ["o08", "o07"]);
    for reverse in ["", "&reverse"] {
        let mut path = format!("/stores/orders?limit=2{reverse}");
        let mut seen = Vec::new();
        loop {
            let page = client.get(&path).await.expect(200).json();
            seen.extend(keys(&page));
            match page["_links"]["next"]["href"].as_str() {
                Some(next) => path = next.to_owned(),
                None => break,
            }
        }
        if reverse.is_empty() {
            assert_eq!(seen, all);
        } else {
            assert_eq!(seen.into_iter().rev().collect::<Vec<_>>(), all);
        }
    }
    // The ledger's keys are not what it is partitioned by.
    let ledger = client.get("/stores/commands?limit=1").await.json();
    let key = ledger["entries"][0]["key"].as_str().unwrap();
    let partition = &ledger["entries"][0]["partition"];
    let key = key.strip_prefix("0x").expect("the separator is a control character: shown in hexadecimal");
    let found = client.get(&format!("/stores/commands/{key}?hex&partition={partition}")).await.expect(200).json();
    assert_eq!(found["value"]["verdict"], "ACCEPTED");
}

/// Texts, not values: what a client's bytes are compared or signed by.
#[tokio::test]
async fn entries_and_items_have_one_text_wherever_they_are_read() {
    let (a, b) = two_instances().await;
    a.product().await;
    for i in 0..6 {
        a.order(&format!("o{i}")).await.expect(201);
        a.get(&format!("/orders/o{i}?wait=5&until=settled")).await.expect(200);
    }
    let (mut entries, mut items) = (Vec::new(), Vec::new());
    for i in 0..6 {
        let entry = a.get(&format!("/stores/orders/o{i}")).await.expect(200).text;
        let parsed: Value = serde_json::from_str(&entry).unwrap();
        let (partition, timestamp) = (&parsed["partition"], &parsed["timestamp"]);
        let order: schemas::fashion::state::Order = serde_json::from_value(parsed["value"].clone()).unwrap();
        let value = serde_json::to_string(&order).unwrap();
        let head = format!(r#"{{"key":"o{i}","partition":{partition},"timestamp":{timestamp},"value":"#);
        assert_eq!(entry, format!("{head}{value}}}"), "fields in the schema's order");
        let item = a.get(&format!("/orders/o{i}")).await.expect(200).text;
        assert!(item.starts_with(&format!(r#"{{"id":"o{i}","customerId":"","productId":"p1","size":"S","#)), "{item}");
        for (path, text) in [(format!("/stores/orders/o{i}"), &entry), (format!("/orders/o{i}"), &item)] {
            assert_eq!(b.get(&path).await.expect(200).text, *text);
        }
        entries.push(entry);
        items.push(item);
    }
    for reader in [&a, &b] {
        let range = reader.get("/stores/orders").await.expect(200).text;
        assert_eq!(range, format!(r#"{{"store":"orders","entries":[{}],"next":null}}"#, entries.join(",")));
        let range = reader.get("/stores/orders?limit=2").await.expect(200).text;
        let next = serde_json::from_str::<Value>(&range).unwrap()["next"].as_str().unwrap().to_owned();
        let links = format!(r#"{{"next":{{"href":"/stores/orders?limit=2&cursor={next}"}}}}"#);
        let two = entries[..2].join(",");
        assert_eq!(range, format!(r#"{{"store":"orders","entries":[{two}],"next":"{next}","_links":{links}}}"#));
        let page = reader.get("/orders").await.expect(200).text;
        let links = r#"{"self":{"href":"http://shop.example:8088/orders?page=0&size=20"},"profile":{"href":"http://shop.example:8088/profile/orders"}}"#;
        let numbers = r#"{"size":20,"totalElements":6,"totalPages":1,"number":0}"#;
        let items = items.join(",");
        assert_eq!(page, format!(r#"{{"_embedded":{{"orders":[{items}]}},"_links":{links},"page":{numbers}}}"#));
    }
}

#[tokio::test]
async fn topology_and_instances_say_what_runs_where() {
    let client = shop(1).await;
    let topology = client.get("/topology").await.expect(200).json();
    let text = client.get("/topology?format=text").await.expect(200).text;
    assert_eq!(topology["description"], text);
    assert!(text.starts_with("Topologies:\n   Sub-topology: 0"), "{text}");
    let instances = client.get("/instances").await.expect(200).json();
    assert_eq!(instances["instances"][0]["here"], true);
    let task = instances["tasksHere"].as_array().unwrap().iter().find(|t| t["task"] == "0_0").unwrap();
    assert!(task["positions"].as_array().unwrap().iter().any(|p| p["topic"] == "fashion.orders"), "{task}");
}

#[tokio::test]
async fn health_tells_death_from_trouble() {
    let client = shop(0).await;
    client.get("/livez").await.expect(200);
    client.get("/readyz").await.expect(200);
    let silent = |seconds| Health {
        workers: vec![WorkerHealth { name: "w".into(), last_turn: Duration::from_secs(seconds) }],
        ..Health::default()
    };
    client.fake.set_health(silent(44));
    client.get("/livez").await.expect(200);
    client.fake.set_health(silent(45));
    client.get("/livez").await.expect(503);
    // Reads can still be routed: ready, and says what is wrong.
    client.fake.set_health(support::cannot_append("no broker answers"));
    assert_eq!(client.get("/readyz").await.expect(200).json()["commands"], "no broker answers");
    for subtopology in 0..3 {
        for partition in 0..PARTITIONS {
            client.fake.set_owner(TaskId { subtopology, partition }, Owner::Unknown);
        }
    }
    client.get("/readyz").await.expect(503);
    client.fake.set_health(Health { troubles: vec![Trouble("the disk is full".into())], ..Health::default() });
    assert_eq!(client.get("/readyz").await.expect(200).json()["troubles"], json!(["the disk is full"]));
    client.fake.set_health(Health { stopping: true, ..Health::default() });
    client.get("/readyz").await.expect(503);
}

#[tokio::test]
async fn metrics_count_by_route_and_end_as_openmetrics_wants() {
    let client = shop(1).await;
    client.get("/orders/none").await.expect(404);
    let metrics = client.get("/metrics").await.expect(200);
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    for line in [
        r#"orderflow_http_requests_total{route="/orders/{id}",status="4xx"} 1"#,
        r#"orderflow_http_requests_total{route="/orders",status="2xx"} 1"#,
        "orderflow_http_commands_total 2",
        "fake_up 1",
    ] {
        assert!(metrics.text.lines().any(|l| l == line), "{line} in {}", metrics.text);
    }
    assert!(metrics.text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn confluents_serializers_find_their_schemas() {
    let client = shop(0).await;
    let subjects = client.get("/registry/subjects").await.expect(200).json();
    assert!(subjects.as_array().unwrap().contains(&json!("fashion.orders-value")), "{subjects}");
    let latest = client.get("/registry/subjects/fashion.orders-value/versions/latest").await.expect(200).json();
    let by_id = client.get(&format!("/registry/schemas/ids/{}", latest["id"])).await.expect(200).json();
    assert_eq!(by_id["schema"], latest["schema"]);
    // As they post it: the schema in a string, spaced otherwise.
    let schema: Value = serde_json::from_str(latest["schema"].as_str().unwrap()).unwrap();
    let body = json!({ "schema": schema.to_string(), "schemaType": "AVRO" }).to_string();
    let registered = client.post("/registry/subjects/fashion.orders-value/versions", &body).await.expect(200).json();
    assert_eq!(registered, json!({ "id": latest["id"] }));
    let found = client.post("/registry/subjects/fashion.orders-value", &body).await.expect(200).json();
    assert_eq!(found["version"], latest["version"]);
    let other = json!({ "schema": "\"string\"" }).to_string();
    let refused = client.post("/registry/subjects/fashion.orders-value/versions", &other).await.expect(403).json();
    assert!(refused["message"].as_str().unwrap().contains("read-only"), "{refused}");
    client.post("/registry/subjects/none-value/versions", &other).await.expect(404);
}

/// Reads server-sent events: name, id and data of each, `n` of them.
async fn events(client: &Client, path: &str, last: Option<&str>, n: usize) -> Vec<(String, String, Value)> {
    let mut request = Request::builder().uri(path);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let response = client.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut stream = response.into_body().into_data_stream();
    let mut text = String::new();
    while text.matches("\n\n").count() < n {
        let chunk = tokio::time::timeout(Duration::from_secs(10), stream.next()).await.expect("an event comes");
        text.push_str(std::str::from_utf8(&chunk.expect("the stream goes on").unwrap()).unwrap());
    }
    let field = |event: &str, name: &str| {
        let line = event.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
        line.trim_start().to_owned()
    };
    text.split("\n\n")
        .filter(|e| !e.is_empty())
        .take(n)
        .map(|e| (field(e, "event:"), field(e, "id:"), serde_json::from_str(&field(e, "data:")).unwrap()))
        .collect()
}

#[tokio::test]
async fn events_come_live_and_go_on_where_they_were() {
    let client = shop(0).await;
    let reader = client.clone();
    let hello = events(&client, "/orders/events", None, 1).await;
    assert_eq!(hello[0].0, "hello");
    let live = tokio::spawn(async move { events(&reader, "/orders/events", None, 9).await });
    // The stream must be open before the first event; the hello of a second one says that the hub runs.
    while client.get("/metrics").await.text.lines().any(|l| l == "orderflow_http_event_streams 0") {
        tokio::task::yield_now().await;
    }
    client.order("o1").await.expect(201);
    client.order("o2").await.expect(201);
    let live = live.await.unwrap();
    let of = |events: &[(String, String, Value)], id: &str| -> Vec<String> {
        events.iter().filter(|e| e.2["id"] == id).map(|e| e.2["status"].as_str().unwrap().to_owned()).collect()
    };
    let whole = ["ORDERED", "STOCK_RESERVED", "PAID", "DELIVERY_STARTED"];
    assert_eq!(
        (of(&live, "o1"), of(&live, "o2")),
        (whole.map(String::from).to_vec(), whole.map(String::from).to_vec())
    );

    // From any event's id the rest comes again, from the log: nothing left out, nothing twice.
    for at in 0..live.len() - 1 {
        let rest = events(&client, "/orders/events", Some(&live[at].1), live.len() - at).await;
        let expected: Vec<&Value> = live[at + 1..].iter().map(|e| &e.2).collect();
        let mut got: Vec<&Value> = rest[1..].iter().map(|e| &e.2).collect();
        let mut expected_sorted = expected.clone();
        let order = |v: &&Value| (v["id"].to_string(), v["version"].as_i64());
        got.sort_by_key(order);
        expected_sorted.sort_by_key(order);
        assert_eq!(got, expected_sorted, "from event {at}");
    }
    // One order's stream has only its own.
    let of_one = events(&client, "/orders/o2/events", Some(&live[0].1), 5).await;
    assert_eq!(of(&of_one, "o2"), whole);
    // From the hello before everything.
    assert_eq!(events(&client, "/orders/events", Some(&hello[0].1), 9).await.len(), 9);
}

/// Two services over one engine, each the owner of half of the partitions, on real sockets.
async fn two_instances() -> (Client, Client) {
    let fake = support::Fake::start(Provider::Approves);
    let other = support::Fake::beside(&fake);
    let mut clients = Vec::new();
    let mut urls: Vec<Arc<str>> = Vec::new();
    for platform in [&fake, &other] {
        let router = query_api::app(platform.clone()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        urls.push(format!("http://{}", listener.local_addr().unwrap()).into());
        let served = router.clone();
        tokio::spawn(async move { axum::serve(listener, served).await });
        clients.push(Client { fake: platform.clone(), router });
    }
    for subtopology in 0..3 {
        for partition in 0..PARTITIONS {
            let task = TaskId { subtopology, partition };
            let owner = usize::from(partition >= PARTITIONS / 2);
            clients[1 - owner].fake.set_owner(task, Owner::At(urls[owner].clone()));
        }
    }
    let second = clients.pop().unwrap();
    (clients.pop().unwrap(), second)
}

#[tokio::test]
async fn any_instance_answers_for_any_key() {
    let (a, b) = two_instances().await;
    a.product().await;
    for i in 0..8 {
        let client = if i % 2 == 0 { &a } else { &b };
        let id = format!("o{i}");
        let placed = client.order(&id).await.expect(201);
        assert_eq!(placed.json()["id"], id);
        assert_eq!(placed.header("location"), format!("/orders/{id}"));
        assert!(!placed.header("orderflow-position").is_empty());
        let token = placed.header("orderflow-position").to_owned();
        for reader in [&a, &b] {
            let read = reader.get(&format!("/orders/{id}?min-position={token}")).await.expect(200).json();
            let href = format!("http://shop.example:8088/orders/{id}");
            assert_eq!(read["_links"]["self"]["href"], href, "links lead where the client came from");
            reader.get(&format!("/orders/{id}?wait=5&until=settled")).await.expect(200);
        }
    }
    for reader in [&a, &b] {
        let page = reader.get("/orders?size=5").await.expect(200).json();
        let ids: Vec<&str> =
            page["_embedded"]["orders"].as_array().unwrap().iter().map(|o| o["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["o0", "o1", "o2", "o3", "o4"]);
        assert_eq!(page["page"]["totalElements"], 8);
        assert_eq!(keys(&reader.get("/stores/orders?limit=3&reverse").await.json()), ["o7", "o6", "o5"]);
        reader.get("/orders/none").await.expect(404);
        reader.call(Method::DELETE, "/orders/none", &[], "").await.expect(404);
        let conflict = r#"{"id":"o1","productId":"p1","size":"XL","qty":1,"price":100}"#;
        reader.post("/orders", conflict).await.expect(409);
    }
}

#[tokio::test]
async fn a_request_is_passed_on_once_and_a_dead_owner_is_a_503() {
    let (a, b) = two_instances().await;
    let task = TaskId { subtopology: 0, partition: partition_for_key(b"o1", PARTITIONS) };
    let (asked, other) = if a.fake.owner_of(task) == Owner::Here { (b, a) } else { (a, b) };
    // Each takes the other for the owner.
    other.fake.set_owner(task, asked.fake.owner_of(task));
    assert_eq!(asked.get("/orders/o1").await.expect(503).header("retry-after"), "1");
    // No one listens there.
    asked.fake.set_owner(task, Owner::At("http://127.0.0.1:1".into()));
    asked.get("/orders/o1").await.expect(503);
    asked.get("/orders/o1?wait=0.01").await.expect(504);
    asked.get("/orders").await.expect(503);
    // The command is safe all the same.
    let body = r#"{"id":"o1","productId":"p1","qty":1,"price":100}"#;
    asked.call(Method::POST, "/orders", &[("prefer", "respond-async")], body).await.expect(202);
    other.fake.set_owner(task, Owner::Here);
    other.get("/orders/o1?wait=5&until=settled").await.expect(200);
}

#[tokio::test]
async fn a_slow_stream_is_told_that_it_lags_and_comes_back_where_it_was() {
    let client = shop(0).await;
    let request = Request::builder().uri("/orders/events").body(Body::empty()).unwrap();
    let response = client.router.clone().oneshot(request).await.unwrap();
    // More events than are kept for one stream, while no one reads it: an order without product has two.
    for i in 0..query_api::limits::EVENT_BUFFER {
        let body = format!(r#"{{"id":"s{i}","productId":"none","qty":1,"price":1}}"#);
        client.call(Method::POST, "/orders", &[("prefer", "respond-async")], &body).await.expect(202);
    }
    client.get(&format!("/orders/s{}?wait=30&until=settled", query_api::limits::EVENT_BUFFER - 1)).await.expect(200);
    let text = tokio::time::timeout(Duration::from_secs(30), axum::body::to_bytes(response.into_body(), 1 << 20));
    let text = String::from_utf8(text.await.expect("the stream is closed").unwrap().into()).unwrap();
    assert!(text.contains("event: lagged"), "{text}");
    let id = text.lines().find_map(|line| line.strip_prefix("id: ")).expect("the hello has an id");
    let again = events(&client, "/orders/events", Some(id), 3).await;
    assert_eq!(again[1].2["status"], "ORDERED");
}
