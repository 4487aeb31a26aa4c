//! Every bad input of the table in `docs/http.md` gets the answer that the table promises.

mod support;

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;
use support::Provider;
use support::client::Client;

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
    let client = Client::start(Provider::Approves);
    client.product().await;
    let delivered = client.order("o1").await.expect(201);
    client.order("o2").await.expect(201);
    client.delete("/orders/o2").await.expect(200);
    client.fake.provider(Provider::Hangs);
    client.order("o3").await.expect(201);
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
