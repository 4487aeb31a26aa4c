//! Global tables over several partitions and workers: read whole before the first record, wherever its rows were written,
//! after a crash, and with the disk lost.

use std::collections::BTreeMap;

use streams::dsl::{Consumed, Materialized, Produced, StreamsBuilder};
use streams::serde::Utf8;
use streams::testing::TestDriver;
use streams::{TopicPartition, Topology};

fn topology(in_memory: bool) -> Topology {
    let builder = StreamsBuilder::new("globals");
    let rates = Materialized::<String, String>::new("rates", Utf8, Utf8);
    let rates = builder.global_table("rates", if in_memory { rates.in_memory() } else { rates });
    builder
        .stream("orders", Consumed::<String, String>::with(Utf8, Utf8))
        .left_join_global(
            &rates,
            |_, currency| Some(currency.clone()),
            |_, rate| rate.map_or_else(|| "none".to_owned(), Clone::clone),
        )
        .to("priced", Produced::with(Utf8, Utf8));
    builder.build().expect("valid")
}

/// One order per currency; what each was priced with.
fn prices(driver: &mut TestDriver) -> BTreeMap<String, String> {
    driver.read("priced");
    for currency in ["EUR", "USD", "JPY", "GBP"] {
        driver.pipe("orders", Some(format!("order in {currency}").as_bytes()), Some(currency.as_bytes()), 1);
    }
    let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap_or_default()).expect("text");
    driver.read("priced").into_iter().map(|r| (text(r.key).replace("order in ", ""), text(r.value))).collect()
}

fn expected(prices: [(&str, &str); 4]) -> BTreeMap<String, String> {
    prices.map(|(currency, price)| (currency.to_owned(), price.to_owned())).into()
}

#[test]
fn every_task_sees_every_row() {
    for in_memory in [false, true] {
        let mut driver = TestDriver::new(topology(in_memory), 3);
        let rates = driver.view().topology().topic("rates").expect("a topic");
        // Written where no partitioner would have put them: a lookup finds them by key all the same.
        for (partition, currency, rate) in [(0, "EUR", "1"), (1, "USD", "2"), (2, "JPY", "3"), (1, "GBP", "4")] {
            let at = TopicPartition { topic: rates, partition };
            driver.produce_to(at, Some(currency.as_bytes()), Some(rate.as_bytes()), 0);
        }
        driver.add_worker();
        assert_eq!(prices(&mut driver), expected([("EUR", "1"), ("USD", "2"), ("JPY", "3"), ("GBP", "4")]));
        driver.produce_to(TopicPartition { topic: rates, partition: 0 }, Some(b"EUR"), None, 0);
        driver.produce_to(TopicPartition { topic: rates, partition: 1 }, Some(b"USD"), Some(b"5"), 0);
        driver.crash_and_restore();
        let after = expected([("EUR", "none"), ("USD", "5"), ("JPY", "3"), ("GBP", "4")]);
        assert_eq!(prices(&mut driver), after, "in memory: {in_memory}");
        driver.crash_and_lose_disk();
        assert_eq!(prices(&mut driver), after, "in memory: {in_memory}");
    }
}

#[test]
fn is_described_as_kafka_streams_does() {
    let text = topology(false).describe();
    assert!(text.contains("Sub-topology: 1 for global store (will not generate tasks)"), "{text}");
}
