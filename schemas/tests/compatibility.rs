//! A schema may only change in ways its readers and its stored data survive: BACKWARD for public records (new readers
//! read old data), FULL for internal and stored ones (old readers read new data too, so that a release can be taken
//! back). Every released version is kept in `avro/history`; the catalog test refuses an `.avsc` that differs from its
//! last release, so a change cannot pass by here.

use apache_avro::Schema;
use apache_avro::schema::{EnumSchema, RecordSchema};
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use schemas::catalog::{self, Scope};

/// Why `new` must not follow `old`; empty when it may.
fn violations(old: &Schema, new: &Schema, scope: Scope) -> Vec<String> {
    let mut found = Vec::new();
    let mut reads = |what: &str, writer: &Schema, reader: &Schema| match SchemaCompatibility::can_read(writer, reader) {
        Ok(Compatibility::Full) => {}
        // "Partial" means that some values cannot be read: refused, whichever they are.
        Ok(Compatibility::Partial) => found.push(format!("{what}: some values cannot be read")),
        Err(error) => found.push(format!("{what}: {error}")),
    };
    reads("new readers of old data", old, new);
    if scope != Scope::Public {
        reads("old readers of new data", new, old);
    }
    stricter("", old, new, &mut found);
    found
}

/// Our own rules, where Avro's resolution goes through but the meaning is lost.
fn stricter(at: &str, old: &Schema, new: &Schema, found: &mut Vec<String>) {
    let names = (old.name().map(|n| n.fullname(None)), new.name().map(|n| n.fullname(None)));
    if names.0 != names.1 {
        found.push(format!("{at}: renamed or moved to another namespace"));
        return;
    }
    match (old, new) {
        (Schema::Record(old), Schema::Record(new)) => records(at, old, new, found),
        (Schema::Enum(old), Schema::Enum(new)) => enums(at, old, new, found),
        (Schema::Array(old), Schema::Array(new)) => stricter(&format!("{at}[]"), &old.items, &new.items, found),
        (Schema::Union(old), Schema::Union(new)) => {
            // Branches are added at the end: every released number keeps its meaning for hand-written codecs.
            for (i, branch) in old.variants().iter().enumerate() {
                match new.variants().get(i) {
                    Some(other) => stricter(&format!("{at}|{i}"), branch, other, found),
                    None => found.push(format!("{at}: union branch {i} was removed")),
                }
            }
        }
        // Avro reads bytes as string, long as double, millis as micros; none of these means the same.
        (old, new) => {
            let (before, after) = (format!("{old:?}"), format!("{new:?}"));
            let widened = matches!((old, new), (Schema::Int, Schema::Long));
            if before != after && !widened {
                found.push(format!("{at}: type changed from {before} to {after}"));
            }
        }
    }
}

fn records(at: &str, old: &RecordSchema, new: &RecordSchema, found: &mut Vec<String>) {
    for field in &new.fields {
        let at = format!("{at}.{}", field.name);
        if let Some(before) = old.fields.iter().find(|f| f.name == field.name) {
            stricter(&at, &before.schema, &field.schema, found);
            if before.default.is_some() && before.default != field.default {
                found.push(format!("{at}: the default changed, and with it what older data says"));
            }
        }
    }
}

fn enums(at: &str, old: &EnumSchema, new: &EnumSchema, found: &mut Vec<String>) {
    if !new.symbols.starts_with(&old.symbols) {
        found.push(format!("{at}: symbols were removed or reordered; only add at the end"));
    }
    if old.default != new.default {
        found.push(format!("{at}: the default symbol changed"));
    }
}

fn parse(json: &str) -> Schema {
    Schema::parse_str(json).unwrap_or_else(|e| panic!("{e} in {json}"))
}

#[test]
fn every_version_of_every_record_may_follow_all_versions_before_it() {
    for entry in catalog::ENTRIES {
        let versions: Vec<Schema> = entry.versions.iter().map(|version| parse(version.json)).collect();
        for (i, new) in versions.iter().enumerate() {
            for (j, old) in versions[..=i].iter().enumerate() {
                // A version follows itself as well, so the rules run on every schema from its first release.
                let found = violations(old, new, entry.scope);
                assert!(found.is_empty(), "{} v{} after v{}: {}", entry.name, i + 1, j + 1, found.join("; "));
            }
        }
    }
}

/// The schemas can evolve at all: fields that may be missing have defaults, enums have one for symbols to come.
#[test]
fn every_enum_has_a_default_and_every_optional_field_too() {
    fn check(at: &str, schema: &Schema) {
        match schema {
            Schema::Enum(schema) => {
                assert_eq!(schema.default.as_deref(), Some("UNKNOWN"), "{at}");
                assert_eq!(schema.symbols.first().map(String::as_str), Some("UNKNOWN"), "{at}");
            }
            Schema::Record(record) => {
                for field in &record.fields {
                    let at = format!("{at}.{}", field.name);
                    assert!(field.doc.as_ref().is_some_and(|doc| doc.ends_with('.')), "{at}: no doc sentence");
                    if let Schema::Union(union) = &field.schema
                        && union.is_nullable()
                    {
                        assert_eq!(field.default, Some(serde_json::Value::Null), "{at}: optional without default");
                    }
                    check(&at, &field.schema);
                }
            }
            Schema::Union(union) => union.variants().iter().for_each(|variant| check(at, variant)),
            Schema::Array(array) => check(at, &array.items),
            _ => {}
        }
    }
    for entry in catalog::ENTRIES {
        check(entry.path, &parse(entry.current().json));
    }
}

/// A record with these fields, as an example of a release.
fn release(fields: &str) -> Schema {
    parse(&format!(r#"{{"type":"record","name":"R","namespace":"n","fields":[{fields}]}}"#))
}

/// One change, judged under both scopes: `None` is allowed, else a part of the reason.
fn check(old: &str, new: &str, public: Option<&str>, stored: Option<&str>) {
    for (scope, expected) in [(Scope::Public, public), (Scope::Stored, stored)] {
        let found = violations(&release(old), &release(new), scope).join("; ");
        match expected {
            None => assert_eq!(found, "", "{scope:?}: {old} -> {new}"),
            Some(part) => assert!(found.contains(part), "{scope:?}: {old} -> {new}: {found:?} lacks {part:?}"),
        }
    }
}

#[test]
fn compatible_changes_pass_and_incompatible_ones_are_refused() {
    const A: &str = r#"{"name":"a","type":"string"}"#;
    const B: &str = r#"{"name":"b","type":"string"}"#;
    const B_OPTIONAL: &str = r#"{"name":"b","type":"string","default":""}"#;
    let with = |more: &str| format!("{A},{more}");
    let e = |symbols: &str, default: &str| {
        format!(r#"{{"name":"e","type":{{"type":"enum","name":"E","symbols":[{symbols}]{default}}}}}"#)
    };
    let unknown = r#","default":"UNKNOWN""#;
    let union = |branches: &str| format!(r#"{{"name":"u","type":[{branches}]}}"#);
    let branch = |name: &str| format!(r#"{{"type":"record","name":"{name}","fields":[]}}"#);

    // Fields.
    check(A, &with(B_OPTIONAL), None, None);
    check(A, &with(B), Some("new readers of old data"), Some("new readers of old data"));
    check(&with(B_OPTIONAL), A, None, None);
    check(&with(B), A, None, Some("old readers of new data"));
    check(&with(B_OPTIONAL), &with(r#"{"name":"b","type":"string","default":"x"}"#), Some("default"), Some("default"));
    check(A, r#"{"name":"renamed","type":"string"}"#, Some("new readers"), Some("new readers"));

    // Types, also where Avro is laxer than we are.
    check(r#"{"name":"n","type":"int"}"#, r#"{"name":"n","type":"long"}"#, None, Some("old readers of new data"));
    check(
        r#"{"name":"n","type":"long"}"#,
        r#"{"name":"n","type":"double"}"#,
        Some("type changed"),
        Some("type changed"),
    );
    check(A, r#"{"name":"a","type":"bytes"}"#, Some("type changed"), Some("type changed"));
    check(
        r#"{"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}}"#,
        r#"{"name":"t","type":{"type":"long","logicalType":"timestamp-micros"}}"#,
        Some("type changed"),
        Some("type changed"),
    );

    // Enums.
    let before = e(r#""UNKNOWN","X""#, unknown);
    check(&before, &e(r#""UNKNOWN","X","Y""#, unknown), None, None);
    check(&before, &e(r#""UNKNOWN""#, unknown), Some("symbols were removed"), Some("symbols were removed"));
    check(&before, &e(r#""UNKNOWN","Y","X""#, unknown), Some("reordered"), Some("reordered"));
    check(&before, &e(r#""UNKNOWN","X""#, ""), Some("default symbol"), Some("default symbol"));
    check(&e(r#""X""#, ""), &e(r#""X","Y""#, ""), None, Some("old readers of new data"));

    // Unions.
    let one = union(&branch("P"));
    let two = union(&format!("{},{}", branch("P"), branch("Q")));
    check(&one, &two, None, Some("old readers of new data"));
    check(&two, &one, Some("branch 1 was removed"), Some("branch 1 was removed"));
    check(&one, &union(&branch("Renamed")), Some("renamed"), Some("renamed"));
}
