import java.time.Duration;
import java.util.*;
import java.util.function.*;
import java.util.stream.*;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.processor.api.*;
import org.apache.kafka.streams.state.*;
import org.apache.kafka.streams.test.TestRecord;

/**
 * Asks Kafka Streams itself: reads topologies in words, pipes random records through its TopologyTestDriver, and writes
 * records and answers down. `recorded.rs` builds the same topologies on our engine and must answer the same.
 *
 *   java Recorder.java TOPOLOGIES RUNS SEED     reads the file, prints every topology with that many runs of random records
 */
public class Recorder {
    static final List<String> KEYS = List.of("A", "B", "C");

    public static void main(String[] args) throws Exception {
        int runs = Integer.parseInt(args[1]);
        long seed = Long.parseLong(args[2]);
        for (String line : java.nio.file.Files.readAllLines(java.nio.file.Path.of(args[0]))) {
            String words = line.strip();
            if (words.isEmpty() || words.startsWith("#")) continue;
            for (int i = 0; i < runs; i++) new Recorder(words, new Random(seed * 31 + i + words.hashCode() * 1000003L)).run();
        }
    }

    final String words;
    final String kind;
    final Map<String, String> options = new HashMap<>();
    final Random random;
    final StreamsBuilder builder = new StreamsBuilder();
    final List<String> inputs = new ArrayList<>();
    final Set<String> tables = new HashSet<>();
    final Set<String> outputs = new LinkedHashSet<>();

    Recorder(String words, Random random) {
        this.words = words;
        this.random = random;
        String[] parts = words.split("\\s+");
        kind = parts[0];
        for (int i = 1; i < parts.length; i++) {
            String[] option = parts[i].split("=", 2);
            options.put(option[0], option.length == 2 ? option[1] : "");
        }
    }

    boolean has(String option) { return options.containsKey(option); }
    long number(String option, long otherwise) { return has(option) ? Long.parseLong(options.get(option)) : otherwise; }
    Duration time(String option, long otherwise) { return Duration.ofMillis(number(option, otherwise)); }

    // ── running ──────────────────────────────────────────────────────────────────────────────────
    void run() throws Exception {
        topology();
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "recorded");
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "none:1");
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, java.nio.file.Files.createTempDirectory("recorder").toString());
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, has("cached") ? 10_000_000 : 0);
        settings.put(StreamsConfig.InternalConfig.EMIT_INTERVAL_MS_KSTREAMS_WINDOWED_AGGREGATION, 0L);
        if (kind.equals("self-join")) settings.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
        StringBuilder out = new StringBuilder("topology " + words + "\n");
        try (TopologyTestDriver driver = new TopologyTestDriver(builder.build(settings), settings, java.time.Instant.EPOCH)) {
            Map<String, TestOutputTopic<String, String>> readers = new LinkedHashMap<>();
            for (String topic : outputs) readers.put(topic, driver.createOutputTopic(topic, new StringDeserializer(), new StringDeserializer()));
            Map<String, TestInputTopic<String, String>> writers = new HashMap<>();
            for (String topic : inputs) writers.put(topic, driver.createInputTopic(topic, new StringSerializer(), new StringSerializer()));
            // At the epoch Kafka Streams cuts join windows off, so joins of streams begin later.
            long now = kind.endsWith("-join") ? 1_000 : 0, span = number("span", 20);
            Set<String> used = new HashSet<>();
            for (int i = 0; i < number("records", 24); i++) {
                int dice = random.nextInt(20);
                if (dice == 0) now += 2 * span + random.nextInt((int) span); else if (dice < 12) now += random.nextInt((int) Math.max(2, span / 4));
                long late = number("late", dice == 1 ? 4 * span : span);
                long at = random.nextInt(3) > 0 ? now : Math.max(0, now - random.nextInt((int) late));
                String topic = inputs.get(random.nextInt(inputs.size()));
                String key = has("null-keys") && random.nextInt(8) == 0 ? null : KEYS.get(random.nextInt((int) number("keys", 2)));
                String value = value(topic, i);
                if (tables.contains(topic) && key == null) key = "A";
                // Of two updates of one key and time a versioned store of Kafka Streams forgets that the second was a removal.
                while (words.contains("versioned") && !used.add(topic + key + at)) at++;
                writers.get(topic).pipeInput(new TestRecord<>(key, value, java.time.Instant.ofEpochMilli(at)));
                out.append("< ").append(topic).append(' ').append(text(key)).append(' ').append(text(value)).append(' ').append(at).append('\n');
                for (var reader : readers.entrySet())
                    for (TestRecord<String, String> r : reader.getValue().readRecordsToList())
                        out.append("> ").append(readers.size() > 1 ? reader.getKey() + " " : "").append(text(r.key())).append(' ').append(text(r.value())).append(' ').append(r.timestamp()).append('\n');
            }
        }
        System.out.print(out);
    }

    static String text(String s) { return s == null ? "-" : s.isEmpty() ? "~" : s; }

    String value(String topic, int i) {
        boolean table = tables.contains(topic);
        if (table ? random.nextInt(4) == 0 : has("null-values") && random.nextInt(8) == 0) return null;
        switch (kind) {
            case "foreign-key":
                if (!topic.equals("left")) return "r" + i;
                int fk = random.nextInt(5);
                return "l" + i + "|" + (fk == 4 ? "" : fk == 3 ? "Z" : KEYS.get(fk));
            case "global":
                if (topic.equals("global")) return "g" + i;
                return "s" + i + "|" + (random.nextInt(4) == 0 ? "" : KEYS.get(random.nextInt(3)));
            case "versioned-store": case "window-store": case "session-store": {
                long span = number("span", 20), a = random.nextInt((int) (4 * span)), b = a + random.nextInt((int) span);
                String[] what = {"put", "put", "put", "delete", has("duplicates") ? "put" : "get", "range:" + a + ":" + b, "all:" + a + ":" + b, "back:" + a + ":" + b};
                return what[random.nextInt(what.length)] + "#" + i;
            }
            default:
                // Few different values, so that equal ones meet.
                return has("letters") ? String.valueOf("xyz".charAt(random.nextInt(3))) : "v" + i;
        }
    }

    // ── topologies ───────────────────────────────────────────────────────────────────────────────
    KStream<String, String> stream(String topic) {
        inputs.add(topic);
        return builder.stream(topic, Consumed.with(Serdes.String(), Serdes.String()));
    }

    Materialized<String, String, KeyValueStore<Bytes, byte[]>> store(String name) {
        return Materialized.<String, String, KeyValueStore<Bytes, byte[]>>as(name).withKeySerde(Serdes.String()).withValueSerde(Serdes.String());
    }

    KTable<String, String> table(String topic, boolean versioned) {
        inputs.add(topic);
        tables.add(topic);
        Materialized<String, String, KeyValueStore<Bytes, byte[]>> plain = store(topic + "-rows");
        Materialized<String, String, KeyValueStore<Bytes, byte[]>> kept =
            Materialized.<String, String>as(Stores.persistentVersionedKeyValueStore(topic + "-rows", time("history", 30)))
                .withKeySerde(Serdes.String()).withValueSerde(Serdes.String());
        return builder.table(topic, Consumed.with(Serdes.String(), Serdes.String()), versioned ? kept : plain);
    }

    void to(KStream<String, String> stream, String topic) {
        outputs.add(topic);
        stream.to(topic, Produced.with(Serdes.String(), Serdes.String()));
    }

    static String beside(String l, String r) { return "(" + text(l) + "," + text(r) + ")"; }
    static String key(Windowed<String> w) { return w.key() + "@" + w.window().start() + "/" + w.window().end(); }

    JoinWindows joinWindows() {
        long before = number("before", 10), after = number("after", 10);
        return JoinWindows.ofTimeDifferenceAndGrace(Duration.ofMillis(Math.max(0, Math.max(before, after))), time("grace", 0))
            .before(Duration.ofMillis(before)).after(Duration.ofMillis(after));
    }

    void topology() {
        switch (kind) {
            case "stream-join": {
                KStream<String, String> left = stream("left"), right = stream("right");
                StreamJoined<String, String, String> joined = StreamJoined.with(Serdes.String(), Serdes.String(), Serdes.String());
                KStream<String, String> result = has("inner") ? left.join(right, Recorder::beside, joinWindows(), joined)
                    : has("left") ? left.leftJoin(right, Recorder::beside, joinWindows(), joined)
                    : left.outerJoin(right, Recorder::beside, joinWindows(), joined);
                if (has("aggregated")) to(result.groupByKey().<String>aggregate(() -> "0", (k, v, a) -> a + "+" + v, store("sums")).toStream(), "out");
                else to(result, "out");
                break;
            }
            case "self-join": {
                KStream<String, String> both = stream("both");
                to(both.join(both, Recorder::beside, joinWindows(), StreamJoined.with(Serdes.String(), Serdes.String(), Serdes.String())), "out");
                break;
            }
            case "stream-table": {
                KStream<String, String> left = stream("stream");
                KTable<String, String> right = table("table", has("versioned"));
                if (has("rekeyed")) left = left.selectKey((k, v) -> v == null ? null : KEYS.get(v.charAt(v.length() - 1) % 2));
                if (has("filter")) right = right.filter((k, v) -> !v.endsWith("3"));
                Joined<String, String, String> joined = Joined.with(Serdes.String(), Serdes.String(), Serdes.String(), "joined", has("grace") ? time("grace", 0) : null);
                KStream<String, String> result = has("inner") ? left.join(right, Recorder::beside, joined) : left.leftJoin(right, Recorder::beside, joined);
                to(has("joined-twice") ? result.join(right, Recorder::beside) : result, "out");
                break;
            }
            case "global": {
                KStream<String, String> left = stream("stream");
                inputs.add("global");
                tables.add("global");
                GlobalKTable<String, String> right = builder.globalTable("global", Consumed.with(Serdes.String(), Serdes.String()));
                KeyValueMapper<String, String, String> key = (k, v) -> v == null ? (has("key-of-null") ? k : null) : v.endsWith("|") ? null : v.substring(v.indexOf('|') + 1);
                KStream<String, String> result = has("inner") ? left.join(right, key, (v, g) -> beside(v, g)) : left.leftJoin(right, key, (v, g) -> beside(v, g));
                to(has("again") ? result.leftJoin(right, (k, v) -> k, (v, g) -> beside(v, g)) : result, "out");
                break;
            }
            case "table-join": {
                KTable<String, String> left = table("left", has("left-versioned")), right = table("right", has("right-versioned"));
                if (has("filter-left")) left = left.filter((k, v) -> !v.endsWith("1") && !v.endsWith("2"));
                if (has("map-right")) right = right.mapValues(v -> v + "'");
                KTable<String, String> result = join(options.get("how"), left, right, has("stored"));
                if (has("again")) result = join(options.get("again"), result, right, false);
                if (has("third")) result = join(options.get("third"), result, table("third", false), false);
                if (has("grouped")) result = groupedByLetter(result);
                to(result.toStream(), "out");
                break;
            }
            case "foreign-key": {
                KTable<String, String> left = table("left", has("left-versioned")), right = table("right", has("right-versioned"));
                Function<String, String> key = v -> v.endsWith("|") ? null : v.substring(v.indexOf('|') + 1);
                KTable<String, String> result = has("inner") ? left.join(right, key, Recorder::beside, store("joined")) : left.leftJoin(right, key, Recorder::beside, store("joined"));
                if (has("again")) result = result.join(left, Recorder::beside);
                if (has("grouped")) result = groupedByLetter(result.mapValues(v -> v.substring(0, v.length() - 1)));
                to(result.toStream(), "out");
                break;
            }
            case "table": {
                KTable<String, String> table = table("table", has("versioned"));
                for (String step : options.getOrDefault("steps", "").split(",")) {
                    switch (step) {
                        case "filter": table = table.filter((k, v) -> !v.equals("x")); break;
                        case "filter-not": table = table.filterNot((k, v) -> v.equals("y")); break;
                        case "filter-stored": table = table.filter((k, v) -> !v.equals("x"), store("passing")); break;
                        case "map": table = table.mapValues(v -> v + "'"); break;
                        case "map-stored": table = table.mapValues(v -> v + "'", store("mapped")); break;
                        case "rekeyed": table = table.toStream().selectKey((k, v) -> "k" + k).toTable(store("rekeyed")); break;
                        case "suppress": table = table.suppress(Suppressed.untilTimeLimit(time("wait", 5), Suppressed.BufferConfig.unbounded())); break;
                        case "by-letter": table = groupedByLetter(table); break;
                        case "count": table = table.groupBy((k, v) -> KeyValue.pair(v, v)).count().mapValues(String::valueOf); break;
                        case "reduce": table = table.groupBy((k, v) -> KeyValue.pair(v, v)).reduce((a, v) -> a + "+" + v, (a, v) -> a + "-" + v); break;
                        default: if (!step.isEmpty()) throw new IllegalArgumentException(step);
                    }
                }
                to(table.toStream(), "out");
                break;
            }
            case "aggregate": {
                KGroupedStream<String, String> grouped = has("by-value") ? stream("in").groupBy((k, v) -> v) : stream("in").groupByKey();
                KTable<String, String> table = has("count") ? grouped.count().mapValues(String::valueOf)
                    : has("reduce") ? grouped.reduce((a, v) -> a + "+" + v) : grouped.aggregate(() -> "0", (k, v, a) -> a + "+" + v);
                if (has("grouped")) table = groupedByLetter(table);
                to(table.toStream(), "out");
                break;
            }
            case "windows": case "sliding": case "sessions": case "unlimited": windowed(); break;
            case "cogroup": cogroup(); break;
            case "versioned-store": case "window-store": case "session-store": stores(); break;
            default: throw new IllegalArgumentException(kind);
        }
    }

    KTable<String, String> join(String how, KTable<String, String> left, KTable<String, String> right, boolean stored) {
        switch (how) {
            case "inner": return stored ? left.join(right, Recorder::beside, store("joined")) : left.join(right, Recorder::beside);
            case "left": return stored ? left.leftJoin(right, Recorder::beside, store("joined")) : left.leftJoin(right, Recorder::beside);
            default: return stored ? left.outerJoin(right, Recorder::beside, store("joined")) : left.outerJoin(right, Recorder::beside);
        }
    }

    /** Grouped by the value's last character; what is added and what is subtracted shows in the sum. */
    KTable<String, String> groupedByLetter(KTable<String, String> table) {
        return table.groupBy((k, v) -> KeyValue.pair(v.substring(v.length() - 1), v), Grouped.with(Serdes.String(), Serdes.String()))
            .aggregate(() -> "0", (k, v, a) -> a + "+" + v, (k, v, a) -> a + "-" + v, store("sums"));
    }

    void windowed() {
        KGroupedStream<String, String> grouped = stream("in").groupByKey();
        KTable<Windowed<String>, String> table;
        EmitStrategy emit = has("close") ? EmitStrategy.onWindowClose() : EmitStrategy.onWindowUpdate();
        if (kind.equals("sessions")) {
            SessionWindowedKStream<String, String> w = grouped.windowedBy(SessionWindows.ofInactivityGapAndGrace(time("gap", 5), time("grace", 0))).emitStrategy(emit);
            table = has("count") ? w.count(kept(Serdes.Long())).mapValues(String::valueOf) : has("reduce") ? w.reduce((a, v) -> a + "+" + v, kept(Serdes.String()))
                : w.aggregate(() -> "0", (k, v, a) -> a + "+" + v, (k, a, b) -> a + "&" + b, kept(Serdes.String()));
        } else {
            TimeWindowedKStream<String, String> w;
            if (kind.equals("sliding")) w = grouped.windowedBy(SlidingWindows.ofTimeDifferenceAndGrace(time("difference", 5), time("grace", 0)));
            else if (kind.equals("unlimited")) w = grouped.windowedBy(UnlimitedWindows.of().startOn(java.time.Instant.ofEpochMilli(number("start", 0))));
            else w = grouped.windowedBy(TimeWindows.ofSizeAndGrace(time("size", 10), time("grace", 0)).advanceBy(time("advance", number("size", 10))));
            if (!kind.equals("unlimited")) w = w.emitStrategy(emit);
            table = has("count") ? w.count(opened(Serdes.Long())).mapValues(String::valueOf) : has("reduce") ? w.reduce((a, v) -> a + "+" + v, opened(Serdes.String()))
                : w.aggregate(() -> "0", (k, v, a) -> a + "+" + v, opened(Serdes.String()));
        }
        after(table);
    }

    /** Kafka Streams' own choice keeps a session a millisecond too short: one that is open still is not found. */
    <V> Materialized<String, V, SessionStore<Bytes, byte[]>> kept(Serde<V> values) {
        Duration retention = Duration.ofMillis(number("gap", 5) + number("grace", 0) + 1);
        return Materialized.<String, V, SessionStore<Bytes, byte[]>>with(Serdes.String(), values).withRetention(retention);
    }

    /** By Kafka Streams' own choice windows expire unemitted when time makes a leap. */
    <V> Materialized<String, V, WindowStore<Bytes, byte[]>> opened(Serde<V> values) {
        Materialized<String, V, WindowStore<Bytes, byte[]>> kept = Materialized.with(Serdes.String(), values);
        return has("close") ? kept.withRetention(Duration.ofDays(1)) : kept;
    }

    /** What follows a windowed table. */
    void after(KTable<Windowed<String>, String> table) {
        if (has("final")) table = table.suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()));
        if (has("wait")) {
            Suppressed.EagerBufferConfig buffer = Suppressed.BufferConfig.maxRecords(number("max-records", Long.MAX_VALUE));
            table = table.suppress(Suppressed.untilTimeLimit(time("wait", 0), buffer));
        }
        if (has("filter")) table = table.filter((k, v) -> v.length() > 4);
        if (has("grouped")) {
            Serde<String> s = Serdes.String();
            to(table.groupBy((k, v) -> KeyValue.pair(k.key(), v), Grouped.with(s, s)).aggregate(() -> "", (k, v, a) -> a + "[+" + v + "]", (k, v, a) -> a + "[-" + v + "]", store("sums")).toStream(), "out");
            return;
        }
        to(table.toStream().map((k, v) -> KeyValue.pair(key(k), v)), "out");
    }

    void cogroup() {
        KGroupedStream<String, String> one = stream("one").groupByKey(), two = stream("two").groupByKey();
        CogroupedKStream<String, String> all = one.<String>cogroup((k, v, a) -> a + "+" + v).cogroup(two, (k, v, a) -> a + "*" + v);
        if (has("size")) after(all.windowedBy(TimeWindows.ofSizeAndGrace(time("size", 10), time("grace", 0)).advanceBy(time("advance", number("size", 10)))).aggregate(() -> "0", Materialized.with(Serdes.String(), Serdes.String())));
        else if (has("difference")) after(all.windowedBy(SlidingWindows.ofTimeDifferenceAndGrace(time("difference", 5), time("grace", 0))).aggregate(() -> "0", Materialized.with(Serdes.String(), Serdes.String())));
        else if (has("gap")) after(all.windowedBy(SessionWindows.ofInactivityGapAndGrace(time("gap", 5), time("grace", 0))).aggregate(() -> "0", (k, a, b) -> a + "&" + b, kept(Serdes.String())));
        else {
            KTable<String, String> table = all.aggregate(() -> "0", store("sums"));
            if (has("joined")) table = table.join(table("three", false), Recorder::beside);
            to(table.toStream(), "out");
        }
    }

    // ── stores, by commands in values ─────────────────────────────────────────────────────────────
    void stores() {
        Duration retention = time("retention", 100);
        StoreBuilder<?> store;
        if (kind.equals("versioned-store")) store = Stores.versionedKeyValueStoreBuilder(Stores.persistentVersionedKeyValueStore("kept", retention), Serdes.String(), Serdes.String());
        else if (kind.equals("window-store")) store = Stores.timestampedWindowStoreBuilder(Stores.persistentWindowStore("kept", retention, time("size", 10), has("duplicates")), Serdes.String(), Serdes.String());
        else store = Stores.sessionStoreBuilder(Stores.persistentSessionStore("kept", retention), Serdes.String(), Serdes.String());
        builder.addStateStore(store);
        to(stream("in").process(Keeper::new, "kept"), "out");
    }

    class Keeper implements org.apache.kafka.streams.processor.api.Processor<String, String, String, String> {
        ProcessorContext<String, String> context;
        public void init(ProcessorContext<String, String> context) { this.context = context; }
        public void process(org.apache.kafka.streams.processor.api.Record<String, String> r) {
            String[] words = r.value().substring(0, r.value().indexOf('#')).split(":");
            String tag = r.value().substring(r.value().indexOf('#') + 1);
            long from = words.length > 1 ? Long.parseLong(words[1]) : 0, to = words.length > 2 ? Long.parseLong(words[2]) : 0;
            List<String> answer = new ArrayList<>();
            switch (kind) {
                case "versioned-store": versioned(context.getStateStore("kept"), words[0], r, tag, from, answer); break;
                case "window-store": window(context.getStateStore("kept"), words[0], r, tag, from, to, answer); break;
                default: session(context.getStateStore("kept"), words[0], r, tag, from, to, answer);
            }
            context.forward(r.withValue(answer.isEmpty() ? "none" : String.join(";", answer)));
        }
    }

    // How long it held is lost in Kafka Streams' metered store.
    static String version(VersionedRecord<String> v) { return v == null ? "none" : v.value() + "@" + v.timestamp(); }

    static void versioned(VersionedKeyValueStore<String, String> store, String word, org.apache.kafka.streams.processor.api.Record<String, String> r, String tag, long from, List<String> answer) {
        switch (word) {
            case "put": {
                long put = store.put(r.key(), "v" + tag, r.timestamp());
                answer.add(put == VersionedKeyValueStore.PUT_RETURN_CODE_NOT_PUT ? "not" : put == VersionedKeyValueStore.PUT_RETURN_CODE_VALID_TO_UNDEFINED ? "latest" : "until" + put);
                break;
            }
            case "delete": answer.add(version(store.delete(r.key(), r.timestamp()))); break;
            case "get": answer.add(version(store.get(r.key()))); break;
            default: answer.add(version(store.get(r.key(), from)));
        }
    }

    static void window(TimestampedWindowStore<String, String> store, String word, org.apache.kafka.streams.processor.api.Record<String, String> r, String tag, long from, long to, List<String> answer) {
        switch (word) {
            case "put": store.put(r.key(), ValueAndTimestamp.make("v" + tag, r.timestamp()), r.timestamp()); break;
            case "delete": store.put(r.key(), null, r.timestamp()); break;
            case "get": { ValueAndTimestamp<String> v = store.fetch(r.key(), r.timestamp()); if (v != null) answer.add(v.value()); break; }
            case "range": case "back":
                try (WindowStoreIterator<ValueAndTimestamp<String>> i = word.equals("range") ? store.fetch(r.key(), from, to) : store.backwardFetch(r.key(), from, to)) {
                    i.forEachRemaining(e -> answer.add(e.key + "=" + e.value.value()));
                }
                break;
            default:
                try (KeyValueIterator<Windowed<String>, ValueAndTimestamp<String>> i = store.fetchAll(from, to)) {
                    // By segments in Kafka Streams, then by key: no order anyone should rely on.
                    TreeMap<String, String> all = new TreeMap<>();
                    i.forEachRemaining(e -> all.put(String.format("%09d", e.key.window().start()) + e.key.key() + all.size(), e.key.window().start() + e.key.key() + "=" + e.value.value()));
                    answer.addAll(all.values());
                }
        }
    }

    static void session(SessionStore<String, String> store, String word, org.apache.kafka.streams.processor.api.Record<String, String> r, String tag, long from, long to, List<String> answer) {
        long start = Math.max(0, r.timestamp() - r.timestamp() % 7);
        Windowed<String> session = new Windowed<>(r.key(), new org.apache.kafka.streams.kstream.internals.SessionWindow(start, r.timestamp()));
        Consumer<KeyValueIterator<Windowed<String>, String>> list = i -> { i.forEachRemaining(e -> answer.add(e.key.key() + e.key.window().start() + "/" + e.key.window().end() + "=" + e.value)); i.close(); };
        switch (word) {
            case "put": store.put(session, "v" + tag); break;
            case "delete": store.remove(session); break;
            case "get": { String v = store.fetchSession(r.key(), start, r.timestamp()); if (v != null) answer.add(v); break; }
            case "back": list.accept(store.backwardFindSessions(r.key(), from, to)); break;
            default: list.accept(store.findSessions(r.key(), from, to));
        }
    }
}
