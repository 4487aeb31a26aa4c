//! Slots in the order of their keys: runs of bounded length, one after the other.
//!
//! A new slot moves those of its run only, so it costs the same next to ten slots as next to a million; keys stay where they
//! are, in the slots.

/// Slots of a run; a longer one is split in halves.
const RUN_MAX: usize = 256;

/// When at least one in so many slots is new, they are sorted with the others at once.
const SORTED_AT_ONCE: usize = 16;

/// Sorts slots by their keys. Those that differ within eight bytes behind what all have in common are told apart without a
/// look at the keys, which lie anywhere in memory.
pub(super) fn sort<'a>(slots: &mut [u32], key: impl Fn(u32) -> &'a [u8]) {
    let Some((&first, others)) = slots.split_first() else { return };
    let first = key(first);
    let common = others.iter().fold(first.len(), |common, &slot| {
        let equal = first.iter().zip(key(slot)).take(common).take_while(|(a, b)| a == b);
        equal.count()
    });
    let mut sorted: Vec<(u64, u32)> = slots.iter().map(|&slot| (prefix(key(slot), common), slot)).collect();
    sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| key(a.1).cmp(key(b.1))));
    slots.iter_mut().zip(sorted).for_each(|(slot, (_, sorted))| *slot = sorted);
}

/// The eight bytes of a key from one on, of which the first counts most; zeros where it ends.
fn prefix(key: &[u8], from: usize) -> u64 {
    let rest = key.get(from..).unwrap_or_default();
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(rest).for_each(|(byte, &of)| *byte = of);
    u64::from_be_bytes(bytes)
}

#[derive(Default)]
pub(super) struct Order {
    /// Only the first may be empty, when it is the only one.
    runs: Vec<Vec<u32>>,
    len: usize,
}

impl Order {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes in slots that it does not have; `key` is a slot's.
    pub(super) fn extend<'a>(&mut self, new: &[u32], key: impl Fn(u32) -> &'a [u8]) {
        if new.len() * SORTED_AT_ONCE < self.len {
            new.iter().for_each(|&slot| self.insert(slot, &key));
            return;
        }
        if new.is_empty() {
            return;
        }
        // The sort finds what is sorted already, and merges.
        let mut all = self.runs.drain(..).flatten().collect::<Vec<u32>>();
        all.extend_from_slice(new);
        all.sort_by(|&a, &b| key(a).cmp(key(b)));
        self.len = all.len();
        // Half full, so that the next ones find room.
        self.runs.extend(all.chunks(RUN_MAX / 2).map(<[u32]>::to_vec));
    }

    fn insert<'a>(&mut self, slot: u32, key: &impl Fn(u32) -> &'a [u8]) {
        self.len += 1;
        let at = self.run_of(slot, key).min(self.runs.len().saturating_sub(1));
        let Some(run) = self.runs.get_mut(at) else { return self.runs.push(vec![slot]) };
        let place = run.partition_point(|&other| key(other) < key(slot));
        run.insert(place, slot);
        if run.len() > RUN_MAX {
            let upper = run.split_off(RUN_MAX / 2);
            self.runs.insert(at + 1, upper);
        }
    }

    /// Gives up a slot that it has.
    pub(super) fn remove<'a>(&mut self, slot: u32, key: impl Fn(u32) -> &'a [u8]) {
        let at = self.run_of(slot, &key);
        let Some(run) = self.runs.get_mut(at) else { return };
        let place = run.partition_point(|&other| key(other) < key(slot));
        debug_assert_eq!(run.get(place), Some(&slot), "a slot under its key");
        if place < run.len() {
            run.remove(place);
            self.len -= 1;
        }
        if run.is_empty() && self.runs.len() > 1 {
            self.runs.remove(at);
        }
    }

    /// The run that a slot is in, or would be.
    fn run_of<'a>(&self, slot: u32, key: &impl Fn(u32) -> &'a [u8]) -> usize {
        self.runs.partition_point(|run| run.last().is_some_and(|&last| key(last) < key(slot)))
    }

    /// The slots that are neither below nor above a range.
    #[inline]
    pub(super) fn range(
        &self,
        is_below: impl Fn(u32) -> bool,
        is_above: impl Fn(u32) -> bool,
    ) -> impl DoubleEndedIterator<Item = u32> {
        let from = self.runs.partition_point(|run| run.last().is_some_and(|&last| is_below(last)));
        let to = self.runs.partition_point(|run| run.first().is_none_or(|&first| !is_above(first)));
        self.runs.get(from..to).unwrap_or_default().iter().flat_map(move |run| {
            // Only the first and the last of the runs are cut.
            let is_cut_below = run.first().is_some_and(|&first| is_below(first));
            let is_cut_above = run.last().is_some_and(|&last| is_above(last));
            let from = if is_cut_below { run.partition_point(|&slot| is_below(slot)) } else { 0 };
            let to = if is_cut_above { run.partition_point(|&slot| !is_above(slot)) } else { run.len() };
            run.get(from..to).unwrap_or_default().iter().copied()
        })
    }

    /// Forgets all slots, and keeps room for the next.
    pub(super) fn clear(&mut self) {
        self.runs.truncate(1);
        self.runs.iter_mut().for_each(Vec::clear);
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slots_are_sorted_by_all_of_their_keys(
            common in vec(any::<u8>(), 0..12),
            // Few bytes, so that many keys are equal for long, or each other's beginning.
            keys in vec(vec(prop::sample::select(vec![0u8, 1, 0xff]), 0..14), 0..40),
        ) {
            let keys: Vec<Vec<u8>> = keys.into_iter().map(|key| [&common[..], &key].concat()).collect();
            let mut slots: Vec<u32> = (0..keys.len() as u32).collect();
            sort(&mut slots, |slot| &keys[slot as usize]);
            let sorted: Vec<&Vec<u8>> = slots.iter().map(|&slot| &keys[slot as usize]).collect();
            let mut expected: Vec<&Vec<u8>> = keys.iter().collect();
            expected.sort();
            prop_assert_eq!(sorted, expected);
            slots.sort_unstable();
            prop_assert_eq!(slots, (0..keys.len() as u32).collect::<Vec<_>>());
        }
    }
}
