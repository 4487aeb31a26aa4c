//! The registry client against a registry over real HTTP: the node's own REST form of the catalog, and one that hangs.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use schemas::fashion::{OrderStatus, topics};
use schemas::limits::REGISTRY_WAIT_MAX;
use schemas::registry::rest::{self, NotFound};
use schemas::{AvroRecord, ConfluentConfig, ConfluentRegistry, DecodeError, Registry, RegistryError, catalog};
use serde_json::{Value, json};

/// A registry that behaves as Confluent's does, on a loopback port of its own.
struct Server {
    url: String,
    requests: Arc<AtomicUsize>,
}

/// What was registered: subject to schema, ids from 40 up.
type Registered = Mutex<BTreeMap<String, (u64, String)>>;

impl Server {
    fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        // The thread ends with the test process; each connection carries one request.
        std::thread::spawn(move || {
            let registered = Registered::default();
            for stream in listener.incoming() {
                counter.fetch_add(1, Ordering::Relaxed);
                answer(stream.expect("accepted"), &registered);
            }
        });
        Server { url, requests }
    }

    fn client(&self, register: bool) -> ConfluentRegistry {
        let urls = vec![self.url.clone()];
        ConfluentRegistry::new(ConfluentConfig { urls, basic_auth: None, register }).expect("starts")
    }
}

fn answer(mut stream: TcpStream, registered: &Registered) {
    let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
    let mut request = String::new();
    reader.read_line(&mut request).expect("a request line");
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).expect("a header");
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if header.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body");
    let (status, value) = route(&request, &body, registered);
    let text = value.to_string();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n");
    write!(stream, "{head}content-length: {}\r\n\r\n{text}", text.len()).expect("answered");
}

fn route(request: &str, body: &[u8], registered: &Registered) -> (&'static str, Value) {
    let mut words = request.split_whitespace();
    let (method, path) = (words.next().expect("a method"), words.next().expect("a path"));
    let path = path.split('?').next().expect("a path").trim_start_matches('/');
    let parts: Vec<&str> = path.split('/').collect();
    let mut registered = registered.lock().expect("not poisoned");
    match (method, &parts[..]) {
        ("GET", ["schemas", "ids", id]) => match rest::schema_by_id(id.parse().expect("a number")) {
            Some(found) => ("200 OK", found),
            None => ("404 Not Found", rest::not_found(NotFound::Schema)),
        },
        ("POST", ["subjects", subject]) => {
            let body: Value = serde_json::from_slice(body).expect("JSON");
            match rest::lookup("", subject, body["schema"].as_str().expect("a schema")) {
                Ok(found) => ("200 OK", found),
                Err(what) => ("404 Not Found", rest::not_found(what)),
            }
        }
        ("POST", ["subjects", "broken-value", "versions"]) => {
            ("409 Conflict", json!({ "error_code": 409, "message": "incompatible with an earlier schema" }))
        }
        ("POST", ["subjects", "reserved-value", "versions"]) => ("200 OK", json!({ "id": 1_000_000_000 })),
        ("POST", ["subjects", subject, "versions"]) => {
            let body: Value = serde_json::from_slice(body).expect("JSON");
            let schema = body["schema"].as_str().expect("a schema").to_owned();
            let next = 40 + registered.len() as u64;
            let (id, known) = registered.entry((*subject).to_owned()).or_insert((next, schema.clone()));
            assert_eq!(*known, schema, "one subject, one schema in these tests");
            ("200 OK", json!({ "id": *id }))
        }
        _ => panic!("the client asked for {request}"),
    }
}

#[test]
fn registering_gives_the_registrys_id_and_again_the_same() {
    let server = Server::start();
    let registry = server.client(true);
    let subject = topics::ORDER_STATUS.subject("");
    assert_eq!(registry.id_for_subject(&subject, OrderStatus::NAME), Ok(40));
    assert_eq!(registry.id_for_subject("other-value", OrderStatus::NAME), Ok(41));
    assert_eq!(registry.id_for_subject(&subject, OrderStatus::NAME), Ok(40));
}

#[test]
fn resolving_finds_the_subjects_version_and_names_a_missing_one() {
    let registry = Server::start().client(false);
    let subject = topics::ORDER_STATUS.subject("");
    let expected = catalog::entry(OrderStatus::NAME).expect("listed").current().id;
    assert_eq!(registry.id_for_subject(&subject, OrderStatus::NAME), Ok(expected));
    let missing = registry.id_for_subject("nobody-value", OrderStatus::NAME);
    let subject = "nobody-value".to_owned();
    assert_eq!(missing, Err(RegistryError::UnknownSubject { subject, name: OrderStatus::NAME }));
}

#[test]
fn a_refusal_says_why_and_a_reserved_id_is_refused() {
    let registry = Server::start().client(true);
    let error = registry.id_for_subject("broken-value", OrderStatus::NAME).expect_err("refused").to_string();
    assert!(error.starts_with("schema registry refused subject broken-value"), "{error}");
    assert!(error.contains("incompatible with an earlier schema"), "{error}");
    let error = registry.id_for_subject("reserved-value", OrderStatus::NAME).expect_err("reserved");
    assert!(matches!(error, RegistryError::ReservedId { id: 1_000_000_000, .. }), "{error}");
}

#[test]
fn ids_are_asked_for_once_known_or_not() {
    let server = Server::start();
    let registry = server.client(false);
    let entry = catalog::entry(OrderStatus::NAME).expect("listed").current();
    for _ in 0..3 {
        assert_eq!(registry.schema_by_id(entry.id), Ok(Some(Arc::from(entry.json))));
        assert_eq!(registry.schema_by_id(424_242), Ok(None));
    }
    assert_eq!(server.requests.load(Ordering::Relaxed), 2);
}

#[test]
fn values_of_the_registrys_id_are_read() {
    let registry: Arc<dyn Registry> = Arc::new(Server::start().client(true));
    let codec = schemas::Codec::for_topic(&topics::ORDER_STATUS, "", &registry).expect("has an id");
    assert_eq!(codec.id(), 40);
    let fixed = schemas::Codec::<OrderStatus>::fixed();
    // A well-formed value of zeros and empty strings, as another process writes it under the catalog's id.
    let bytes = [&schemas::frame(fixed.id())[..], &[0; 11]].concat();
    assert_eq!(codec.decode(&bytes), fixed.decode(&bytes));
    assert!(codec.decode(&bytes).is_ok());
    let unknown = codec.decode(&schemas::frame(424_242));
    assert_eq!(unknown, Err(DecodeError::UnknownSchemaId { id: 424_242 }));
}

#[test]
fn a_registry_out_of_reach_fails_and_then_fails_at_once() {
    // A listener that was closed: nothing answers on this port.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let urls = vec![format!("http://user:secret@{address}")];
    let registry = ConfluentRegistry::new(ConfluentConfig { urls, basic_auth: None, register: false }).expect("starts");
    let start = Instant::now();
    let first = registry.schema_by_id(7).expect_err("nobody is there");
    assert!(matches!(first, RegistryError::Unavailable { .. }), "{first}");
    assert!(first.to_string().starts_with(&format!("schema registry http://{address}: ")), "{first}");
    // Remembered, word for word, without another attempt.
    assert_eq!(registry.schema_by_id(8), Err(first));
    assert!(start.elapsed() < REGISTRY_WAIT_MAX);
}

#[test]
fn no_address_is_refused() {
    let error = ConfluentRegistry::new(ConfluentConfig::default()).expect_err("no address");
    assert!(error.to_string().contains("no address is configured"), "{error}");
}

#[test]
fn the_rest_form_lists_subjects_versions_and_schemas() {
    let subjects = rest::subjects("shop-");
    let subjects = subjects.as_array().expect("a list");
    assert!(subjects.contains(&json!("shop-fashion.orders-value")));
    assert_eq!(rest::versions("shop-", "shop-fashion.orders-value"), Some(json!([1])));
    assert_eq!(rest::versions("", "shop-fashion.orders-value"), None);
    let latest = rest::version("", "fashion.orders-value", "latest").expect("exists");
    assert_eq!(Ok(&latest), rest::version("", "fashion.orders-value", "1").as_ref());
    let id = latest["id"].as_u64().and_then(|id| u32::try_from(id).ok()).expect("an id");
    assert_eq!(rest::schema_by_id(id).expect("exists")["schema"], latest["schema"]);
    assert_eq!(rest::version("", "fashion.orders-value", "0"), Err(NotFound::Version));
    assert_eq!(rest::version("", "fashion.orders-value", "2"), Err(NotFound::Version));
    assert_eq!(rest::version("", "nobody-value", "1"), Err(NotFound::Subject));
    assert_eq!(rest::schema_by_id(0), None);
    assert_eq!(rest::not_found(NotFound::Schema)["error_code"], 40_403);
}
