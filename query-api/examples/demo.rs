//! The service and the console over the real topology in memory, with a lifelike payment provider: to look at, without a
//! log or a disk. `cargo run --release -p query-api --example demo [address]`

#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;

use support::{Fake, Provider};

#[tokio::main]
async fn main() {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:19300".into());
    let fake: Arc<Fake> = Fake::start(Provider::Lifelike);
    // `/hello` is axum alone: what the service's own cost is measured against.
    let app =
        query_api::app(fake).expect("the service starts").route("/hello", axum::routing::get(async || "Hello, World!"));
    let listener = tokio::net::TcpListener::bind(&address).await.expect("the address is free");
    eprintln!("http://{address}/ until ctrl-c");
    axum::serve(listener, app).await.expect("the service runs");
}
