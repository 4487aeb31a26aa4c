//! The corpus' ways of comparing.

use std::collections::BTreeMap;

use serde_json::Value;

/// Compares the records of a checkpoint.
pub(crate) fn records(how: &str, prefix: bool, expected: &[Value], got: &[Value]) -> Result<(), String> {
    match how {
        "ordered" if prefix && got.len() > expected.len() => ordered(expected, &got[..expected.len()], &fields),
        "ordered" => ordered(expected, got, &fields),
        "ordered_values" => ordered(expected, got, &|e, g| e["value"] == g["value"]),
        "unordered" => unordered(expected, got),
        "set" => set(expected, got),
        "last_per_key" => {
            let (expected, got) = (last_per_key(expected), last_per_key(got));
            let same = expected.len() == got.len()
                && expected.iter().all(|(key, e)| got.get(key).is_some_and(|g| fields(e, g)));
            if same { Ok(()) } else { Err(format!("the last records per key differ: {got:?}")) }
        }
        "last_per_key_contains" => {
            let got = last_per_key(got);
            let wrong: Vec<_> = last_per_key(expected)
                .into_iter()
                .filter(|(key, e)| !got.get(key).is_some_and(|g| fields(e, g)))
                .collect();
            if wrong.is_empty() { Ok(()) } else { Err(format!("missing or different: {wrong:?}")) }
        }
        other => Err(format!("unknown match '{other}'")),
    }
}

/// Compares a store's final entries.
pub(crate) fn entries(exact: bool, expected: &[Value], got: &[Value]) -> Result<(), String> {
    if let Some(missing) = expected.iter().find(|e| !got.iter().any(|g| fields(e, g))) {
        return Err(format!("missing {missing}"));
    }
    if exact && got.len() != expected.len() {
        return Err(format!("{} entries, expected {}", got.len(), expected.len()));
    }
    Ok(())
}

/// Every field the expectation has: a record without `ts` leaves its timestamp open.
fn fields(expected: &Value, got: &Value) -> bool {
    expected.as_object().is_some_and(|e| e.iter().all(|(field, value)| got.get(field) == Some(value)))
}

fn ordered(expected: &[Value], got: &[Value], same: &dyn Fn(&Value, &Value) -> bool) -> Result<(), String> {
    if let Some(i) = expected.iter().zip(got).position(|(e, g)| !same(e, g)) {
        return Err(format!("record {i} differs"));
    }
    if expected.len() != got.len() {
        return Err(format!("{} records, expected {}", got.len(), expected.len()));
    }
    Ok(())
}

fn unordered(expected: &[Value], got: &[Value]) -> Result<(), String> {
    let mut left: Vec<&Value> = got.iter().collect();
    for e in expected {
        let Some(i) = left.iter().position(|g| fields(e, g)) else { return Err(format!("missing {e}")) };
        left.remove(i);
    }
    if left.is_empty() { Ok(()) } else { Err(format!("too much: {left:?}")) }
}

fn set(expected: &[Value], got: &[Value]) -> Result<(), String> {
    if let Some(e) = expected.iter().find(|e| !got.iter().any(|g| fields(e, g))) {
        return Err(format!("missing {e}"));
    }
    match got.iter().find(|g| !expected.iter().any(|e| fields(e, g))) {
        Some(g) => Err(format!("too much: {g}")),
        None => Ok(()),
    }
}

fn last_per_key(records: &[Value]) -> BTreeMap<String, &Value> {
    records.iter().map(|r| (r["key"].to_string(), r)).collect()
}
