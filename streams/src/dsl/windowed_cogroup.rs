//! Cogroup over windows (KIP-150).

use std::sync::Arc;

use crate::dsl::cogroup::{CogroupedKStream, GroupInput};
use crate::dsl::graph::{Graph, operator};
use crate::dsl::options::Materialized;
use crate::dsl::session::SessionAggregation;
use crate::dsl::table::{Change, KTable};
use crate::dsl::windowed_stream::{Aggregation, Kind, WindowedBy};
use crate::dsl::windows::{EmitStrategy, SessionWindows, SlidingWindows, TimeWindows, UnlimitedWindows, Windowed};
use crate::processor::Context;
use crate::record::Record;
use crate::topology::{In, Out};

impl<K: 'static, A: Clone + 'static> CogroupedKStream<K, A> {
    /// Groups the records of each key by windows.
    ///
    /// ```
    /// # use streams::{dsl::{Consumed, Materialized, StreamsBuilder, TimeWindows}, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let deposits = builder.stream("deposits", Consumed::<String, i64>::with(Utf8, I64));
    /// # let fees = builder.stream("fees", Consumed::<String, String>::with(Utf8, Utf8));
    /// let daily_balance = deposits
    ///     .group_by_key()
    ///     .cogroup(|_, amount, balance| balance + amount)
    ///     .cogroup(&fees.group_by_key(), |_, _fee, balance| balance - 1)
    ///     .windowed_by(TimeWindows::of_size_with_no_grace(86_400_000))
    ///     .aggregate(|| 0, Materialized::new("daily-balance", Utf8, I64));
    /// ```
    #[must_use]
    pub fn windowed_by<W: WindowedBy<Self>>(self, windows: W) -> W::Windowed {
        windows.windowed(self)
    }
}

impl<K: 'static, A: Clone + 'static> WindowedBy<CogroupedKStream<K, A>> for TimeWindows {
    type Windowed = TimeWindowedCogroupedKStream<K, A>;
    fn windowed(self, cogrouped: CogroupedKStream<K, A>) -> Self::Windowed {
        TimeWindowedCogroupedKStream { cogrouped, windows: Kind::Time(self), emit: EmitStrategy::default() }
    }
}

impl<K: 'static, A: Clone + 'static> WindowedBy<CogroupedKStream<K, A>> for SlidingWindows {
    type Windowed = TimeWindowedCogroupedKStream<K, A>;
    fn windowed(self, cogrouped: CogroupedKStream<K, A>) -> Self::Windowed {
        TimeWindowedCogroupedKStream { cogrouped, windows: Kind::Sliding(self), emit: EmitStrategy::default() }
    }
}

impl<K: 'static, A: Clone + 'static> WindowedBy<CogroupedKStream<K, A>> for UnlimitedWindows {
    type Windowed = TimeWindowedCogroupedKStream<K, A>;
    fn windowed(self, cogrouped: CogroupedKStream<K, A>) -> Self::Windowed {
        TimeWindowedCogroupedKStream { cogrouped, windows: Kind::Unlimited(self), emit: EmitStrategy::default() }
    }
}

impl<K: 'static, A: Clone + 'static> WindowedBy<CogroupedKStream<K, A>> for SessionWindows {
    type Windowed = SessionWindowedCogroupedKStream<K, A>;
    fn windowed(self, cogrouped: CogroupedKStream<K, A>) -> Self::Windowed {
        SessionWindowedCogroupedKStream { cogrouped, windows: self, emit: EmitStrategy::default() }
    }
}

/// Grouped streams cut into time, sliding or unlimited windows, to be aggregated into one table. Rules as for
/// [`crate::dsl::TimeWindowedKStream`]; stream time is the largest timestamp of all inputs. (In Kafka Streams each input
/// has its own, so that one may add to a window that another has closed.)
pub struct TimeWindowedCogroupedKStream<K, A> {
    cogrouped: CogroupedKStream<K, A>,
    windows: Kind,
    emit: EmitStrategy,
}

impl<K: Clone + 'static, A: Clone + 'static> TimeWindowedCogroupedKStream<K, A> {
    /// When results are sent on; by default with each update.
    #[must_use]
    pub fn emit_strategy(self, emit: EmitStrategy) -> Self {
        TimeWindowedCogroupedKStream { emit, ..self }
    }

    /// The table of all inputs, from what `initializer` gives.
    pub fn aggregate(
        self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let CogroupedKStream { graph, inputs } = self.cogrouped;
        let initializer = Arc::new(initializer);
        let initial = initializer.clone();
        let initial = Arc::new(move || Some(initial()));
        let shared = Aggregation::new(&graph, self.windows, self.emit, initial, materialized);
        let outs = number(inputs, |input, number| input.to_windows(&shared, initializer.clone(), number));
        let out = merge(&graph, &shared.name, outs);
        shared.table(graph, out)
    }
}

/// Grouped streams cut into sessions, to be aggregated into one table. Rules as for
/// [`crate::dsl::SessionWindowedKStream`]; a session is of all inputs together, and stream time too.
pub struct SessionWindowedCogroupedKStream<K, A> {
    cogrouped: CogroupedKStream<K, A>,
    windows: SessionWindows,
    emit: EmitStrategy,
}

impl<K: Clone + 'static, A: Clone + 'static> SessionWindowedCogroupedKStream<K, A> {
    /// When results are sent on; by default with each update.
    #[must_use]
    pub fn emit_strategy(self, emit: EmitStrategy) -> Self {
        SessionWindowedCogroupedKStream { emit, ..self }
    }

    /// The table of all inputs, from what `initializer` gives; `merger` makes one sum of the sums of two sessions, the
    /// earlier one first.
    ///
    /// ```
    /// # use streams::{dsl::*, serde::{I64, Utf8}};
    /// # let builder = StreamsBuilder::new("app");
    /// # let clicks = builder.stream("clicks", Consumed::<String, String>::with(Utf8, Utf8));
    /// # let views = builder.stream("views", Consumed::<String, String>::with(Utf8, Utf8));
    /// let visits = clicks
    ///     .group_by_key()
    ///     .cogroup(|_, _click, actions| actions + 1)
    ///     .cogroup(&views.group_by_key(), |_, _view, actions| actions + 1)
    ///     .windowed_by(SessionWindows::of_inactivity_gap_with_no_grace(30 * 60_000))
    ///     .aggregate(|| 0, |_, earlier, later| earlier + later, Materialized::new("visits", Utf8, I64));
    /// ```
    pub fn aggregate(
        self,
        initializer: impl Fn() -> A + Send + Sync + 'static,
        merger: impl Fn(&K, A, A) -> A + Send + Sync + 'static,
        materialized: Materialized<K, A>,
    ) -> KTable<Windowed<K>, A> {
        let CogroupedKStream { graph, inputs } = self.cogrouped;
        let initializer = Arc::new(initializer);
        let (initial, none) = (initializer.clone(), initializer.clone());
        let initial = Arc::new(move || Some(initial()));
        let merger =
            Arc::new(move |key: &K, sum: Option<A>, session| Some(merger(key, sum.unwrap_or_else(|| none()), session)));
        let shared = SessionAggregation::new(&graph, self.windows, self.emit, initial, merger, materialized);
        let outs = number(inputs, |input, number| input.to_sessions(&shared, initializer.clone(), number));
        let out = merge(&graph, &shared.name, outs);
        shared.table(graph, out)
    }
}

type Updates<K, A> = Out<Windowed<K>, Change<A>>;

fn number<K, A>(
    inputs: Vec<Box<dyn GroupInput<K, A>>>,
    attach: impl Fn(Box<dyn GroupInput<K, A>>, usize) -> Updates<K, A>,
) -> Vec<Updates<K, A>> {
    inputs.into_iter().enumerate().map(|(number, input)| attach(input, number)).collect()
}

/// All inputs' updates, as those of one table.
fn merge<K: 'static, A: 'static>(graph: &Graph, name: &str, outs: Vec<Updates<K, A>>) -> Updates<K, A> {
    let pass = operator(|cx: &mut Context<'_, Windowed<K>, Change<A>>, record: Record<'_, Windowed<K>, Change<A>>| {
        cx.forward(record)
    });
    graph.edit(|b| {
        let (_, out) = b.processor(name, pass);
        outs.into_iter().for_each(|input| b.connect(input, In::of(out.node)));
        out
    })
}
