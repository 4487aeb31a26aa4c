//! A client of the router, without a network.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt;

use super::{Fake, Provider};

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e} in {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }
}

/// A platform and its router.
#[derive(Clone)]
pub struct Client {
    pub fake: Arc<Fake>,
    pub router: Router,
}

impl Client {
    pub fn start(provider: Provider) -> Self {
        Self::with(&["fashion-store"], provider)
    }

    /// With these businesses; the first is the default one.
    pub fn with(names: &[&str], provider: Provider) -> Self {
        let fake = Fake::with(names, provider);
        let router = query_api::app(fake.clone()).expect("the service starts");
        Client { fake, router }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = to_bytes(body, 64 << 20).await.unwrap();
        Answer { status: head.status, headers: head.headers, text: String::from_utf8(bytes.into()).unwrap() }
    }

    pub async fn call(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "shop.example:8088");
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.to_owned().into()).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.call(Method::POST, path, &[], body).await
    }

    pub async fn patch(&self, path: &str, body: &str) -> Answer {
        self.call(Method::PATCH, path, &[], body).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, &[], "").await
    }

    /// Registers `p1` with 100 pieces.
    pub async fn product(&self) {
        self.post("/products", r#"{"id":"p1","name":"Coat","price":100,"stock":100}"#).await.expect(201);
    }

    /// Places an order of one piece of `p1`.
    pub async fn order(&self, id: &str) -> Answer {
        let body = format!(r#"{{"id":"{id}","productId":"p1","size":"S","qty":1,"price":100}}"#);
        self.call(Method::POST, "/orders", &[("prefer", "wait=0")], &body).await
    }
}
