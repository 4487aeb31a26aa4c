//! The table: every stateful operator, its topology, what of the public API it covers, and what it is held against.

mod models;
mod stores;

use streams::dsl::{
    BufferConfig, CogroupedKStream, Consumed, EmitStrategy, Grouped, JoinWindows, Joined, KGroupedStream,
    KGroupedTable, KStream, KTable, Materialized, Produced, Repartitioned, SessionWindowedSerde, SessionWindows,
    SlidingWindows, StreamJoined, StreamsBuilder, Suppressed, TableJoined, TimeWindowedCogroupedKStream,
    TimeWindowedKStream, TimeWindows, UnlimitedWindows, Windowed,
};
use streams::serde::{I64, Utf8};

use models::{Results, Table, beside};

/// Size, advance and grace of the windows, milliseconds.
const TUMBLING: (i64, i64, i64) = (20, 20, 10);
const HOPPING: (i64, i64, i64) = (20, 8, 10);
/// Time difference of sliding windows, gap of sessions, and their grace.
const DIFFERENCE: i64 = 15;
const GRACE: i64 = 10;

/// A record, as text. Values are `number|reference`, a reference is some key.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) topic: &'static str,
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) time: i64,
}

/// What a row's results are held against, beside themselves under crashes and other partitions.
#[derive(Clone, Copy)]
pub(crate) enum Against {
    /// The rows of the result after each record, worked out from all records so far.
    Table(fn(&[Input]) -> Table),
    /// The results of each record.
    Stream(fn(&[Input]) -> Results),
    /// A property test with a model of its own: file and test.
    Elsewhere(&'static str, &'static str),
}

use Against::Elsewhere;

pub(crate) struct Row {
    pub(crate) operator: String,
    /// Methods of the DSL that this row is for.
    pub(crate) covers: Vec<&'static str>,
    /// Records go to these at random; in `left` and `right` some are removals.
    pub(crate) topics: &'static [&'static str],
    pub(crate) build: Box<dyn Fn(&StreamsBuilder)>,
    pub(crate) against: Against,
    /// Results depend on the stream time of a task.
    pub(crate) timed: bool,
    /// Some records must have been late.
    pub(crate) late: bool,
}

impl Row {
    fn timed(self) -> Self {
        Row { timed: true, ..self }
    }

    fn late(self) -> Self {
        Row { late: true, ..self.timed() }
    }
}

fn row(
    operator: impl Into<String>,
    covers: &[&'static str],
    topics: &'static [&'static str],
    against: Against,
    build: impl Fn(&StreamsBuilder) + 'static,
) -> Row {
    let (operator, covers, build) = (operator.into(), covers.to_vec(), Box::new(build));
    Row { operator, covers, topics, build, against, timed: false, late: false }
}

/// Every stateful operator of the DSL.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = aggregations();
    rows.extend(windowed());
    rows.extend(tables());
    rows.extend(suppressions());
    rows.extend(table_joins());
    rows.extend(stream_joins());
    rows.extend(stores::rows());
    rows
}

/// The other methods: they pass records on, name, group or describe, and keep nothing of their own.
pub(crate) const WITHOUT_STATE: [&str; 43] = [
    "StreamsBuilder::new",
    "StreamsBuilder::stream",
    "StreamsBuilder::topology",
    "StreamsBuilder::build",
    "KStream::named",
    "KStream::filter",
    "KStream::filter_not",
    "KStream::filter_nullable",
    "KStream::map_values",
    "KStream::map_values_with_key",
    "KStream::map",
    "KStream::map_nullable",
    "KStream::flat_map_values",
    "KStream::flat_map",
    "KStream::select_key",
    "KStream::peek",
    "KStream::for_each",
    "KStream::merge",
    "KStream::split",
    "KStream::split_named",
    "KStream::to",
    "KStream::group_by_key",
    "KStream::out",
    "Split::branch",
    "Split::branch_named",
    "Split::branch_chained",
    "Split::default_branch",
    "Split::default_branch_named",
    "Split::no_default_branch",
    "KTable::filter",
    "KTable::filter_not",
    "KTable::map_values",
    "KTable::map_values_with_key",
    "KTable::named",
    "KTable::to_stream",
    "KTable::to_changes",
    "KTable::with_old_values",
    "GlobalKTable::store",
    "KGroupedStream::windowed_by",
    "CogroupedKStream::windowed_by",
    "KGroupedStream::cogroup",
    "CogroupedKStream::cogroup",
    "KTable::group_by",
];

fn stream(b: &StreamsBuilder, topic: &str) -> KStream<String, String> {
    b.stream(topic, Consumed::with(Utf8, Utf8))
}

fn table(b: &StreamsBuilder, topic: &str) -> KTable<String, String> {
    b.table(topic, store(&format!("{topic}-rows")))
}

fn store(name: &str) -> Materialized<String, String> {
    Materialized::new(name, Utf8, Utf8)
}

fn counts() -> Materialized<String, i64> {
    Materialized::new("counts", Utf8, I64)
}

fn out(stream: &KStream<String, String>) {
    stream.to("out", Produced::with(Utf8, Utf8));
}

fn out_table(table: &KTable<String, String>) {
    out(&table.to_stream());
}

fn out_windows(table: &KTable<Windowed<String>, String>) {
    let name = |w: Option<&Windowed<String>>| w.map(|w| format!("{} {} {}", w.key, w.start, w.end));
    out(&table.to_stream().map_nullable(move |w, v: Option<&String>| (name(w), v.cloned())));
}

fn zero() -> String {
    "0".to_owned()
}

fn reference(value: &str) -> String {
    value.split_once('|').map_or_else(String::new, |(_, reference)| reference.to_owned())
}

fn number(value: &str) -> i64 {
    value.split_once('|').and_then(|(n, _)| n.parse().ok()).unwrap_or(0)
}

const IN: &[&str] = &["in"];
const IN_AND_OTHER: &[&str] = &["in", "other"];
const LEFT: &[&str] = &["left"];
const LEFT_AND_RIGHT: &[&str] = &["left", "right"];
const IN_AND_RIGHT: &[&str] = &["in", "right"];

fn aggregations() -> Vec<Row> {
    use Against::Table;
    let in_groups = |b: &StreamsBuilder| stream(b, "in").group_by_key();
    let cogrouped = |b: &StreamsBuilder| {
        let (one, other) = (stream(b, "in").group_by_key(), stream(b, "other").group_by_key());
        one.cogroup(|_, v, a| format!("{a}+{v}")).cogroup(&other, |_, v, a| format!("{a}*{v}"))
    };
    let grouped_rows = |b: &StreamsBuilder| -> KGroupedTable<String, String> {
        table(b, "left").group_by(|_, v| Some((reference(v), v.clone())), Grouped::new("by-reference", Utf8, Utf8))
    };
    let as_number = |a: &String| a.parse::<i64>().unwrap_or_else(|_| number(a));
    vec![
        row("count", &["KGroupedStream::count"], IN, Table(models::count), move |b| {
            out_table(&in_groups(b).count(counts()).map_values(i64::to_string));
        }),
        row("count, held back until the commit", &[], IN, Table(models::count), move |b| {
            out_table(&in_groups(b).count(counts().with_caching_enabled()).map_values(i64::to_string));
        }),
        row("reduce", &["KGroupedStream::reduce"], IN, Table(models::reduce), move |b| {
            out_table(&in_groups(b).reduce(|a, v| format!("{a}+{v}"), store("reduced")));
        }),
        row("aggregate", &["KGroupedStream::aggregate"], IN, Table(models::aggregate), move |b| {
            out_table(&in_groups(b).aggregate(zero, |_, v, a| format!("{a}+{v}"), store("aggregated")));
        }),
        row("cogroup", &["CogroupedKStream::aggregate"], IN_AND_OTHER, Table(models::aggregate), move |b| {
            out_table(&cogrouped(b).aggregate(zero, store("cogrouped")));
        }),
        row("count by a changed key", &["KStream::group_by"], IN, Table(models::count_by_reference), |b| {
            let grouped = stream(b, "in").group_by(|_, v| reference(v), Grouped::new("by-reference", Utf8, Utf8));
            out_table(&grouped.count(counts()).map_values(i64::to_string));
        }),
        row(
            "count by a key changed before",
            &["KStream::group_by_key_with"],
            IN,
            Table(models::count_by_reference),
            |b| {
                let rekeyed = stream(b, "in").select_key(|_, v| reference(v));
                let grouped = rekeyed.group_by_key_with(Grouped::new("by-reference", Utf8, Utf8));
                out_table(&grouped.count(counts()).map_values(i64::to_string));
            },
        ),
        row("table count", &["KGroupedTable::count"], LEFT, Table(models::rows_counted), move |b| {
            out_table(&grouped_rows(b).count(counts()).map_values(i64::to_string));
        }),
        row("table reduce", &["KGroupedTable::reduce"], LEFT, Table(models::rows_summed), move |b| {
            let numbers = table(b, "left")
                .group_by(|_, v| Some((reference(v), number(v).to_string())), Grouped::new("by-reference", Utf8, Utf8));
            out_table(&numbers.reduce(
                move |a, v| (as_number(&a) + as_number(v)).to_string(),
                move |a, v| (as_number(&a) - as_number(v)).to_string(),
                store("reduced"),
            ));
        }),
        row("table aggregate", &["KGroupedTable::aggregate"], LEFT, Table(models::rows_summed), move |b| {
            out_table(&grouped_rows(b).aggregate(
                zero,
                move |_, v, a| (as_number(&a) + number(v)).to_string(),
                move |_, v, a| (as_number(&a) - number(v)).to_string(),
                store("aggregated"),
            ));
        }),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tumbling,
    Hopping,
    Sliding,
    Session,
    Unlimited,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Count,
    Reduce,
    Aggregate,
    Cogroup,
}

/// Each kind of window, each aggregation, on update and on close.
fn windowed() -> Vec<Row> {
    let mut rows = Vec::new();
    for kind in [Kind::Tumbling, Kind::Hopping, Kind::Sliding, Kind::Session, Kind::Unlimited] {
        for operation in [Operation::Count, Operation::Reduce, Operation::Aggregate, Operation::Cogroup] {
            // Unlimited windows do not close, and nothing is too late for them.
            for closes in if kind == Kind::Unlimited { &[false][..] } else { &[false, true] } {
                rows.push(window_row(kind, operation, *closes));
            }
        }
    }
    rows
}

fn window_row(kind: Kind, operation: Operation, closes: bool) -> Row {
    let when = if closes { "close" } else { "update" };
    let name = format!("{kind:?} {operation:?} on {when}").to_lowercase();
    let topics = if operation == Operation::Cogroup { IN_AND_OTHER } else { IN };
    let emit = if closes { EmitStrategy::OnWindowClose { interval_ms: 0 } } else { EmitStrategy::on_window_update() };
    let covers = covers_of(kind, operation);
    let row = row(name, &covers, topics, windows_against(kind, operation, closes), move |b| {
        let table = match (kind, operation) {
            (Kind::Session, Operation::Cogroup) => {
                let windows = cogrouped(b).windowed_by(sessions()).emit_strategy(emit);
                windows.aggregate(zero, |_, a, b| format!("{a}&{b}"), store("windows"))
            }
            (Kind::Session, _) => {
                let windows = stream(b, "in").group_by_key().windowed_by(sessions()).emit_strategy(emit);
                match operation {
                    Operation::Count => windows.count(counts()).map_values(i64::to_string),
                    Operation::Reduce => windows.reduce(|a, v| format!("{a}+{v}"), store("windows")),
                    _ => {
                        let merge = |_: &String, a: String, b: String| format!("{a}&{b}");
                        windows.aggregate(zero, |_, v, a| format!("{a}+{v}"), merge, store("windows"))
                    }
                }
            }
            (_, Operation::Cogroup) => {
                cogroup_windows(kind, cogrouped(b)).emit_strategy(emit).aggregate(zero, store("windows"))
            }
            _ => {
                let windows = windows_of(kind, &stream(b, "in").group_by_key()).emit_strategy(emit);
                match operation {
                    Operation::Count => windows.count(counts()).map_values(i64::to_string),
                    Operation::Reduce => windows.reduce(|a, v| format!("{a}+{v}"), store("windows")),
                    _ => windows.aggregate(zero, |_, v, a| format!("{a}+{v}"), store("windows")),
                }
            }
        };
        out_windows(&table);
    });
    if kind == Kind::Unlimited { row.timed() } else { row.late() }
}

fn covers_of(kind: Kind, operation: Operation) -> Vec<&'static str> {
    let methods: [&'static str; 2] = match (kind == Kind::Session, operation) {
        (false, Operation::Count) => ["TimeWindowedKStream::count", "TimeWindowedKStream::emit_strategy"],
        (false, Operation::Reduce) => ["TimeWindowedKStream::reduce", "TimeWindowedKStream::emit_strategy"],
        (false, Operation::Aggregate) => ["TimeWindowedKStream::aggregate", "TimeWindowedKStream::emit_strategy"],
        (false, Operation::Cogroup) => {
            ["TimeWindowedCogroupedKStream::aggregate", "TimeWindowedCogroupedKStream::emit_strategy"]
        }
        (true, Operation::Count) => ["SessionWindowedKStream::count", "SessionWindowedKStream::emit_strategy"],
        (true, Operation::Reduce) => ["SessionWindowedKStream::reduce", "SessionWindowedKStream::emit_strategy"],
        (true, Operation::Aggregate) => ["SessionWindowedKStream::aggregate", "SessionWindowedKStream::emit_strategy"],
        (true, Operation::Cogroup) => {
            ["SessionWindowedCogroupedKStream::aggregate", "SessionWindowedCogroupedKStream::emit_strategy"]
        }
    };
    methods.to_vec()
}

fn windows_against(kind: Kind, operation: Operation, closes: bool) -> Against {
    use Against::Table;
    const FILE: &str = "windows_model.rs";
    match (kind, operation, closes) {
        (Kind::Tumbling, Operation::Count, false) => Table(models::tumbling_count),
        (Kind::Tumbling, Operation::Reduce, false) => Table(models::tumbling_reduce),
        (Kind::Tumbling, _, false) => Table(models::tumbling_aggregate),
        (Kind::Tumbling, Operation::Count, true) => Table(models::tumbling_count_closed),
        (Kind::Tumbling, Operation::Reduce, true) => Table(models::tumbling_reduce_closed),
        (Kind::Tumbling, _, true) => Table(models::tumbling_aggregate_closed),
        (Kind::Hopping, Operation::Count, false) => Table(models::hopping_count),
        (Kind::Hopping, Operation::Reduce, false) => Table(models::hopping_reduce),
        (Kind::Hopping, _, false) => Table(models::hopping_aggregate),
        (Kind::Hopping, Operation::Count, true) => Table(models::hopping_count_closed),
        (Kind::Hopping, Operation::Reduce, true) => Table(models::hopping_reduce_closed),
        (Kind::Hopping, _, true) => Table(models::hopping_aggregate_closed),
        (Kind::Unlimited, Operation::Count, _) => Table(models::unlimited_count),
        (Kind::Unlimited, Operation::Reduce, _) => Table(models::unlimited_reduce),
        (Kind::Unlimited, ..) => Table(models::unlimited_aggregate),
        (Kind::Sliding | Kind::Session, Operation::Cogroup, _) => {
            Elsewhere(FILE, "a_windowed_cogroup_is_the_aggregation_of_its_inputs_merged")
        }
        (Kind::Sliding, _, false) => Elsewhere(FILE, "sliding_windows_are_those_of_the_set_of_records"),
        (Kind::Sliding, _, true) => Elsewhere(FILE, "closed_sliding_windows_are_emitted_once"),
        (Kind::Session, _, false) => Elsewhere(FILE, "sessions_update_as_a_list_of_them"),
        (Kind::Session, _, true) => Elsewhere(FILE, "closed_sessions_are_emitted_once"),
    }
}

fn cogrouped(b: &StreamsBuilder) -> CogroupedKStream<String, String> {
    let (one, other) = (stream(b, "in").group_by_key(), stream(b, "other").group_by_key());
    one.cogroup(|_, v, a| format!("{a}+{v}")).cogroup(&other, |_, v, a| format!("{a}*{v}"))
}

fn time_windows((size, advance, grace): (i64, i64, i64)) -> TimeWindows {
    TimeWindows::of_size_and_grace(size, grace).advance_by(advance)
}

fn sliding() -> SlidingWindows {
    SlidingWindows::of_time_difference_and_grace(DIFFERENCE, GRACE)
}

fn sessions() -> SessionWindows {
    SessionWindows::of_inactivity_gap_and_grace(DIFFERENCE, 0)
}

fn unlimited() -> UnlimitedWindows {
    UnlimitedWindows::of().start_on(models::UNLIMITED_FROM)
}

fn windows_of(kind: Kind, grouped: &KGroupedStream<String, String>) -> TimeWindowedKStream<String, String> {
    match kind {
        Kind::Hopping => grouped.windowed_by(time_windows(HOPPING)),
        Kind::Sliding => grouped.windowed_by(sliding()),
        Kind::Unlimited => grouped.windowed_by(unlimited()),
        _ => grouped.windowed_by(time_windows(TUMBLING)),
    }
}

fn cogroup_windows(
    kind: Kind,
    cogrouped: CogroupedKStream<String, String>,
) -> TimeWindowedCogroupedKStream<String, String> {
    match kind {
        Kind::Hopping => cogrouped.windowed_by(time_windows(HOPPING)),
        Kind::Sliding => cogrouped.windowed_by(sliding()),
        Kind::Unlimited => cogrouped.windowed_by(unlimited()),
        _ => cogrouped.windowed_by(time_windows(TUMBLING)),
    }
}

fn tables() -> Vec<Row> {
    use Against::Table;
    let even = |_: &String, v: &String| number(v) % 2 == 0;
    vec![
        row("table", &["StreamsBuilder::table"], LEFT, Table(models::rows), |b| out_table(&table(b, "left"))),
        row(
            "table, versioned",
            &[],
            LEFT,
            Elsewhere("tables_model.rs", "versions_are_found_as_of_the_records_time"),
            |b| {
                out_table(&b.table("left", store("rows").versioned(1_000)));
            },
        )
        .timed(),
        row("table with options", &["StreamsBuilder::table_with"], LEFT, Table(models::rows), |b| {
            out_table(&b.table_with("left", Consumed::with(Utf8, Utf8).with_name("rows-in"), store("rows")));
        }),
        row("to_table", &["KStream::to_table"], IN, Table(models::stream_as_rows), |b| {
            out_table(&stream(b, "in").to_table(store("rows")));
        }),
        row("table filter, stored", &["KTable::materialize"], LEFT, Table(models::even_rows), move |b| {
            out_table(&table(b, "left").filter(even).materialize(store("even")));
        }),
        row("table filter_not, stored", &[], LEFT, Table(models::odd_rows), move |b| {
            out_table(&table(b, "left").filter_not(even).materialize(store("odd")));
        }),
        row("table map_values, stored", &[], LEFT, Table(models::marked_rows), |b| {
            out_table(&table(b, "left").map_values(|v| format!("{v}!")).materialize(store("marked")));
        }),
        row("table map_values_with_key, stored", &[], LEFT, Table(models::rows_with_their_keys), |b| {
            let mapped = table(b, "left").map_values_with_key(|k, v| format!("{k}:{v}"));
            out_table(&mapped.materialize(store("mapped")));
        }),
        row(
            "global table",
            &["StreamsBuilder::global_table", "KStream::join_global"],
            IN_AND_RIGHT,
            Against::Stream(models::referred_to),
            |b| {
                let rows = b.global_table("right", store("right-rows"));
                let joined =
                    stream(b, "in").join_global(&rows, |_, v| Some(reference(v)), |l, r| beside(Some(l), Some(r)));
                out(&joined);
            },
        ),
        row(
            "global table, left",
            &["KStream::left_join_global"],
            IN_AND_RIGHT,
            Against::Stream(models::referred_to_or_not),
            |b| {
                let rows = b.global_table("right", store("right-rows"));
                out(&stream(b, "in").left_join_global(&rows, |_, v| Some(reference(v)), |l, r| beside(Some(l), r)));
            },
        ),
    ]
}

fn suppressions() -> Vec<Row> {
    vec![
        row(
            "suppress until the window closes",
            &["KTable::suppress"],
            IN,
            Against::Table(models::tumbling_count_closed),
            |b| {
                let counted = windows_of(Kind::Tumbling, &stream(b, "in").group_by_key()).count(counts());
                let until =
                    Suppressed::until_window_closes(Materialized::new("final", Utf8, I64), BufferConfig::unbounded());
                out_windows(&counted.suppress(until).map_values(i64::to_string));
            },
        )
        .late(),
        row(
            "suppress sessions until they close",
            &[],
            IN,
            Elsewhere("windows_model.rs", "closed_sessions_are_emitted_once"),
            |b| {
                let counted = stream(b, "in").group_by_key().windowed_by(sessions()).count(counts());
                let until =
                    Suppressed::until_window_closes(Materialized::new("final", Utf8, I64), BufferConfig::unbounded());
                out_windows(&counted.suppress(until).map_values(i64::to_string));
            },
        )
        .late(),
        row(
            "suppress until a time limit",
            &[],
            LEFT,
            Elsewhere("suppress_model.rs", "updates_are_held_back_as_in_a_list"),
            |b| {
                let until = Suppressed::until_time_limit(25, store("held"), BufferConfig::unbounded());
                out_table(&table(b, "left").suppress(until));
            },
        )
        .timed(),
        row(
            "suppress windows until a time limit",
            &[],
            IN,
            Elsewhere("suppress_model.rs", "updates_are_held_back_as_in_a_list"),
            |b| {
                let counted = windows_of(Kind::Hopping, &stream(b, "in").group_by_key()).count(counts());
                let held = Materialized::new("held", SessionWindowedSerde::new(Utf8), I64);
                let until = Suppressed::until_time_limit(25, held, BufferConfig::unbounded());
                out_windows(&counted.suppress(until).map_values(i64::to_string));
            },
        )
        .late(),
    ]
}

fn table_joins() -> Vec<Row> {
    use Against::Table;
    let joined = || TableJoined::new("fk", Utf8, Utf8, Utf8, Utf8);
    let key = |_: &String, v: &String| Some(reference(v));
    vec![
        row("table-table join", &["KTable::join"], LEFT_AND_RIGHT, Table(models::inner_join), |b| {
            out_table(&table(b, "left").join(&table(b, "right"), |l, r| beside(Some(l), Some(r))));
        }),
        row("table-table left join", &["KTable::left_join"], LEFT_AND_RIGHT, Table(models::left_join), |b| {
            out_table(&table(b, "left").left_join(&table(b, "right"), |l, r| beside(Some(l), r)));
        }),
        row("table-table outer join", &["KTable::outer_join"], LEFT_AND_RIGHT, Table(models::outer_join), |b| {
            out_table(&table(b, "left").outer_join(&table(b, "right"), beside));
        }),
        row("table-table outer join, stored", &[], LEFT_AND_RIGHT, Table(models::outer_join), |b| {
            let joined = table(b, "left").outer_join(&table(b, "right"), beside);
            out_table(&joined.materialize(store("joined")));
        }),
        row(
            "foreign-key join",
            &["KTable::join_on_foreign_key"],
            LEFT_AND_RIGHT,
            Table(models::foreign_inner_join),
            move |b| {
                let (left, right) = (table(b, "left"), table(b, "right"));
                let both = |l: &String, r: &String| beside(Some(l), Some(r));
                out_table(&left.join_on_foreign_key(&right, key, both, joined(), store("joined")));
            },
        ),
        row(
            "foreign-key left join",
            &["KTable::left_join_on_foreign_key"],
            LEFT_AND_RIGHT,
            Table(models::foreign_left_join),
            move |b| {
                let (left, right) = (table(b, "left"), table(b, "right"));
                let either = |l: &String, r: Option<&String>| beside(Some(l), r);
                out_table(&left.left_join_on_foreign_key(&right, key, either, joined(), store("joined")));
            },
        ),
    ]
}

fn stream_joins() -> Vec<Row> {
    use Against::Stream;
    const MODEL: Against = Elsewhere("joins_model.rs", "joins_do_what_the_rules_on_lists_do");
    const VERSIONS: Against = Elsewhere("tables_model.rs", "versions_are_found_as_of_the_records_time");
    let windows = || JoinWindows::of_time_difference_and_grace(20, GRACE).before(5);
    let joined = || StreamJoined::new("join", Utf8, Utf8, Utf8).with_emit_interval(0);
    let both = |l: &String, r: &String| beside(Some(l), Some(r));
    let versioned = |b: &StreamsBuilder| b.table("right", store("right-rows").versioned(60));
    vec![
        row("stream-stream join", &["KStream::join"], IN_AND_OTHER, MODEL, move |b| {
            out(&stream(b, "in").join(&stream(b, "other"), both, windows(), joined()));
        })
        .timed(),
        row("stream-stream left join", &["KStream::left_join"], IN_AND_OTHER, MODEL, move |b| {
            out(&stream(b, "in").left_join(&stream(b, "other"), |l, r| beside(Some(l), r), windows(), joined()));
        })
        .timed(),
        row("stream-stream outer join", &["KStream::outer_join"], IN_AND_OTHER, MODEL, move |b| {
            out(&stream(b, "in").outer_join(&stream(b, "other"), beside, windows(), joined()));
        })
        .timed(),
        row(
            "stream joined with itself",
            &[],
            IN,
            Elsewhere("joins_model.rs", "a_self_join_with_one_store_is_a_join_with_two"),
            move |b| {
                let stream = stream(b, "in");
                out(&stream.join(&stream, both, windows(), joined()));
            },
        )
        .timed(),
        row("stream-table join", &["KStream::join_table"], IN_AND_RIGHT, Stream(models::looked_up), move |b| {
            out(&stream(b, "in").join_table(&table(b, "right"), both));
        }),
        row(
            "stream-table left join",
            &["KStream::left_join_table"],
            IN_AND_RIGHT,
            Stream(models::looked_up_or_not),
            |b| out(&stream(b, "in").left_join_table(&table(b, "right"), |l, r| beside(Some(l), r))),
        ),
        row(
            "stream-table left join, key changed",
            &["KStream::left_join_table_with"],
            IN_AND_RIGHT,
            Stream(models::rekeyed_looked_up_or_not),
            |b| {
                let rekeyed = stream(b, "in").select_key(|_, v| reference(v));
                let joined = Joined::new("by-reference", Utf8, Utf8);
                out(&rekeyed.left_join_table_with(&table(b, "right"), |l, r| beside(Some(l), r), joined));
            },
        ),
        row("stream-table join, versioned", &[], IN_AND_RIGHT, VERSIONS, move |b| {
            out(&stream(b, "in").join_table(&versioned(b), both));
        })
        .timed(),
        row(
            "stream-table join, versioned, with grace",
            &["KStream::join_table_with"],
            IN_AND_RIGHT,
            VERSIONS,
            move |b| {
                let joined = Joined::new("held", Utf8, Utf8).with_grace_period(GRACE);
                out(&stream(b, "in").join_table_with(&versioned(b), both, joined));
            },
        )
        .timed(),
        row("stream-table left join, versioned, with grace", &[], IN_AND_RIGHT, VERSIONS, move |b| {
            let joined = Joined::new("held", Utf8, Utf8).with_grace_period(GRACE);
            out(&stream(b, "in").left_join_table_with(&versioned(b), |l, r| beside(Some(l), r), joined));
        })
        .timed(),
        // No store, but a topic of the task's own that must be read from where it was left.
        row("repartition", &["KStream::repartition"], IN, Stream(models::rekeyed), |b| {
            let rekeyed = stream(b, "in").select_key(|_, v| reference(v));
            out(&rekeyed.repartition(Repartitioned::new("by-reference", Utf8, Utf8)));
        }),
        row("repartition through a named topic", &["KStream::through"], IN, Stream(models::rekeyed), |b| {
            let rekeyed = stream(b, "in").select_key(|_, v| reference(v));
            out(&rekeyed.through("between", Produced::with(Utf8, Utf8)));
        }),
    ]
}
