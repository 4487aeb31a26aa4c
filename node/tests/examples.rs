//! Every example that the documentation names, run on an embedded log of its own, says what it is to say. Each is compiled
//! into this test, so that what runs is what the file says now.

use std::error::Error;
use std::io::Write;
use std::path::Path;

#[path = "../examples/deduplication.rs"]
#[allow(dead_code, reason = "main is not called here")]
mod deduplication;
#[path = "../examples/enrichment.rs"]
#[allow(dead_code, reason = "main is not called here")]
mod enrichment;
#[path = "../examples/inventory.rs"]
#[allow(dead_code, reason = "main is not called here")]
mod inventory;
#[path = "../examples/parking.rs"]
#[allow(dead_code, reason = "main is not called here")]
mod parking;
#[path = "../examples/saga.rs"]
#[allow(dead_code, reason = "main is not called here")]
mod saga;
#[path = "../examples/windowed_count.rs"]
#[allow(dead_code, reason = "main is not called here")]
mod windowed_count;
#[path = "../examples/word_count.rs"]
#[allow(dead_code, reason = "main is not called here")]
mod word_count;

fn says(run: fn(&Path, &mut dyn Write) -> Result<(), Box<dyn Error>>, directory: &Path) -> String {
    let mut out = Vec::new();
    run(directory, &mut out).expect("the example runs");
    String::from_utf8(out).expect("text")
}

fn check(run: fn(&Path, &mut dyn Write) -> Result<(), Box<dyn Error>>, expected: &[&str]) {
    let directory = tempfile::tempdir().expect("a directory");
    let said = says(run, directory.path());
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn word_count_goes_on_where_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    assert_eq!(says(word_count::run, directory.path()), "to: 3\nbe: 3\nquestion: 1\nanswer: 0\n");
    assert_eq!(says(word_count::run, directory.path()), "to: 6\nbe: 6\nquestion: 2\nanswer: 0\n");
}

#[test]
fn enrichment_finds_the_row_of_the_orders_time() {
    check(
        enrichment::run,
        &[
            "6000 ms: c2 vase for someone unknown",
            "6000 ms: c1 book for Ada, Paris",
            "2000 ms: c1 lamp for Ada, London",
        ],
    );
}

#[test]
fn windowed_count_knows_what_is_late_after_a_restart() {
    check(windowed_count::run, &["ada: 2 clicks in minute 0", "ada: 2 clicks in minute 1"]);
}

#[test]
fn deduplication_lets_each_id_through_once_in_ten_minutes() {
    check(deduplication::run, &["0 ms: a", "1000 ms: b", "600001 ms: a"]);
}

#[test]
fn a_saga_takes_the_reservation_back_when_the_payment_is_declined() {
    check(saga::run, &["o1: Confirmed", "o2: PaymentDeclined", "o3: OutOfStock", "coats left: 2"]);
}

#[test]
fn the_inventory_check_passes_what_is_left() {
    check(inventory::run, &["o1: \"Pass\"", "o2: \"Fail\"", "o3: \"Pass\"", "o4: \"Pass\""]);
}

#[test]
fn a_business_is_added_in_under_250_lines_by_the_steps_of_its_page() {
    check(
        parking::run,
        &[
            "RESERVE by A: ACCEPTED",
            "RESERVE by B: REFUSED car A has the spot",
            "LEAVE by A: ACCEPTED",
            "RESERVE by B: ACCEPTED",
            "s1 is free again, after 4 changes",
        ],
    );
    let (example, page) = (include_str!("../examples/parking.rs"), include_str!("../../docs/add-a-business.md"));
    assert!(example.lines().count() < 250, "{} lines", example.lines().count());
    let steps = |text: &str, mark: &str| -> Vec<String> {
        let numbered = |step: &&str| step.starts_with(|c: char| c.is_ascii_digit());
        text.lines().filter_map(|line| line.strip_prefix(mark)).filter(numbered).map(str::to_owned).collect()
    };
    assert_eq!(steps(page, "## "), steps(example, "// "));
    assert_eq!(steps(page, "## ").len(), 5);
}
