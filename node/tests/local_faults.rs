//! Whole commits under injected faults: the process stops at every n-th write and at every n-th sync, with and without the
//! loss of what was not synced; the disk is full. After each, what is there is a prefix of whole commits, and nothing that
//! was answered under `Sync::Always` is missing.

mod local_support;

use std::sync::Arc;
use std::time::Duration;

use local_support::{config, records, runtime};
use node::local::{Action, Error, GroupPosition, LocalBroker, NewTopic, Produce, Sync};
use state::{Backend, FaultBackend, Memory};
use streams::{Headers, Offset};

const TOPICS: [(&str, u32); 3] = [("a", 1), ("b", 2), ("c", 1)];
const COMMITS: u64 = 12;

fn open(fault: &Arc<FaultBackend>, sync: Sync) -> Result<Arc<LocalBroker>, Error> {
    let backend: Arc<dyn Backend> = fault.clone();
    let broker = LocalBroker::open(backend, config(sync), None)?;
    broker.create_topics(&TOPICS.map(|(name, partitions)| NewTopic::new(name, partitions)))?;
    Ok(broker)
}

/// Commit number `n`: a record in each of four partitions, and the group's position.
async fn commit(broker: &LocalBroker, n: u64) -> Result<(), Error> {
    let text = n.to_string();
    let places = [("a", 0), ("b", 0), ("b", 1), ("c", 0)];
    let record = |(topic, partition)| Produce {
        topic,
        partition: Some(partition),
        key: Some(text.as_bytes()),
        value: Some(text.as_bytes()),
        timestamp: 1,
        headers: Headers::empty(),
    };
    let offset = Offset(i64::try_from(n).expect("small") + 1);
    let position = GroupPosition { group: "g", topic: "a", partition: 0, offset, metadata: "m" };
    let placed = broker.write(&places.map(record), &[position]).await?;
    assert!(placed.iter().all(|(_, offset)| offset.0 == i64::try_from(n).expect("small")), "{placed:?}");
    Ok(())
}

/// Checks that what is there is commits `0..n`, each whole, and answers `n`.
fn whole_commits(broker: &LocalBroker, context: &str) -> u64 {
    let a = records(broker, "a", 0);
    for (n, (key, _)) in a.iter().enumerate() {
        assert_eq!(key, n.to_string().as_bytes(), "{context}");
    }
    for (topic, partition) in [("b", 0), ("b", 1), ("c", 0)] {
        assert_eq!(records(broker, topic, partition), a, "{context}: {topic}-{partition} has the same commits");
    }
    let committed = broker.committed("g", "a", 0).expect("known").map_or(0, |c| c.offset.0);
    assert_eq!(committed, a.len() as i64, "{context}: the position is that of the last commit");
    a.len() as u64
}

/// Commits until the fault, restarts, checks; answers whether the fault came.
fn stop_at(sync: Sync, arm: &dyn Fn(&FaultBackend), lose: bool, context: &str) -> bool {
    let runtime = runtime();
    let fault = Arc::new(FaultBackend::new(Arc::new(Memory::new())));
    // Topics are there already, and synced: the faults are those of the log at work.
    drop(open(&fault, sync).expect("opens"));
    let broker = open(&fault, sync).expect("opens");
    arm(&fault);
    let mut answered = 0;
    let mut stopped = false;
    for n in 0..COMMITS {
        match runtime.block_on(commit(&broker, n)) {
            Ok(()) => answered = n + 1,
            Err(e) => {
                assert!(matches!(e, Error::Failed(_)), "{context}: {e}");
                assert_eq!(e.action(), Action::Crash);
                stopped = true;
                let again = runtime.block_on(commit(&broker, n)).expect_err("refuses everything from then on");
                assert!(matches!(again, Error::Failed(_)) && broker.failure().is_some(), "{context}");
                break;
            }
        }
    }
    // A dead process syncs nothing more.
    fault.freeze_after_writes(0);
    drop(broker);
    fault.thaw();
    if lose {
        fault.lose_unsynced().expect("loses");
    }
    let broker = open(&fault, sync).expect("opens again");
    let kept = whole_commits(&broker, context);
    if !lose || sync == Sync::Always {
        assert!(kept >= answered, "{context}: {answered} answered, {kept} kept");
    }
    assert!(kept <= answered + 1, "{context}: at most the one under way beyond what was answered");
    for n in kept..COMMITS {
        runtime.block_on(commit(&broker, n)).expect("goes on where it stopped");
    }
    // An orderly stop syncs everything.
    drop(broker);
    let broker = open(&fault, sync).expect("opens");
    assert_eq!(whole_commits(&broker, context), COMMITS);
    stopped
}

#[test]
fn a_stop_at_any_write_or_sync_leaves_a_prefix_of_whole_commits() {
    // Never due by itself: all syncs of the second mode are those of closing.
    for sync in [Sync::Always, Sync::Interval(Duration::from_secs(3_600)), Sync::Interval(Duration::ZERO)] {
        for lose in [false, true] {
            let mut stops = 0;
            for n in 0..COMMITS {
                let context = format!("{sync:?}, write {n}, unsynced lost: {lose}");
                stops += u64::from(stop_at(sync, &|f| f.freeze_after_writes(n), lose, &context));
            }
            assert_eq!(stops, COMMITS, "{sync:?}: every write was stopped at once");
            if sync == Sync::Always {
                for n in 0..COMMITS {
                    let context = format!("{sync:?}, sync {n}, unsynced lost: {lose}");
                    assert!(stop_at(sync, &|f| f.freeze_after_syncs(n), lose, &context), "{context}");
                }
            }
        }
    }
}

#[test]
fn requests_grouped_into_one_write_are_each_whole() {
    let runtime = runtime();
    let fault = Arc::new(FaultBackend::new(Arc::new(Memory::new())));
    let broker = open(&fault, Sync::Always).expect("opens");
    let before = fault.counts();
    runtime.block_on(async {
        let commits = (0..200).map(|n| commit(&broker, n));
        for outcome in futures_util::future::join_all(commits).await {
            outcome.expect("committed");
        }
    });
    assert_eq!(whole_commits(&broker, "grouped"), 200);
    let (writes, syncs) = (fault.counts().writes - before.writes, fault.counts().syncs - before.syncs);
    assert_eq!(writes, syncs);
    assert!(writes < 100, "200 requests at once took {writes} writes");
    assert_eq!(broker.stats().requests, 200);
}

#[test]
fn a_full_disk_refuses_the_commit_and_what_is_behind_it_then_goes_on() {
    let runtime = runtime();
    let fault = Arc::new(FaultBackend::new(Arc::new(Memory::new())));
    let broker = open(&fault, Sync::Always).expect("opens");
    for n in 0..5 {
        runtime.block_on(commit(&broker, n)).expect("committed");
        fault.fail_next_write();
        let e = runtime.block_on(commit(&broker, n + 1)).expect_err("no space");
        assert!(matches!(e, Error::DiskFull(_)), "{e}");
        assert_eq!(e.action(), Action::Retry);
        assert!(broker.failure().is_none(), "a full disk is not the end");
    }
    assert_eq!(whole_commits(&broker, "full disk"), 5);
    assert_eq!(broker.stats().write_failures, 5);
    drop(broker);
    let broker = open(&fault, Sync::Always).expect("opens");
    assert_eq!(whole_commits(&broker, "reopened"), 5);
}

#[test]
fn a_worker_meets_a_full_disk_and_loses_nothing() {
    let runtime = runtime();
    let fault = Arc::new(FaultBackend::new(Arc::new(Memory::new())));
    let backend: Arc<dyn Backend> = fault.clone();
    let broker = LocalBroker::open(backend.clone(), config(Sync::Always), None).expect("opens");
    local_support::create_topics(&broker, &local_support::word_count());
    let mut running = local_support::Running::start(&broker, &backend, 2).expect("starts");
    running.run().expect("runs");
    for text in ["a b", "b c c", "a", "d e f", "a a"] {
        runtime.block_on(local_support::line(&broker, text)).expect("committed");
        fault.fail_next_write();
        running.run().expect("the worker aborts and tries again");
    }
    assert_eq!(fault.counts().disk_full, 5);
    assert_eq!(running.counts("disk"), local_support::expected(&broker));
    assert_eq!(running.counts("memory"), local_support::expected(&broker));
    local_support::audit(&broker, &backend, "full disk");
}
