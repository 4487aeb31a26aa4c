//! Several businesses behind one gateway: each under its name, and at the root what no business before it has there.

mod support;

use serde_json::json;
use support::Provider;
use support::client::Client;

#[tokio::test]
async fn the_seeds_paths_are_all_found_at_the_root_and_the_default_app_has_what_collides() {
    let client = Client::with(&["fashion-store", "gdmarket", "taxi", "ebook-rental"], Provider::Approves);
    client.product().await;
    client.order("o1").await.expect(201);
    client.post("/items", r#"{"id":"drill","name":"Drill","fee":3000}"#).await.expect(201);
    client.post("/rentals", r#"{"id":"r1","itemId":"drill"}"#).await.expect(201);
    client.post("/passengers", r#"{"id":"c1","startLocation":"a","endLocation":"b"}"#).await.expect(201);
    client.get("/calls/c1?wait=5").await.expect(200);
    client.post("/taxis/accept", r#"{"callId":"c1"}"#).await.expect(200);
    client.post("/books", r#"{"id":"b1","bookName":"Hello, JAVA","rentalFee":3000}"#).await.expect(201);
    client.post("/rents", r#"{"id":"e1","userId":1,"bookId":"b1"}"#).await.expect(201);
    client.get("/rents/e1").await.expect(200);
    client.get("/ebook-rental/dashboards/e1").await.expect(200);

    // `/payments` is fashion-store's at the root, and the market's under its name.
    client.get("/payments/o1?wait=5").await.expect(200);
    client.get("/payments/r1").await.expect(404);
    client.get("/gdmarket/payments/r1?wait=5").await.expect(200);
    client.get("/taxi/orders").await.expect(404);

    // Links lead back to the root where they can, and under the name where they must.
    let rental = client.get("/rentals/r1").await.expect(200).json();
    let links = &rental["_links"];
    assert_eq!(links["self"]["href"], "http://shop.example:8088/rentals/r1");
    assert_eq!(links["payment"]["href"], "http://shop.example:8088/gdmarket/payments/r1");
    let rental = client.get("/gdmarket/rentals/r1").await.expect(200).json();
    assert_eq!(rental["_links"]["self"]["href"], "http://shop.example:8088/gdmarket/rentals/r1");
}

#[tokio::test]
async fn the_index_and_the_profiles_say_what_is_at_the_root() {
    let client = Client::with(&["taxi", "gdmarket"], Provider::Approves);
    let index = client.get("/").await.expect(200).json();
    let links = index["_links"].as_object().unwrap();
    for name in ["passengers", "calls", "items", "rentals", "payments"] {
        assert_eq!(links[name]["href"], format!("http://shop.example:8088/{name}{{?page,size,sort}}"));
        let page = client.get(&format!("/{name}")).await.expect(200).json();
        assert_eq!(page["_embedded"][name], json!([]));
        for link in [&page["_links"]["profile"]["href"], &json!(format!("http://shop.example:8088/profile/{name}"))] {
            let path = link.as_str().unwrap().strip_prefix("http://shop.example:8088").unwrap().to_owned();
            let profile = client.get(&path).await.expect(200);
            assert_eq!(profile.header("content-type"), "application/alps+json");
        }
    }
    for (i, app) in ["taxi", "gdmarket"].into_iter().enumerate() {
        let href = format!("http://shop.example:8088/console/{app}");
        assert_eq!(links["console"][i], json!({ "name": app, "href": href }));
        let page = client.get(&format!("/console/{app}")).await.expect(200);
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    }
    client.get("/console/fashion-store").await.expect(404);
    client.get("/profile/orders").await.expect(404);
    client.get("/taxi/profile/items").await.expect(404);
}
