//! The auditor of a business whose log tells of sagas: what every saga leaves on the log ([`Trace`]), and what must hold of
//! all of them. Which steps a saga takes, and what it must never do, is its business's own ([`Facts::judge`]).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::LazyLock;

use schemas::Codec;
use schemas::payment::{PaymentRequest, PaymentResult};
use serde_json::Value;

use super::facts::{Commands, Fold, Heard, History, Place, Poison, Reader, own};
use super::payment::{self, Claim, Payment};
use super::{Auditor, Evidence, Findings};
use crate::business::Business;
use crate::log::LogRecord;

static PAYMENT_REQUESTS: LazyLock<Codec<PaymentRequest>> = LazyLock::new(Codec::fixed);
static PAYMENT_RESULTS: LazyLock<Codec<PaymentResult>> = LazyLock::new(Codec::fixed);

/// What any saga leaves on the log: `T` begins it, `S` are its states.
#[derive(Debug)]
pub struct Trace<T, S> {
    /// The first valid command that asked for it, and where it is.
    pub begun: Option<(T, Place)>,
    /// Its commands met so far.
    pub commands: Commands,
    /// Its payment; untouched where nothing is paid.
    pub payment: Payment,
    /// What its owner was told.
    pub history: History<S>,
    /// What events repeat of the request; they may be read before it, from another topic.
    said: Vec<(&'static str, Vec<String>)>,
}

impl<T, S> Default for Trace<T, S> {
    fn default() -> Self {
        Trace {
            begun: None,
            commands: Commands::default(),
            payment: Payment::default(),
            history: History::default(),
            said: Vec::new(),
        }
    }
}

impl<T, S> Trace<T, S> {
    /// A sound command asks for the saga.
    pub fn begin(&mut self, request: T, place: &Place) -> Heard {
        if self.begun.is_some() {
            return Heard::Again;
        }
        self.begun = Some((request, place.clone()));
        Heard::New
    }

    /// An event repeats what was asked for, or the beginning of it.
    pub fn says<const N: usize>(&mut self, event: &'static str, words: [String; N]) {
        self.said.push((event, words.into()));
    }

    /// The first event that says something else.
    fn differs(&self, right: &[String]) -> Option<String> {
        let (event, said) = self.said.iter().find(|(_, said)| !right.starts_with(said))?;
        Some(format!("{event} of {}", said.join(", ")))
    }
}

/// One saga, as the log has it.
pub trait Saga: Default + 'static {
    /// What begins one.
    type Request: 'static;
    /// Where one can stand.
    type State: Copy + PartialEq + fmt::Display + 'static;
    /// What the business calls one.
    const WORD: &'static str;

    /// What it has as every saga has.
    fn trace(&self) -> &Trace<Self::Request, Self::State>;

    /// The same, to be added to.
    fn trace_mut(&mut self) -> &mut Trace<Self::Request, Self::State>;

    /// What every event repeats of the request, in one order.
    fn words(request: &Self::Request) -> Vec<String>;

    /// Whether anything was done for it, besides what its trace has.
    fn is_touched(&self) -> bool;

    /// The state it rests in; `None` while something is under way.
    fn rests_in(&self) -> Option<Self::State>;

    /// Whether something is under way.
    fn is_open(&self) -> bool {
        self.trace().begun.is_some() && self.rests_in().is_none()
    }

    /// What became of it, in words.
    fn story(&self) -> String;

    /// Where it hangs, in words.
    fn progress(&self) -> String;

    /// Why it was cancelled, if it was.
    fn cancelled(&self) -> Option<&'static str> {
        None
    }

    /// How it is counted in the report.
    fn end(&self) -> String {
        let rests = || self.rests_in().map_or("open".to_owned(), |state| state.to_string().to_lowercase());
        self.cancelled().map_or_else(rests, |reason| format!("cancelled {reason}"))
    }

    /// What the log says about its money; `None` where nothing is paid.
    fn claim(&self, _request: &Self::Request, _at: String) -> Option<Claim> {
        None
    }
}

/// Everything a business's log says.
pub trait Facts: Fold + Default + 'static {
    /// Its sagas.
    type Saga: Saga;
    /// Collections that [`Facts::judge_web`] wants to see.
    const COLLECTIONS: &'static [&'static str];
    /// The topics its payments go over, if anything is paid.
    const PAYMENT: Option<payment::Topics> = None;

    /// Sagas by id.
    fn sagas(&self) -> &HashMap<String, Self::Saga>;

    /// The same, to be added to.
    fn sagas_mut(&mut self) -> &mut HashMap<String, Self::Saga>;

    /// A saga, known or not.
    fn of(&mut self, id: &str) -> &mut Self::Saga {
        self.sagas_mut().entry(id.to_owned()).or_default()
    }

    /// The sagas that somebody asked for: id, saga, what was asked for, and where.
    fn begun(&self) -> impl Iterator<Item = (&str, &Self::Saga, &<Self::Saga as Saga>::Request, String)> {
        self.sagas().iter().filter_map(|(id, saga)| {
            let (request, place) = saga.trace().begun.as_ref()?;
            Some((id.as_str(), saga, request, place.to_string()))
        })
    }

    /// Checks what the business promises.
    fn judge(&self, findings: &mut Findings);

    /// Checks what is answered over HTTP, by path.
    fn judge_web(&self, collections: &BTreeMap<String, Vec<Value>>, findings: &mut Findings);

    /// Counts for the report besides those of sagas.
    fn count(&self, _add: &mut dyn FnMut(&str, u64)) {}
}

/// Folds the log of a business and judges it.
pub struct SagaAuditor<F> {
    facts: F,
    reader: Reader,
}

impl<F: Facts> SagaAuditor<F> {
    /// `partitions` tells how many partitions a topic has, where that is known.
    pub fn new(business: &dyn Business, partitions: &dyn Fn(&str) -> Option<i32>) -> Self {
        SagaAuditor { facts: F::default(), reader: Reader::new(business, partitions) }
    }

    fn invented(&self, findings: &mut Findings) {
        let says = "nothing happens to what nobody asked for; events say what was asked for; all we write can be read";
        let mut check = findings.check("nothing invented", says);
        for (id, saga) in self.facts.sagas() {
            let (subject, trace) = (format!("{} {id}", F::Saga::WORD), saga.trace());
            let touched = saga.is_touched() || !trace.payment.is_untouched() || trace.history.last.is_some();
            let nobodys = trace.begun.is_none() && touched;
            check.holds(!nobodys, &subject, "asked for", || saga.story(), || saga.progress());
            let words = trace.begun.as_ref().map(|(request, _)| F::Saga::words(request));
            if let Some(event) = words.and_then(|words| trace.differs(&words)) {
                check.differs(subject, "events of what was asked for", event, "");
            }
        }
        self.reader.check_readable(&mut check);
    }

    fn statuses(&self, findings: &mut Findings) {
        let says = "the status topic counts every change once, without a gap, and ends where the events end";
        let mut check = findings.check("status history", says);
        for (id, saga, _, at) in self.facts.begun() {
            let subject = format!("{} {id}", F::Saga::WORD);
            saga.trace().history.check(&subject, saga.rests_in(), &at, &mut check);
        }
    }
}

impl<F: Facts> Auditor for SagaAuditor<F> {
    fn observe(&mut self, record: LogRecord) {
        self.reader.observe(&record, &mut Paying(&mut self.facts));
    }

    fn open(&self) -> u64 {
        self.facts.sagas().values().filter(|saga| saga.is_open()).count() as u64
    }

    fn collections(&self) -> &'static [&'static str] {
        F::COLLECTIONS
    }

    fn check(&self, evidence: &Evidence, findings: &mut Findings) {
        self.facts.judge(findings);
        self.invented(findings);
        self.statuses(findings);
        if let (Some(ledger), Some(_)) = (&evidence.ledger, F::PAYMENT) {
            let claims = self.facts.begun().filter_map(|(id, saga, request, at)| Some((id, saga.claim(request, at)?)));
            payment::check(F::Saga::WORD, &claims.collect(), ledger, findings);
        }
        self.reader.check_dead_letters(findings);
        self.facts.judge_web(&evidence.collections, findings);
    }

    fn summary(&self) -> BTreeMap<String, u64> {
        let mut summary = BTreeMap::new();
        let mut add = |name: &str, count: u64| *summary.entry(name.to_owned()).or_default() += count;
        for (_, saga, ..) in self.facts.begun() {
            add(&format!("{}s", F::Saga::WORD), 1);
            add(&saga.end(), 1);
        }
        self.facts.count(&mut add);
        for (name, count) in self.reader.summary() {
            add(name, count);
        }
        summary
    }
}

/// Takes payments in for a business, and leaves it the rest.
struct Paying<'a, F>(&'a mut F);

impl<F: Facts> Fold for Paying<'_, F> {
    fn command(&mut self, place: &Place, key: &[u8], value: &[u8], at_ms: i64) -> Result<Heard, Poison> {
        self.0.command(place, key, value, at_ms)
    }

    fn own(&mut self, place: &Place, value: &[u8]) -> Result<(), String> {
        match F::PAYMENT {
            Some((requests, _)) if place.topic == requests.base() => {
                let request = own(&PAYMENT_REQUESTS, value)?;
                self.0.of(&request.correlation_id).trace_mut().payment.ask(&request);
            }
            Some((_, results)) if place.topic == results.base() => {
                let result = own(&PAYMENT_RESULTS, value)?;
                self.0.of(&result.correlation_id).trace_mut().payment.answer(&result);
            }
            _ => self.0.own(place, value)?,
        }
        Ok(())
    }
}
