//! The processor around a saga. A saga is a pure function; here, and nowhere else, it meets stores, timers and topics.

use schemas::AvroRecord;
use schemas::state::{Command, Verdict};
use streams::store::KeyValueStore;
use streams::{Context, ProcessError, Processor, PunctuationType, Record, ScheduleId, Timestamp};

use super::{Due, DueKind, Ledger, Timers};

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<S, C> {
    /// The saga's state after it; `None` when there is none still.
    pub state: Option<S>,
    /// What is to be done, in order.
    pub commands: Vec<C>,
    /// For a client's command: what was decided, and why in words.
    pub verdict: Option<(Verdict, String)>,
}

impl<S, C> Step<S, C> {
    /// Nothing changes, and nobody is answered.
    #[must_use]
    pub fn nothing(state: Option<S>) -> Self {
        Step { state, commands: Vec::new(), verdict: None }
    }

    /// A client's command changes nothing; this is the answer to it.
    pub fn answer(state: Option<S>, verdict: Verdict, detail: impl Into<String>) -> Self {
        Step { state, commands: Vec::new(), verdict: Some((verdict, detail.into())) }
    }
}

/// A saga as [`Runner`] runs it: the pure step, and where its state and its commands go.
pub trait Saga: Send + Sync + 'static {
    /// What is stored of one saga.
    type State: AvroRecord + Clone + PartialEq + 'static;
    /// What can happen to it.
    type Event: 'static;
    /// What clients ask of it.
    type Request: Command;
    /// What it wants done.
    type Command: 'static;
    /// What the processor forwards.
    type Told: 'static;

    /// What a client asks in an event; `None` when the event is another.
    fn request(event: &Self::Event) -> Option<&Self::Request>;

    /// Takes an event in.
    ///
    /// # Errors
    /// When the event cannot be about this saga: it goes to the dead letters, with this reason.
    fn step(
        &self,
        state: Option<Self::State>,
        event: &Self::Event,
        now: Timestamp,
    ) -> Result<Step<Self::State, Self::Command>, String>;

    /// When a timer of a saga is due, by its state alone. [`DueKind::Forget`]: when it is forgotten.
    fn due(&self, kind: DueKind, state: &Self::State) -> Option<Timestamp>;

    /// The event that a timer is.
    fn on_due(kind: DueKind) -> Option<Self::Event>;

    /// Keeps what is derived from the state as the state has it: indexes, views. `new` is `None` when the saga is forgotten.
    /// By default nothing is.
    ///
    /// # Errors
    /// When a store fails.
    fn follow(
        &self,
        cx: &mut Context<'_, String, Self::Told>,
        id: &String,
        old: Option<&Self::State>,
        new: Option<&Self::State>,
    ) -> Result<(), ProcessError> {
        let _ = (cx, id, old, new);
        Ok(())
    }

    /// Sends a command to where it belongs.
    ///
    /// # Errors
    /// When it cannot be sent on.
    #[expect(clippy::ptr_arg, reason = "records take their keys by reference")]
    fn send(
        &self,
        cx: &mut Context<'_, String, Self::Told>,
        id: &String,
        command: &Self::Command,
    ) -> Result<(), ProcessError>;
}

/// Runs a saga: reads its state, takes the step, writes what changed, sends what was asked for.
pub struct Runner<S: Saga> {
    /// The saga.
    pub saga: S,
    /// States by id.
    pub states: KeyValueStore<String, S::State>,
    /// Clients' commands and their verdicts.
    pub ledger: Ledger,
    /// Timers of sagas and commands.
    pub timers: Timers,
    /// How often timers are looked at, milliseconds of wall clock.
    pub timer_resolution_ms: i64,
}

type Cx<'a, S> = Context<'a, String, <S as Saga>::Told>;

impl<S: Saga> Processor for Runner<S> {
    type KeyIn = String;
    type ValueIn = S::Event;
    type KeyOut = String;
    type ValueOut = S::Told;

    fn init(&self, cx: &mut Cx<'_, S>) -> Result<(), ProcessError> {
        cx.schedule(self.timer_resolution_ms, PunctuationType::WallClockTime);
        Ok(())
    }

    fn process(&self, cx: &mut Cx<'_, S>, record: Record<'_, String, S::Event>) -> Result<(), ProcessError> {
        let (Some(id), Some(event)) = (record.key, record.value) else {
            return Err(ProcessError::Topology("an event without key or value".into()));
        };
        match S::request(event) {
            Some(request) => self.ledger.once(cx, request, |cx| self.take_step(cx, id, event)),
            None => self.take_step(cx, id, event).map(|_| ()),
        }
    }

    fn punctuate(&self, cx: &mut Cx<'_, S>, _schedule: ScheduleId, now: Timestamp) -> Result<(), ProcessError> {
        for (due, Due { kind, id }) in self.timers.take_due(cx, now)? {
            match kind {
                DueKind::Forget => self.forget(cx, &id)?,
                DueKind::ForgetCommand => self.ledger.forget(cx, due, &id)?,
                DueKind::Deadline | DueKind::PaymentRetry => {
                    if let Some(event) = S::on_due(kind) {
                        self.take_step(cx, &id, &event)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl<S: Saga> Runner<S> {
    fn take_step(
        &self,
        cx: &mut Cx<'_, S>,
        id: &String,
        event: &S::Event,
    ) -> Result<Option<(Verdict, String)>, ProcessError> {
        let old = self.states.get(cx, id)?;
        let step = self.saga.step(old.clone(), event, cx.now()).map_err(ProcessError::rejected)?;
        if let Some(new) = step.state.as_ref().filter(|new| old.as_ref() != Some(*new)) {
            self.states.put(cx, id, new)?;
            self.saga.follow(cx, id, old.as_ref(), Some(new))?;
            for kind in [DueKind::Deadline, DueKind::PaymentRetry, DueKind::Forget] {
                let (was, is) = (old.as_ref().and_then(|o| self.saga.due(kind, o)), self.saga.due(kind, new));
                self.timers.follow(cx, kind, id, was, is)?;
            }
        }
        for command in &step.commands {
            self.saga.send(cx, id, command)?;
        }
        Ok(step.verdict)
    }

    fn forget(&self, cx: &mut Cx<'_, S>, id: &String) -> Result<(), ProcessError> {
        let Some(old) = self.states.get(cx, id)? else {
            return Ok(());
        };
        self.states.delete(cx, id)?;
        self.saga.follow(cx, id, Some(&old), None)
    }
}
