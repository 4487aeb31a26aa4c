//! The gateway's side of Kafka: topics, appending, following, and the payment worker's group.

mod kafka_support;

use std::time::Duration;

use kafka_support::{PATIENCE, Scene, wait_until};
use node::engine::now_ms;
use node::kafka::{GroupReader, KafkaAppender, KafkaTail, TopicChange, TopicsError, ensure_topics, topic_specs};
use query_api::platform::{AppendError, TailError, TailFrom, TailItem};
use streams::Offset;
use streams::partitioner::partition_for_key;

const PARTITIONS: u32 = 3;

#[test]
#[ignore = "needs Kafka: ./test kafka"]
fn topics_are_created_once_and_a_difference_is_refused_with_its_remedy() {
    let scene = Scene::new("topics", PARTITIONS);
    let settings = scene.settings("a");
    let specs = topic_specs(&settings, &scene.topology, PARTITIONS, 86_400_000);
    let again = ensure_topics(&settings, &specs, false).expect("nothing to do");
    assert!(again.iter().all(|c| matches!(c, TopicChange::Present(_))), "{again:?}");
    assert_eq!(again.len(), scene.topology.topics().len());

    let more = topic_specs(&settings, &scene.topology, PARTITIONS + 1, 86_400_000);
    let Err(TopicsError::Different(differences)) = ensure_topics(&settings, &more, true) else {
        panic!("a different partition count was taken")
    };
    assert_eq!(differences.len(), specs.len());
    assert!(differences[0].contains("topics.partitions = 3"), "{differences:?}");

    let mut new = specs.clone();
    new[0].name.push_str("-new");
    let dry = ensure_topics(&settings, &new, true).expect("a dry run");
    let created = |changes: &[TopicChange]| changes.iter().filter(|c| matches!(c, TopicChange::Created(_))).count();
    assert_eq!(created(&dry), 1);
    let dry = ensure_topics(&settings, &new, true).expect("a dry run");
    assert_eq!(created(&dry), 1, "a dry run creates nothing");
    ensure_topics(&settings, &new, false).expect("created");
    assert_eq!(created(&ensure_topics(&settings, &new, true).expect("a dry run")), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: ./test kafka"]
async fn an_append_says_where_it_landed_and_a_tail_sees_it_there() {
    let scene = Scene::new("append", PARTITIONS);
    let settings = scene.settings("a");
    let appender = KafkaAppender::new(&settings, Duration::from_secs(5)).expect("an appender");
    let tails = KafkaTail::new(&settings, "word-count");
    let follow = |from: TailFrom| {
        let tails = tails.clone();
        async move { tokio::task::spawn_blocking(move || tails.follow("lines", &from)).await.expect("no panic") }
    };
    let mut tail = follow(TailFrom::End).await.expect("a tail");
    assert_eq!(tail.start, (0..PARTITIONS).map(|p| (p, Offset::ZERO)).collect::<Vec<_>>());

    let mut appended = Vec::new();
    for n in 0..20 {
        let key = format!("key-{n}");
        let at = appender.append("lines", key.as_bytes(), b"value", now_ms()).await.expect("appended");
        assert_eq!(at.partition, partition_for_key(key.as_bytes(), PARTITIONS), "Java's partition");
        appended.push((at.partition, at.offset, key.into_bytes()));
    }
    let (mut seen, mut caught_up) = (Vec::new(), 0);
    while seen.len() < appended.len() || caught_up == 0 {
        match tokio::time::timeout(PATIENCE, tail.items.recv()).await.expect("in time").expect("open") {
            TailItem::Record(r) => seen.push((r.partition, r.offset, r.key)),
            TailItem::CaughtUp { .. } => caught_up += 1,
        }
    }
    seen.sort();
    appended.sort();
    assert_eq!(seen, appended);

    // From an offset on, as a browser that comes back asks.
    let (partition, offset, _) = appended[3].clone();
    let mut tail = follow(TailFrom::Offsets(vec![(partition, offset)])).await.expect("a tail");
    let item = tokio::time::timeout(PATIENCE, tail.items.recv()).await.expect("in time");
    let mut first = item;
    while matches!(first, Some(TailItem::CaughtUp { .. })) {
        first = tokio::time::timeout(PATIENCE, tail.items.recv()).await.expect("in time");
    }
    assert!(matches!(first, Some(TailItem::Record(r)) if r.partition == partition && r.offset == offset));

    let missing =
        tokio::task::spawn_blocking(move || tails.follow("no-such-topic", &TailFrom::End)).await.expect("no panic");
    assert!(matches!(missing, Err(TailError::UnknownTopic(_) | TailError::Unavailable(_))), "{missing:?}");
    let refused = appender.append("no-such-topic", b"k", b"v", now_ms()).await;
    assert!(matches!(refused, Err(AppendError::Refused(_) | AppendError::Unavailable(_))), "{refused:?}");
    let refused = appender.append("lines", b"k", &vec![0; 2_000_000], now_ms()).await;
    assert!(matches!(refused, Err(AppendError::Refused(_))), "{refused:?}");
}

/// What was not committed is read again, what was committed is not.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka: ./test kafka"]
async fn a_group_reader_goes_on_behind_what_was_committed() {
    let mut scene = Scene::new("reader", 1);
    scene.produce(10);
    let settings = scene.settings("a");
    let next = async |reader: &mut GroupReader| {
        tokio::time::timeout(PATIENCE, reader.next()).await.expect("in time").expect("open")
    };
    let mut reader = GroupReader::join(&settings, "payment", "payment-a", "lines").expect("a member");
    for n in 0..10 {
        let record = next(&mut reader).await;
        assert_eq!(record.offset, Offset(n));
        if n == 6 {
            reader.commit(record.generation, 0, record.offset.next());
            reader.commit(record.generation + 1, 0, Offset(9));
        }
    }
    // Positions are committed by the reading thread, soon: a member of the same name that came before would fence it.
    wait_until("the position is committed", || scene.group_position("payment", "lines", 0).is_some());
    drop(reader);
    let mut reader = GroupReader::join(&settings, "payment", "payment-a", "lines").expect("a member");
    let record = next(&mut reader).await;
    assert_eq!(
        record.offset,
        Offset(7),
        "the committed prefix is not read again, a commit of another generation is none"
    );
}
