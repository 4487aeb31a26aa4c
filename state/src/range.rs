//! Ranges of keys, in byte order.

use std::ops::Bound;

/// Which way a scan goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Smallest key first.
    Forward,
    /// Largest key first.
    Reverse,
}

/// A range of keys of one store partition, in byte order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range<'a> {
    /// Where the range begins.
    pub from: Bound<&'a [u8]>,
    /// Where it ends.
    pub to: Bound<&'a [u8]>,
}

impl<'a> Range<'a> {
    /// Every key.
    pub fn all() -> Self {
        Range { from: Bound::Unbounded, to: Bound::Unbounded }
    }

    /// Keys in `[from, to)`.
    pub fn half_open(from: &'a [u8], to: &'a [u8]) -> Self {
        Range { from: Bound::Included(from), to: Bound::Excluded(to) }
    }

    /// Keys in `[from, to]`.
    pub fn inclusive(from: &'a [u8], to: &'a [u8]) -> Self {
        Range { from: Bound::Included(from), to: Bound::Included(to) }
    }

    /// Keys not smaller than `from`.
    pub fn starting_at(from: &'a [u8]) -> Self {
        Range { from: Bound::Included(from), to: Bound::Unbounded }
    }

    /// Keys larger than `key`: where a cursor goes on.
    pub fn after(key: &'a [u8]) -> Self {
        Range { from: Bound::Excluded(key), to: Bound::Unbounded }
    }

    /// Keys smaller than `to`.
    pub fn before(to: &'a [u8]) -> Self {
        Range { from: Bound::Unbounded, to: Bound::Excluded(to) }
    }

    /// Keys that begin with `prefix`; owns its bounds, see [`PrefixRange::as_range`].
    pub fn prefix(prefix: &[u8]) -> PrefixRange {
        PrefixRange { from: prefix.to_vec(), to: prefix_end(prefix) }
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        !self.is_below(key) && !self.is_above(key)
    }

    /// Whether no key can lie in the range.
    pub fn is_empty(&self) -> bool {
        match (self.from, self.to) {
            (Bound::Unbounded, Bound::Excluded(to)) => to.is_empty(),
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (Bound::Included(from), Bound::Included(to)) => from > to,
            (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to))
            | (Bound::Excluded(from), Bound::Included(to)) => from >= to,
        }
    }

    /// Whether `key` is smaller than every key of the range.
    pub(crate) fn is_below(&self, key: &[u8]) -> bool {
        match self.from {
            Bound::Included(from) => key < from,
            Bound::Excluded(from) => key <= from,
            Bound::Unbounded => false,
        }
    }

    /// Whether `key` is larger than every key of the range.
    pub(crate) fn is_above(&self, key: &[u8]) -> bool {
        match self.to {
            Bound::Included(to) => key > to,
            Bound::Excluded(to) => key >= to,
            Bound::Unbounded => false,
        }
    }
}

/// The keys that begin with one prefix: `[prefix, next prefix)`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PrefixRange {
    from: Vec<u8>,
    to: Option<Vec<u8>>,
}

impl PrefixRange {
    /// The same range by reference, as scans take it.
    pub fn as_range(&self) -> Range<'_> {
        Range { from: Bound::Included(&self.from), to: self.to.as_deref().map_or(Bound::Unbounded, Bound::Excluded) }
    }
}

/// The smallest key larger than every key that begins with `prefix`; `None` when there is none (the prefix is empty
/// or all `0xff`).
pub(crate) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_holds_exactly_the_keys_that_begin_with_it() {
        for (prefix, inside, outside) in [
            (&b"ab"[..], &[&b"ab"[..], b"ab\xff\xff", b"ab\0"][..], &[&b"a"[..], b"ac", b"aa\xff"][..]),
            (b"a\xff", &[b"a\xff", b"a\xff\xff\xff"], &[b"a\xfe", b"b", b"a"]),
            (b"\xff", &[b"\xff", b"\xff\xff"], &[b"\xfe", b""]),
            (b"", &[b"", b"\xff\xff"], &[]),
        ] {
            let owned = Range::prefix(prefix);
            for key in inside {
                assert!(owned.as_range().contains(key), "{prefix:?} {key:?}");
            }
            for key in outside {
                assert!(!owned.as_range().contains(key), "{prefix:?} {key:?}");
            }
        }
    }

    #[test]
    fn empty_ranges_are_known() {
        assert!(Range::half_open(b"a", b"a").is_empty());
        assert!(Range::half_open(b"b", b"a").is_empty());
        assert!(Range::before(b"").is_empty());
        assert!(Range::inclusive(b"b", b"a").is_empty());
        assert!(!Range::inclusive(b"a", b"a").is_empty());
        assert!(!Range::all().is_empty());
    }
}
