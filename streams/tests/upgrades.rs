//! A changed topology over the positions and state of another: what starts, and what is refused before anything is touched.

use std::sync::Arc;
use std::time::Duration;

use state::{Direction, Memory};
use streams::dsl::{
    Consumed, Grouped, KGroupedStream, KStream, Materialized, Produced, SessionWindows, StreamsBuilder, TimeWindows,
};
use streams::log::{Commit, CommitPosition, Log, Polled};
use streams::serde::{I64, Utf8};
use streams::testing::{SimCluster, SimLog};
use streams::{Config, Error, Headers, Offset, TopicPartition, Topology, View, Worker};

const HOUR_MS: i64 = 3_600_000;

/// The parts of the shop that a version of it may do in another way.
struct Version {
    before: fn(&StreamsBuilder),
    orders: fn(&StreamsBuilder, KStream<String, String>) -> KStream<String, String>,
    count: fn(KGroupedStream<String, String>),
    after: fn(&StreamsBuilder),
}

/// Counts orders by item and hour: sub-topology 0 sends each order to its item, sub-topology 1 counts.
const FIRST: Version =
    Version { before: |_| (), orders: |_, orders| orders, count: |by_item| by_hour(&by_item, counts()), after: |_| () };

fn counts() -> Materialized<String, i64> {
    Materialized::new("counts", Utf8, I64)
}

fn by_hour(by_item: &KGroupedStream<String, String>, counts: Materialized<String, i64>) {
    by_item.windowed_by(TimeWindows::of_size_with_no_grace(HOUR_MS)).count(counts);
}

fn texts() -> Consumed<String, String> {
    Consumed::with(Utf8, Utf8)
}

impl Version {
    fn topology(&self) -> Arc<Topology> {
        let builder = StreamsBuilder::new("shop");
        (self.before)(&builder);
        let orders = (self.orders)(&builder, builder.stream("orders", texts()));
        (self.count)(orders.group_by(|_, item| item.clone(), Grouped::new("by-item", Utf8, Utf8)));
        (self.after)(&builder);
        Arc::new(builder.build().expect("builds"))
    }
}

/// A cluster with one partition of each topic, and the disk of the one instance.
struct Shop {
    topology: Arc<Topology>,
    cluster: SimCluster,
    disk: Arc<Memory>,
    now: i64,
}

impl Shop {
    /// After two orders of the first version.
    fn opened() -> Self {
        let topology = FIRST.topology();
        let cluster = SimCluster::new(&topology, 1);
        let mut shop = Shop { topology, cluster, disk: Arc::new(Memory::new()), now: 1_000 };
        shop.order("coat");
        shop.order("coat");
        shop.run().expect("runs");
        assert_eq!(shop.count("coat"), 2);
        shop
    }

    fn upgrade(&mut self, version: &Version) {
        let topology = version.topology();
        self.cluster = self.cluster.upgraded(&self.topology, &topology, 1);
        self.topology = topology;
    }

    fn at(&self, topic: &str) -> TopicPartition {
        TopicPartition { topic: self.topology.topic(topic).expect("a topic"), partition: 0 }
    }

    fn order(&self, item: &str) {
        self.cluster.produce(self.at("orders"), Some(b"o"), Some(item.as_bytes()), self.now, Headers::default());
    }

    fn view(&self) -> Arc<View> {
        View::open(self.topology.clone(), self.disk.clone()).expect("memory opens")
    }

    /// Starts a worker and lets it work.
    fn run(&mut self) -> Result<(), Error> {
        let mut worker: Worker<SimLog> = Worker::new(self.cluster.connect("a"), self.view(), Config::default());
        for _ in 0..20 {
            self.now += 10;
            worker.turn(self.now, Duration::ZERO)?;
        }
        worker.close(self.now)
    }

    /// Orders of an item in the first hour.
    fn count(&self, item: &str) -> i64 {
        let view = self.view();
        let windows = view.window_store("counts", Utf8, I64).expect("a window store");
        let rows = windows.fetch(0, &item.to_owned(), (0, 0), Direction::Forward).expect("readable");
        rows.first().map_or(0, |(_, count, _)| *count)
    }
}

/// Starts a version after the first, with the disk there; what it is refused with, if it is.
fn start(version: &Version) -> Result<(), String> {
    let mut shop = Shop::opened();
    let before = shop.cluster.clone();
    shop.upgrade(version);
    shop.order("coat");
    match shop.run() {
        Ok(()) => {
            assert_eq!(shop.count("coat"), 3, "the new version has counted on");
            Ok(())
        }
        Err(Error::Incompatible(why)) => {
            // Nothing was touched: the first version goes on as if nothing had been.
            (shop.topology, shop.cluster) = (FIRST.topology(), before);
            shop.order("coat");
            shop.run().expect("going back is always possible");
            assert_eq!(shop.count("coat"), 3);
            Err(why)
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn what_leaves_state_and_positions_where_they_are_starts() {
    let changes: [(&str, Version); 6] = [
        ("nothing", FIRST),
        ("a stateless operator", Version { orders: |_, orders| orders.filter(|_, item| item != "lamp"), ..FIRST }),
        ("a node's name", Version { orders: |_, orders| orders.filter(|_, _| true).named("all"), ..FIRST }),
        (
            "another output",
            Version {
                orders: |_, orders| {
                    orders.to("copy", Produced::with(Utf8, Utf8));
                    orders
                },
                ..FIRST
            },
        ),
        (
            "a sub-topology behind the last",
            Version {
                after: |builder| builder.stream("returns", texts()).to("returned", Produced::with(Utf8, Utf8)),
                ..FIRST
            },
        ),
        ("caching", Version { count: |by_item| by_hour(&by_item, counts().with_caching_enabled()), ..FIRST }),
    ];
    for (what, version) in changes {
        assert_eq!(start(&version), Ok(()), "{what}");
    }
}

#[test]
fn what_would_take_over_something_else_is_refused_with_both_and_the_remedies() {
    let was = "sub-topology 1 reads shop-by-item-repartition; stores counts (window, segments of 1800000 ms, with a changelog)";
    let counting = |text: &str| (was.to_owned(), format!("sub-topology 1 reads shop-by-item-repartition; {text}"));
    let reading = |text: &str| ("sub-topology 0 reads orders; no stores".to_owned(), text.to_owned());
    let changes: [(&str, Version, (String, String)); 9] = [
        (
            "renumbered",
            Version { before: |b| b.stream("returns", texts()).to("returned", Produced::with(Utf8, Utf8)), ..FIRST },
            reading("sub-topology 1 reads orders; no stores"),
        ),
        (
            "another source",
            Version { orders: |b, orders| orders.merge(&b.stream("web-orders", texts())), ..FIRST },
            reading("sub-topology 0 reads orders, web-orders; no stores"),
        ),
        (
            "a store more",
            Version {
                orders: |_, orders| {
                    orders.group_by_key().count(Materialized::new("all", Utf8, I64));
                    orders
                },
                ..FIRST
            },
            reading("sub-topology 0 reads orders; stores all (key-value, with a changelog)"),
        ),
        (
            "a store renamed",
            Version { count: |by_item| by_hour(&by_item, Materialized::new("by-hour", Utf8, I64)), ..FIRST },
            counting("stores by-hour (window, segments of 1800000 ms, with a changelog)"),
        ),
        ("a store gone", Version { count: |by_item| drop(by_item), ..FIRST }, counting("no stores")),
        (
            "another shape",
            Version {
                count: |by_item| {
                    by_item.count(counts());
                },
                ..FIRST
            },
            counting("stores counts (key-value, with a changelog)"),
        ),
        (
            "another kind of window",
            Version {
                count: |by_item| {
                    by_item.windowed_by(SessionWindows::of_inactivity_gap_with_no_grace(HOUR_MS)).count(counts());
                },
                ..FIRST
            },
            counting("stores counts (session, segments of 1800000 ms, with a changelog)"),
        ),
        (
            "other segments",
            Version {
                count: |by_item| {
                    by_item.windowed_by(TimeWindows::of_size_with_no_grace(2 * HOUR_MS)).count(counts());
                },
                ..FIRST
            },
            counting("stores counts (window, segments of 3600000 ms, with a changelog)"),
        ),
        (
            "no changelog",
            Version { count: |by_item| by_hour(&by_item, counts().not_logged()), ..FIRST },
            counting("stores counts (window, segments of 1800000 ms, on disk only)"),
        ),
    ];
    for (what, version, (was, is)) in changes {
        let why = start(&version).expect_err(what);
        assert!(why.contains("application 'shop'"), "{what}: {why}");
        assert!(why.contains(&format!("It was: {was}.")), "{what}: {why}");
        assert!(why.contains(&format!("It is: {is}.")), "{what}: {why}");
        for remedy in
            ["go back to the version from before", "under an application name of its own", "reset the application"]
        {
            assert!(why.contains(remedy), "{what}: {why}");
        }
    }
}

/// With a changelog it does not matter where a store was, nor whether its disk is there.
#[test]
fn a_logged_store_moves_to_memory() {
    let mut shop = Shop::opened();
    shop.disk = Arc::new(Memory::new());
    shop.upgrade(&Version { count: |by_item| by_hour(&by_item, counts().in_memory()), ..FIRST });
    shop.order("coat");
    shop.run().expect("runs");
    assert_eq!(shop.count("coat"), 3);
}

#[test]
fn without_the_disk_the_refusal_knows_the_hash_only() {
    let mut shop = Shop::opened();
    let before = shop.topology.fingerprint(1, streams::log::StateWrites::AfterCommit);
    shop.disk = Arc::new(Memory::new());
    shop.upgrade(&Version { count: |by_item| by_hour(&by_item, counts().not_logged()), ..FIRST });
    let why = shop.run().expect_err("refused").to_string();
    assert!(why.contains(&format!("It was: known by its hash {:016x} only", before.hash())), "{why}");
}

/// Releases before this check committed no fingerprint: they are believed, and from the next commit on there is one.
#[test]
fn positions_without_a_fingerprint_are_taken_over() {
    let mut shop = Shop::opened();
    let inputs = ["orders", "shop-by-item-repartition"].map(|topic| shop.at(topic));
    let positions: Vec<CommitPosition> = inputs
        .iter()
        .map(|input| {
            let Offset(offset) = shop.cluster.committed(*input).expect("committed").offset;
            CommitPosition { input: *input, offset: Offset(offset), metadata: "1|1000|gone=900".into() }
        })
        .collect();
    let mut older = shop.cluster.connect("a");
    older.poll(Duration::ZERO, &mut Polled::default()).expect("joins");
    older.begin().expect("begins");
    older.commit(Commit { positions: &positions, state: &state::Batch::new(), placements: &[] }).expect("commits");

    let more = Version { orders: |b, orders| orders.merge(&b.stream("web-orders", texts())), ..FIRST };
    shop.upgrade(&more);
    shop.order("coat");
    shop.run().expect("believed");
    assert_eq!(shop.count("coat"), 3);
    shop.upgrade(&FIRST);
    assert!(matches!(shop.run(), Err(Error::Incompatible(_))), "now there is a fingerprint");
}
