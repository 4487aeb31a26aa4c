//! Reads the corpus' topologies out of their words, so that a scenario of the same kind needs no code.

use crate::runner::Scenario;

impl Scenario {
    /// The milliseconds in the first `<words><number> <unit>` of the description.
    pub(crate) fn duration_ms(&self, words: &str) -> Option<i64> {
        let text = self.json["topology"].as_str()?;
        text.match_indices(words).find_map(|(at, _)| duration_ms(&text[at + words.len()..]))
    }

    /// The description.
    pub(crate) fn topology(&self) -> &str {
        self.json["topology"].as_str().unwrap_or_default()
    }
}

/// `10 ms…`, `5 s…`, `24 h…`.
fn duration_ms(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: i64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].split(|c: char| !c.is_ascii_alphabetic()).find(|w| !w.is_empty()) {
        Some("s") => 1_000,
        Some("h") => 3_600_000,
        _ => 1,
    };
    Some(number * unit)
}
