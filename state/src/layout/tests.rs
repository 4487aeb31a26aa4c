use super::*;
use proptest::prelude::*;

/// Keys that meet the marks: short, of zero, one, 0xff and a letter.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0u8, 1, b'a', 0xfe, 0xff]), 0..5)
}

/// Times near each other, and at both ends.
fn time() -> impl Strategy<Value = u64> {
    prop_oneof![0..400_000u64, (0..1_000u64).prop_map(|back| u64::MAX - back)]
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

const SEGMENTS: Segments = Segments { segment_ms: 60_000 };

#[test]
fn bytes_are_as_documented() {
    let window = encoded(|out| WindowKey::encode(SEGMENTS, b"k\0", 60_001, 7, out));
    assert_eq!(window, b"\0\0\0\0\0\0\0\x01k\0\xff\0\x01\0\0\0\0\0\0\xea\x61\0\0\0\x07");
    let session = encoded(|out| SessionKey::encode(SEGMENTS, b"k", 1, 60_000, out));
    assert_eq!(session, b"\0\0\0\0\0\0\0\x01k\0\x01\0\0\0\0\0\0\xea\x60\0\0\0\0\0\0\0\x01");
    let versioned = encoded(|out| VersionedKey::encode(b"k", 1, out));
    assert_eq!(versioned, b"k\0\x01\xff\xff\xff\xff\xff\xff\xff\xfe");
    let timer = encoded(|out| TimerKey::encode(1, b"k", out));
    assert_eq!(timer, b"\0\0\0\0\0\0\0\x01k");
    assert_eq!(ordered_i64(0), [0x80, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn segments_expire_whole_and_only_past_retention() {
    let segments = Segments::for_retention(300_000);
    assert_eq!(segments, Segments::of(150_000));
    assert_eq!(Segments::for_retention(1_000), Segments::of(60_000));
    // At 600 s the oldest live time is 300 s, the first of segment 2.
    assert_eq!(segments.first_live(600_000, 300_000), 2);
    assert_eq!(segments.first_live(599_999, 300_000), 1);
    assert_eq!(segments.first_live(10, 300_000), 0);
    let mut range = KeyRange::default();
    expired_segments(2, &mut range);
    let key_at = |time| encoded(|out| WindowKey::encode(segments, b"\xff\xff", time, u32::MAX, out));
    assert!(range.as_range().contains(&key_at(299_999)));
    assert!(!range.as_range().contains(&key_at(300_000)));
    let first_of_segment_2 = encoded(|out| WindowKey::encode(segments, b"", 300_000, 0, out));
    assert!(!range.as_range().contains(&first_of_segment_2));
}

proptest! {
    #[test]
    fn numbers_sort_as_bytes(a: i64, b: i64) {
        prop_assert_eq!(ordered_i64(a).cmp(&ordered_i64(b)), a.cmp(&b));
        prop_assert_eq!(from_ordered_i64(ordered_i64(a)), a);
    }

    #[test]
    fn delimited_parts_keep_order_and_never_mix(a in key(), a2 in key(), b in key(), b2 in key()) {
        let composite = |first: &[u8], second: &[u8]| encoded(|out| {
            push_delimited(first, out);
            out.extend_from_slice(second);
        });
        let (one, two) = (composite(&a, &a2), composite(&b, &b2));
        prop_assert_eq!(one.cmp(&two), (&a, &a2).cmp(&(&b, &b2)));
        let (first, rest) = split_delimited(&one).unwrap();
        prop_assert_eq!((&*first, rest), (&a[..], &a2[..]));
        let prefix = composite(&b, b"");
        prop_assert_eq!(Range::prefix(&prefix).as_range().contains(&one), a == b);
    }

    #[test]
    fn window_ranges_hold_one_key_and_its_times(a in key(), b in key(), at in time(), seq: u32, from in time(), to in time()) {
        let bytes = encoded(|out| WindowKey::encode(SEGMENTS, &a, at, seq, out));
        let decoded = WindowKey::decode(&bytes).unwrap();
        prop_assert_eq!((decoded.segment, &*decoded.key, decoded.time, decoded.sequence), (at / 60_000, &a[..], at, seq));
        let mut range = KeyRange::default();
        WindowKey::range(SEGMENTS.segment(at), &b, from, to, &mut range);
        prop_assert_eq!(range.as_range().contains(&bytes), a == b && from <= at && at <= to);
        prop_assert_eq!(SEGMENTS.between(from, to).contains(&decoded.segment), from / 60_000 <= at / 60_000 && at / 60_000 <= to / 60_000);
    }

    #[test]
    fn window_keys_sort_by_segment_key_time(a in key(), b in key(), at in time(), bt in time()) {
        let one = encoded(|out| WindowKey::encode(SEGMENTS, &a, at, 1, out));
        let two = encoded(|out| WindowKey::encode(SEGMENTS, &b, bt, 1, out));
        prop_assert_eq!(one.cmp(&two), (at / 60_000, &a, at).cmp(&(bt / 60_000, &b, bt)));
    }

    #[test]
    fn session_ranges_hold_one_key_and_its_ends(a in key(), b in key(), start in time(), end in time(), from in time(), to in time()) {
        let bytes = encoded(|out| SessionKey::encode(SEGMENTS, &a, start, end, out));
        let decoded = SessionKey::decode(&bytes).unwrap();
        prop_assert_eq!((decoded.segment, &*decoded.key, decoded.start, decoded.end), (end / 60_000, &a[..], start, end));
        let mut range = KeyRange::default();
        SessionKey::range(SEGMENTS.segment(end), &b, from, to, &mut range);
        prop_assert_eq!(range.as_range().contains(&bytes), a == b && from <= end && end <= to);
    }

    #[test]
    fn versions_come_newest_first(a in key(), b in key(), at in time(), bt in time(), from in time(), to in time()) {
        let one = encoded(|out| VersionedKey::encode(&a, at, out));
        let two = encoded(|out| VersionedKey::encode(&b, bt, out));
        prop_assert_eq!(one.cmp(&two), (&a, bt).cmp(&(&b, at)));
        prop_assert_eq!(VersionedKey::decode(&one).unwrap(), VersionedKey { key: Cow::Borrowed(&a), valid_from: at });
        let mut range = KeyRange::default();
        VersionedKey::range(&b, from, to, &mut range);
        prop_assert_eq!(range.as_range().contains(&one), a == b && from <= at && at <= to);
    }

    #[test]
    fn timers_sort_by_due_time(a in key(), b in key(), at in time(), bt in time()) {
        let one = encoded(|out| TimerKey::encode(at, &a, out));
        let two = encoded(|out| TimerKey::encode(bt, &b, out));
        prop_assert_eq!(one.cmp(&two), (at, &a).cmp(&(bt, &b)));
        prop_assert_eq!(TimerKey::decode(&one).unwrap(), TimerKey { due: at, key: &a });
        let mut range = KeyRange::default();
        TimerKey::due(bt, &mut range);
        prop_assert_eq!(range.as_range().contains(&one), at <= bt);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = WindowKey::decode(&bytes);
        let _ = SessionKey::decode(&bytes);
        let _ = VersionedKey::decode(&bytes);
        let _ = TimerKey::decode(&bytes);
        if let Some((part, rest)) = split_delimited(&bytes) {
            let again = encoded(|out| {
                push_delimited(&part, out);
                out.extend_from_slice(rest);
            });
            prop_assert_eq!(again, bytes);
        }
    }
}
