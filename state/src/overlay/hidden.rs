//! Where a scan walks over entries without seeing one.

use std::ops::Bound;

use crate::{Direction, Range};

/// A scan that has walked over more entries than this before its first visible one remembers where they are.
const WALKED_MAX: usize = 8;

/// Keys of which none has a value, as this task sees it: `[from, to)`.
///
/// A store that is a queue (what waits for its time is put at the end and taken from the front) is scanned from its front
/// for every record, and every scan would walk over all that has been taken since the last commit.
#[derive(Default)]
pub(super) struct Hidden {
    from: Vec<u8>,
    /// Not larger than `from`: nothing is known.
    to: Vec<u8>,
}

impl Hidden {
    /// The range without what is known to be hidden at its lower end.
    #[inline]
    pub(super) fn skip<'a>(&'a self, range: Range<'a>) -> Range<'a> {
        if self.covers(lower_end(range)) { Range { from: Bound::Included(&self.to), to: range.to } } else { range }
    }

    /// A key has a value now.
    #[inline]
    pub(super) fn put(&mut self, key: &[u8]) {
        if self.covers(key) {
            self.to.clear();
            self.to.extend_from_slice(key);
        }
    }

    /// Any key may have a value again.
    pub(super) fn clear(&mut self) {
        self.to.clear();
    }

    /// Takes in what a scan of a range has walked over.
    pub(super) fn learn(&mut self, range: Range<'_>, walk: Walk) {
        if walk.walked <= WALKED_MAX {
            return;
        }
        let from = lower_end(range);
        // Within what was known, the scan began where that ended.
        if !self.covers(from) {
            self.from.clear();
            self.from.extend_from_slice(from);
            if matches!(range.from, Bound::Excluded(_)) {
                self.from.push(0);
            }
        }
        self.to = walk.to;
    }

    #[inline]
    fn covers(&self, key: &[u8]) -> bool {
        !self.to.is_empty() && self.from.as_slice() <= key && key < self.to.as_slice()
    }
}

fn lower_end<'a>(range: Range<'a>) -> &'a [u8] {
    match range.from {
        Bound::Included(from) | Bound::Excluded(from) => from,
        Bound::Unbounded => b"",
    }
}

/// The entries that a scan has walked over before its first visible one.
#[derive(Default)]
pub(super) struct Walk {
    walked: usize,
    /// The first visible key, or the smallest behind the last that was walked over.
    to: Vec<u8>,
    over: bool,
}

impl Walk {
    /// Nothing is remembered of scans in reverse: nothing is taken from the end of a queue.
    #[inline]
    pub(super) fn new(direction: Direction) -> Self {
        Walk { over: direction == Direction::Reverse, ..Walk::default() }
    }

    #[inline]
    pub(super) fn hidden(&mut self, key: &[u8]) {
        if self.over {
            return;
        }
        self.walked += 1;
        if self.walked > WALKED_MAX {
            self.to.clear();
            self.to.extend_from_slice(key);
            self.to.push(0);
        }
    }

    #[inline]
    pub(super) fn visible(&mut self, key: &[u8]) {
        if self.over {
            return;
        }
        self.over = true;
        if self.walked > WALKED_MAX {
            self.to.clear();
            self.to.extend_from_slice(key);
        }
    }
}
