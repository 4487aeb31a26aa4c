//! Step tables: every state that a saga can be in, by every event that can happen to it. The table of a saga is found by
//! taking every event in in every state that this leads to, and lies under `golden/`: a pair of state and event that is
//! not in it fails, and so does one that it has too many.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemas::payment::{PaymentOutcome, PaymentRequest, PaymentRequestKind, PaymentResult};
use schemas::state::Payment;
use topologies::saga::Step;

use super::provider::result;

/// When everything happens.
pub(crate) const NOW: i64 = 1_000;

/// A table longer than this does not end.
const STATES_MAX: usize = 200;

/// How many sagas that came to one state by different ways are looked at: they must all act alike.
const WAYS_MAX: usize = 4;

/// A saga as its table is made from it.
pub(crate) trait Steps {
    type State: Clone + PartialEq;
    type Command;

    /// Everything that can happen, by short names.
    const EVENTS: &'static [&'static str];

    /// The event that asks for something else under the same id. The table begins with the other one.
    const OTHER: &'static str = "";

    fn take(state: Option<Self::State>, event: &str) -> Result<Step<Self::State, Self::Command>, String>;

    /// Whatever of a state decides what it does.
    fn name(state: &Self::State) -> String;

    /// Why it is being undone, or was.
    fn why(_state: &Self::State) -> Option<String> {
        None
    }

    /// Whether nothing is under way.
    fn is_settled(state: &Self::State) -> bool;

    /// A command in short.
    fn short(command: &Self::Command) -> String;
}

/// A saga in a state, and what every event does to it.
struct Row {
    text: String,
    /// Where it can go from here.
    next: Vec<String>,
    is_settled: bool,
}

/// Compares the table of a saga with the one that was written down.
pub(crate) fn check<T: Steps>(golden: &str) {
    let (text, states) = table::<T>();
    let differs = text.lines().zip(golden.lines().chain(std::iter::repeat(""))).position(|(is, was)| is != was);
    let line = differs.unwrap_or(text.lines().count().min(golden.lines().count()));
    let at = |text: &str| text.lines().nth(line).unwrap_or("(the end)").to_owned();
    assert!(
        text == golden,
        "{text}\nThis is the table. It differs from the golden one from line {}:\n- {}\n+ {}",
        line + 1,
        at(golden),
        at(&text)
    );
    assert!(states * T::EVENTS.len() >= 10, "{states} states");
}

/// The table, and how many states it has.
fn table<T: Steps>() -> (String, usize) {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut found: Vec<(String, Option<T::State>)> = vec![(name::<T>(None), None)];
    let (mut text, mut at) = (String::new(), 0);
    while let Some((state, saga)) = found.get(at).cloned() {
        at += 1;
        let row = row::<T>(&state, saga.as_ref(), &mut found);
        if let Some(known) = rows.get(&state) {
            assert_eq!(row.text, known.text, "two sagas that are {state} do not act alike: name what they differ in");
            continue;
        }
        text.push_str(&row.text);
        rows.insert(state, row);
        assert!(rows.len() <= STATES_MAX, "over {STATES_MAX} states:\n{text}");
    }
    for state in rows.keys() {
        assert!(can_settle(&rows, state), "nothing leads from {state} to an end");
    }
    (text, rows.len())
}

fn name<T: Steps>(state: Option<&T::State>) -> String {
    state.map_or_else(|| "(none)".to_owned(), T::name)
}

/// Takes every event in. What this leads to is put behind `found`.
fn row<T: Steps>(state: &str, saga: Option<&T::State>, found: &mut Vec<(String, Option<T::State>)>) -> Row {
    // What happens, by which events; what does nothing comes last, and what makes no sense behind it.
    let (mut effects, mut nothing, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    let mut row = Row { text: format!("{state}\n"), next: Vec::new(), is_settled: saga.is_none_or(T::is_settled) };
    for event in T::EVENTS.iter().filter(|event| saga.is_some() || **event != T::OTHER) {
        let step = match T::take(saga.cloned(), event) {
            Ok(step) => step,
            Err(reason) => {
                add(&mut refused, format!("no sense: {reason}"), event);
                continue;
            }
        };
        let next = name::<T>(step.state.as_ref());
        match effect::<T>(saga, &step, (state, &next)) {
            Some(effect) => add(&mut effects, effect, event),
            None => add(&mut nothing, "nothing".to_owned(), event),
        }
        let ways = found.iter().filter(|(known, _)| *known == next).count();
        if ways < WAYS_MAX && found.iter().all(|(_, saga)| *saga != step.state) {
            found.push((next.clone(), step.state));
        }
        row.next.push(next);
    }
    for (effect, events) in effects.into_iter().chain(nothing).chain(refused) {
        let _ = writeln!(row.text, "  {}: {effect}", events.join(", "));
    }
    row
}

fn add<'a>(effects: &mut Vec<(String, Vec<&'a str>)>, effect: String, event: &'a str) {
    match effects.iter_mut().find(|(known, _)| *known == effect) {
        Some((_, events)) => events.push(event),
        None => effects.push((effect, vec![event])),
    }
}

/// What a step does: the verdict, why the saga is undone from here on, what is asked and told, the next state.
fn effect<T: Steps>(
    saga: Option<&T::State>,
    step: &Step<T::State, T::Command>,
    (state, next): (&str, &str),
) -> Option<String> {
    let verdict = step.verdict.as_ref().map(|(verdict, _)| verdict.to_string());
    let was = saga.and_then(T::why);
    let why = step.state.as_ref().and_then(T::why).filter(|_| was.is_none()).map(|why| format!("({why})"));
    let next = (state != next).then(|| format!("-> {next}"));
    let commands = step.commands.iter().map(T::short);
    let words: Vec<String> = verdict.into_iter().chain(why).chain(commands).chain(next).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Whether a saga in a state can still come to an end.
fn can_settle(rows: &BTreeMap<String, Row>, state: &str) -> bool {
    let (mut seen, mut left) = (vec![state], vec![state]);
    while let Some(row) = left.pop().map(|state| &rows[state]) {
        if row.is_settled {
            return true;
        }
        for next in &row.next {
            if !seen.contains(&next.as_str()) {
                seen.push(next);
                left.push(next);
            }
        }
    }
    false
}

/// A payment as far as it decides what is done.
pub(crate) fn money(payment: &Payment) -> String {
    let put_off = if payment.deferred { " put off" } else { "" };
    let taken = if payment.money_taken { " taken" } else { "" };
    format!("payment {}{put_off}{taken}", payment.phase)
}

/// A payment request in short; of a repeat that it is one.
pub(crate) fn asked(request: &PaymentRequest) -> String {
    if request.attempt > 1 { format!("{}#{}", request.kind, request.attempt) } else { request.kind.to_string() }
}

/// A payment request in short, in a table, where the number of the attempt tells nothing.
pub(crate) fn asked_in_table(request: &PaymentRequest) -> String {
    if request.attempt > 1 { format!("{} again", request.kind) } else { request.kind.to_string() }
}

/// The results that a payment of 2,000 won can have, by their short names.
pub(crate) fn paid(namespace: &str, id: &str, name: &str) -> Option<PaymentResult> {
    use PaymentOutcome::{Approved, Declined, Deferred, Refunded, Voided};
    use PaymentRequestKind::{Charge, Refund, Void};
    let (kind, key, outcome) = match name {
        "paid" => (Charge, "", Approved),
        "declined" => (Charge, "", Declined),
        "deferred" => (Charge, "", Deferred),
        "voided" => (Void, ":void", Voided),
        "not voidable" => (Void, ":void", Declined),
        "void deferred" => (Void, ":void", Deferred),
        "refunded" => (Refund, ":refund", Refunded),
        "refund deferred" => (Refund, ":refund", Deferred),
        "nothing to refund" => (Refund, ":refund", Declined),
        _ => return None,
    };
    let request = PaymentRequest {
        kind,
        correlation_id: id.to_owned(),
        idempotency_key: format!("{namespace}:{id}:charge{key}"),
        amount: 2_000,
        attempt: 1,
        requested_at: NOW,
        payer_id: String::new(),
        charge_key: None,
        provider_reference: None,
    };
    Some(result(&request, outcome, NOW))
}

/// As [`paid`], as the answer to the attempt under way.
pub(crate) fn paid_now(result: &mut PaymentResult, payment: Option<&Payment>) {
    result.attempt = payment.map_or(result.attempt, |payment| payment.attempt);
}
