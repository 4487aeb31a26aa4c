//! Every bad input of the table in `docs/http.md` gets the answer that the table promises; and every command about what is
//! not there is in the table.

mod support;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::Value;
use support::Provider;
use support::client::Client;

/// The first is found at the root whole, the others where nothing before them has the path.
const BUSINESSES: [&str; 4] = ["fashion-store", "gdmarket", "taxi", "ebook-rental"];

const DOCS: &str = include_str!("../../docs/http.md");

/// A row: what is wrong, the request, the status, what the answer says.
struct Row<'a> {
    what: &'a str,
    request: &'a str,
    status: u16,
    says: &'a str,
}

fn rows() -> Vec<Row<'static>> {
    let (_, table) = DOCS.split_once("<!-- bad input -->").expect("the table begins");
    let (table, _) = table.split_once("<!-- end -->").expect("the table ends");
    let lines = table.trim().lines().skip(2);
    let row = |line: &'static str| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(|c| c.trim().trim_end_matches(" |")).collect();
        let [what, request, status, says] = cells[..] else { panic!("four cells: {line}") };
        Row { what, request: request.trim_matches('`'), status: status.parse().expect("a status"), says }
    };
    lines.map(row).collect()
}

/// What `«…»` in a request stands for: text in place, or a header.
fn build(line: &str, ahead: &str) -> Request<Body> {
    let (method, rest) = line.split_once(' ').unwrap();
    let (path, body) = rest.split_once(' ').unwrap_or((rest, ""));
    let mut content_type = Some("application/json");
    let mut header = None;
    let mut body = body.to_owned();
    let mut bytes = None;
    if let Some((before, marked)) = body.clone().split_once('«') {
        let (mark, after) = marked.split_once('»').unwrap();
        let inline = mark.parse::<usize>().ok();
        match mark {
            "nothing" => body = String::new(),
            "2 MB" => body = " ".repeat(2 << 20),
            "[×1000" => body = "[".repeat(1_000),
            "ff" => bytes = Some(vec![0xff]),
            "no type" => (content_type, body) = (None, after.trim().to_owned()),
            "text/plain" => (content_type, body) = (Some("text/plain"), after.trim().to_owned()),
            _ if inline.is_some() => body = format!("{before}{}{after}", "x".repeat(inline.unwrap())),
            _ => {
                let (name, value) = mark.split_once(": ").unwrap_or_else(|| panic!("unknown mark «{mark}»"));
                let value = value.parse::<usize>().map_or(value.to_owned(), |n| "x".repeat(n));
                header = Some((name.to_owned(), value));
                body = after.trim().to_owned();
            }
        }
    }
    let mut path = path.replace("«ahead»", ahead);
    if let Some((before, marked)) = path.clone().split_once('«') {
        let (mark, after) = marked.split_once('»').unwrap();
        path = format!("{before}{}{after}", "x".repeat(mark.parse().unwrap()));
    }
    let mut request = Request::builder().method(method).uri(path);
    let body: Vec<u8> = bytes.unwrap_or_else(|| body.into_bytes());
    if (!body.is_empty() || method == "POST")
        && let Some(content_type) = content_type
    {
        request = request.header("content-type", content_type);
    }
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    request.body(body.into()).unwrap()
}

#[tokio::test]
async fn every_row_of_the_table_is_answered_as_it_says() {
    let client = Client::with(&BUSINESSES, Provider::Approves);
    client.product().await;
    let delivered = client.order("o1").await.expect(201);
    client.order("o2").await.expect(201);
    client.delete("/orders/o2").await.expect(200);
    client.fake.provider(Provider::Hangs);
    client.order("o3").await.expect(201);
    client.post("/books", r#"{"id":"b1","bookName":"Hello, JAVA","rentalFee":1}"#).await.expect(201);
    client.call(Method::POST, "/rents", &[("prefer", "wait=0")], r#"{"id":"r1","bookId":"b1"}"#).await.expect(201);
    let (partition, _) = delivered.header("orderflow-position").rsplit_once(':').unwrap();
    let ahead = format!("{partition}:999999");

    let rows = rows();
    assert!(rows.len() > 50, "the table was read: {} rows", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let answer = client.send(build(row.request, &ahead)).await;
        let says = row.says.replace('`', "");
        let problem: Value = serde_json::from_str(&answer.text).unwrap_or_default();
        let is_problem = answer.header("content-type") == "application/problem+json" && problem["status"] == row.status;
        // A field's mistake is shown as "field detail".
        let errors = problem["errors"].as_array().into_iter().flatten();
        let said: Vec<String> =
            errors.map(|e| format!("{} {}", e["field"].as_str().unwrap(), e["detail"].as_str().unwrap())).collect();
        let found = says.is_empty()
            || said.iter().any(|s| s.starts_with(&says))
            || (said.is_empty() && answer.text.contains(&says));
        let is_registry = row.request.contains("/registry/");
        if answer.status != row.status || !found || (row.status >= 400 && !is_problem && !is_registry) {
            wrong.push(format!("{}: {} {} {:?}", row.what, row.request, answer.status, answer.text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Commands that name nothing which must be there before them.
const NAME_NOTHING: [&str; 4] = ["POST /products", "POST /items", "POST /passengers", "POST /books"];

/// What a path takes, by its own word.
async fn methods(client: &Client, path: &str) -> Vec<Method> {
    let answer = client.call(Method::OPTIONS, path, &[], "").await.expect(405);
    let methods = answer.header("allow").split(',').map(|method| method.parse().expect("a method"));
    methods.filter(|method| *method != Method::HEAD).collect()
}

#[tokio::test]
async fn what_is_not_there_is_404_by_every_route_of_every_business() {
    let client = Client::with(&BUSINESSES, Provider::Approves);
    let rows = rows();
    let (mut reads, mut commands, mut missing) = (0, 0, Vec::new());
    for business in BUSINESSES {
        for path in query_api::paths(business) {
            let below = path.replace("{id}", "none").replace("{command}", "none");
            let full = format!("/{business}{below}");
            for method in methods(&client, &full).await {
                // What becomes of an id that is not there yet can be listened for; a collection names no id.
                let is_read = method == Method::GET;
                if is_read && (!path.contains("{id}") || path.ends_with("/events")) {
                    continue;
                }
                if is_read {
                    reads += 1;
                    let problem = client.get(&full).await.expect(404);
                    assert_eq!(problem.header("content-type"), "application/problem+json", "{full}");
                    continue;
                }
                commands += 1;
                let stated = format!("{method} {path}");
                let is_of = |row: &&Row<'_>| {
                    let (verb, rest) = row.request.split_once(' ').unwrap();
                    let (at, body) = rest.split_once(' ').unwrap_or((rest, ""));
                    // PUT is another word for PATCH.
                    (verb == method.as_str() || (verb == "PATCH" && method == Method::PUT))
                        && (at == below || at == full)
                        && (path.contains("{id}") || body.contains("\"none\""))
                };
                let of_it: Vec<&Row<'_>> = rows.iter().filter(is_of).collect();
                if of_it.is_empty() && !NAME_NOTHING.contains(&&*stated) {
                    missing.push(stated);
                }
                for Row { what, request, status, .. } in of_it {
                    let body = request.splitn(3, ' ').nth(2).unwrap_or_default();
                    let answer = client.call(method.clone(), &full, &[], body).await.expect(*status);
                    // Who asks for something new gets it, with the refusal in it.
                    let refused = if *status == 201 { "application/hal+json" } else { "application/problem+json" };
                    assert_eq!(answer.header("content-type"), refused, "{what}");
                }
            }
        }
    }
    assert!(missing.is_empty(), "no row in docs/http.md says what comes of an unknown id: {missing:?}");
    assert!(reads >= 25 && commands >= 18, "the routes were walked: {reads} reads, {commands} commands");
}

#[tokio::test]
async fn the_verdict_on_what_was_not_there_stays_when_it_is_there() {
    let client = Client::with(&["ebook-rental"], Provider::Approves);
    let approve = || async {
        let key = [("idempotency-key", "decision-1")];
        client.call(Method::PATCH, "/rents/r1", &key, r#"{"status":"APPROVED"}"#).await
    };
    approve().await.expect(404);
    client.post("/books", r#"{"id":"b1","bookName":"Hello, JAVA","rentalFee":1}"#).await.expect(201);
    client.post("/rents", r#"{"id":"r1","bookId":"b1"}"#).await.expect(201);
    client.get("/approvals/r1?wait=5").await.expect(200);
    // The same command again is the same answer; the rent, which is there by now, goes with it.
    let again = approve().await.expect(200).json();
    assert_eq!((&again["verdict"], &again["status"]), (&"REFUSED".into(), &"PAID".into()));
    client.patch("/rents/r1", r#"{"status":"APPROVED"}"#).await.expect(200);
    assert_eq!(client.get("/approvals/r1?wait=5&until=settled").await.expect(200).json()["status"], "APPROVED");
}
