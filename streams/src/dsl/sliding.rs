//! Sliding windows (KIP-450): which windows a record makes and which it changes. The rules are those of Kafka Streams'
//! `KStreamSlidingWindowAggregate` (`processReverse`, `processEarly`, `createWindows`).
//!
//! A record at `t` makes the window `[t - difference, t]` that ends with it, its *left* window, and the window
//! `[t + 1, t + 1 + difference]` right after it, its *right* window, as soon as that holds a record. A window starts so
//! only where the set of records in it changes. Records with `t < difference` share the window `[0, difference]`.

use std::collections::BTreeSet;

use state::Direction;

use crate::dsl::windowed_stream::Step;
use crate::dsl::windows::SlidingWindows;
use crate::error::ProcessError;
use crate::types::Timestamp;

/// What the windows around a record's time say of its neighbours.
struct Neighbours<A> {
    /// Starts of the windows seen.
    starts: BTreeSet<Timestamp>,
    /// Row of the closest window that ends before the record: what is in its left window, if that is not too old.
    left: Option<A>,
    /// Row and timestamp of the latest window that holds the record's time: what is after the record, if something is.
    right: Option<(A, Timestamp)>,
    /// The record's own windows are there already.
    left_exists: bool,
    right_exists: bool,
    /// The closest record before this one, where its right window may be missing.
    previous: Option<Timestamp>,
}

/// Puts a record into its windows. Answers whether closed windows may be searched for: not with a record that is late or
/// early.
pub(crate) fn process<K: Clone + 'static, A: Clone + 'static>(
    step: &mut Step<'_, '_, '_, K, A>,
    windows: SlidingWindows,
) -> Result<bool, ProcessError> {
    let (time, difference) = (step.timestamp, windows.difference_ms);
    if time + difference < step.close_time {
        step.cx.record_dropped();
        return Ok(false);
    }
    if time < difference {
        early(step, difference)?;
        return Ok(false);
    }
    if let Some(around) = change_existing(step, difference)? {
        create_missing(step, difference, around)?;
    }
    Ok(true)
}

/// Adds the record to the windows that hold its time, latest first. `None` if a record of the same time was there: then
/// no window is missing.
fn change_existing<K: Clone + 'static, A: Clone + 'static>(
    step: &mut Step<'_, '_, '_, K, A>,
    difference: i64,
) -> Result<Option<Neighbours<A>>, ProcessError> {
    let time = step.timestamp;
    // One past the record's time, to see its right window.
    let range = ((time - 2 * difference).max(0), time + 1);
    let mut around = Neighbours {
        starts: BTreeSet::new(),
        left: None,
        right: None,
        left_exists: false,
        right_exists: false,
        previous: None,
    };
    for (start, row, latest) in step.shared.store.collect(step.cx, step.key, range, Direction::Reverse)? {
        around.starts.insert(start);
        let end = start + difference;
        if start == time + 1 {
            around.right_exists = true;
        } else if end > time {
            around.right.get_or_insert_with(|| (row.clone(), latest));
            add_if_open(step, (start, end), Some((row, latest)))?;
        } else if end == time {
            around.left_exists = true;
            add_if_open(step, (start, end), Some((row, latest)))?;
            if latest >= time {
                return Ok(None);
            }
            around.previous = Some(latest);
        } else {
            around.left = Some(row);
            around.previous = Some(latest);
            break;
        }
    }
    Ok(Some(around))
}

fn create_missing<K: Clone + 'static, A: Clone + 'static>(
    step: &mut Step<'_, '_, '_, K, A>,
    difference: i64,
    around: Neighbours<A>,
) -> Result<(), ProcessError> {
    let time = step.timestamp;
    // The right window of the record before this one, if this is the first record in it.
    if let Some(previous) = around.previous {
        let start = previous + 1;
        if !around.starts.contains(&start) && start + difference >= time {
            add_if_open(step, (start, start + difference), None)?;
        }
    }
    if !around.left_exists {
        let before = around.left.filter(|_| around.previous.is_some_and(|previous| time - difference <= previous));
        add_if_open(step, (time - difference, time), before.map(|row| (row, time)))?;
    }
    if !around.right_exists {
        create_right(step, difference, around.right)?;
    }
    Ok(())
}

/// The record's own right window, of the records after it.
fn create_right<K: Clone + 'static, A: Clone + 'static>(
    step: &mut Step<'_, '_, '_, K, A>,
    difference: i64,
    right: Option<(A, Timestamp)>,
) -> Result<(), ProcessError> {
    let start = step.timestamp + 1;
    match right {
        Some((row, latest)) if latest > step.timestamp => step.put((start, start + difference), row, None, latest),
        _ => Ok(()),
    }
}

/// A record whose left window would start before the epoch: it goes into `[0, difference]`.
fn early<K: Clone + 'static, A: Clone + 'static>(
    step: &mut Step<'_, '_, '_, K, A>,
    difference: i64,
) -> Result<(), ProcessError> {
    let time = step.timestamp;
    let mut starts = BTreeSet::new();
    let (mut combined, mut right, mut right_exists, mut previous) = (None, None, false, None);
    for (start, row, latest) in step.shared.store.collect(step.cx, step.key, (0, time + 1), Direction::Forward)? {
        starts.insert(start);
        if start == 0 {
            previous = (latest < time).then_some(latest);
            combined = Some((row, latest));
        } else if start <= time {
            right = Some((row.clone(), latest));
            add_if_open(step, (start, start + difference), Some((row, latest)))?;
        } else {
            right_exists = true;
        }
    }
    // Without a window in between, all records of the combined window are after this one.
    let right = right.or_else(|| combined.clone().filter(|(_, latest)| *latest > time));
    if !right_exists {
        create_right(step, difference, right)?;
    }
    if let Some(start) = previous.map(|previous: Timestamp| previous + 1)
        && !starts.contains(&start)
    {
        add_if_open(step, (start, start + difference), None)?;
    }
    add_if_open(step, (0, difference), combined)
}

/// Adds the record to a window, unless that is closed.
fn add_if_open<K: Clone + 'static, A: Clone + 'static>(
    step: &mut Step<'_, '_, '_, K, A>,
    bounds: (Timestamp, Timestamp),
    row: Option<(A, Timestamp)>,
) -> Result<(), ProcessError> {
    if bounds.1 < step.close_time {
        step.cx.record_dropped();
        return Ok(());
    }
    step.add(bounds, row)
}
