//! The catalog is complete and consistent: every type, every file, every topic, every id.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use apache_avro::Schema;
use schemas::catalog::{self, RESERVED_FROM, Scope};
use schemas::topics;
use support::{Record, Visitor, visit_all};

fn avro_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("avro")
}

/// Paths of all `.avsc` files below a folder, relative to `avro/`, without their ending.
fn files(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("folder is readable") {
        let path = entry.expect("entry is readable").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            let relative = path.strip_prefix(avro_folder()).expect("below avro/");
            assert_eq!(path.extension().and_then(|e| e.to_str()), Some("avsc"), "a stray file: {}", path.display());
            found.insert(relative.with_extension("").to_str().expect("UTF-8").to_owned());
        }
    }
}

#[test]
fn files_and_catalog_name_the_same_schemas() {
    let mut found = BTreeSet::new();
    files(&avro_folder(), &mut found);
    let mut listed = BTreeSet::new();
    for entry in catalog::ENTRIES {
        listed.insert(entry.path.to_owned());
        listed.extend((1..=entry.versions.len()).map(|n| format!("history/{}.v{n}", entry.path)));
    }
    assert_eq!(found, listed);
}

#[test]
fn types_and_catalog_name_the_same_records() {
    #[derive(Default)]
    struct Names(BTreeSet<&'static str>);
    impl Visitor for Names {
        fn visit<T: Record>(&mut self) {
            let schema = support::schema::<T>();
            let full = schema.name().expect("a record has a name").fullname(None);
            assert_eq!(full, T::NAME);
            let entry = catalog::entry(T::NAME).unwrap_or_else(|| panic!("{} is missing in the catalog", T::NAME));
            assert_eq!(
                T::schema_json(),
                entry.current().json,
                "{}: the .avsc was changed without a new version (see README.md, evolve a record)",
                T::NAME
            );
            assert!(self.0.insert(T::NAME), "{} is visited twice", T::NAME);
        }
    }
    let mut names = Names::default();
    visit_all(&mut names);
    assert_eq!(names.0, catalog::ENTRIES.iter().map(|entry| entry.name).collect());
}

#[test]
fn ids_are_unique_and_in_the_range_of_their_scope() {
    let mut seen = BTreeMap::new();
    for entry in catalog::ENTRIES {
        assert!(!entry.versions.is_empty(), "{} has no version", entry.name);
        for version in entry.versions {
            assert_eq!(seen.insert(version.id, entry.name), None, "id {} is used twice", version.id);
            let ours = version.id >= RESERVED_FROM;
            assert_eq!(ours, entry.scope != Scope::Public, "{} has id {}", entry.name, version.id);
            if ours {
                assert_eq!(version.id % 1_000 >= 500, entry.scope == Scope::Stored, "{}", entry.name);
            }
        }
    }
}

#[test]
fn topics_are_unique_and_their_records_and_keys_exist() {
    let mut names = BTreeSet::new();
    let mut carried = BTreeSet::new();
    for topic in topics::all() {
        assert!(names.insert(topic.base), "{} is declared twice", topic.base);
        let entry = catalog::entry(topic.record).unwrap_or_else(|| panic!("{}: no such record", topic.base));
        assert_ne!(entry.scope, Scope::Stored, "{} carries a stored record", topic.base);
        carried.insert(topic.record);
        assert_eq!(topic.name("shop-"), format!("shop-{}", topic.base));
        assert_eq!(topic.subject("shop-"), format!("shop-{}-value", topic.base));
        let legal = |c: char| c.is_ascii_lowercase() || matches!(c, '.' | '-');
        assert!(topic.base.chars().all(legal), "{}: Kafka's legal characters, and no '_' beside '.'", topic.base);
    }
    let on_topics = catalog::ENTRIES.iter().filter(|entry| entry.scope != Scope::Stored).map(|entry| entry.name);
    assert_eq!(carried, on_topics.collect(), "a public or internal record that no topic carries, or the reverse");
}

/// A named type that several files define is the same in all of them: readers put them into one namespace.
#[test]
fn a_name_means_the_same_in_every_schema() {
    fn collect(schema: &Schema, defined: &mut BTreeMap<String, (String, &'static str)>, file: &'static str) {
        match schema {
            // A name that this file has defined before.
            Schema::Ref { .. } => return,
            Schema::Record(record) => record.fields.iter().for_each(|field| collect(&field.schema, defined, file)),
            Schema::Union(union) => union.variants().iter().for_each(|variant| collect(variant, defined, file)),
            Schema::Array(array) => collect(&array.items, defined, file),
            _ => {}
        }
        if let Some(name) = schema.name() {
            let form = schema.canonical_form();
            let (other, at) = defined.entry(name.fullname(None)).or_insert_with(|| (form.clone(), file));
            assert_eq!(*other, form, "{} differs between {at} and {file}", name.fullname(None));
        }
    }
    let mut defined = BTreeMap::new();
    for entry in catalog::ENTRIES {
        collect(&Schema::parse_str(entry.current().json).expect("parses"), &mut defined, entry.path);
    }
    assert!(defined.contains_key("orderflow.common.PaymentRequestKind"));
}
