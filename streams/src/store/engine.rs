//! Storage engines of one's own.

use std::fmt;
use std::sync::Arc;

use state::Backend;

type Open = dyn Fn() -> Result<Arc<dyn Backend>, state::Error> + Send + Sync;

/// A storage engine of one's own for single stores: what a `KeyValueBytesStoreSupplier` and its kin are in Kafka Streams, one
/// for all shapes, because every store is ordered bytes below. All other stores stay where the application keeps them.
///
/// The engine is a [`state::Backend`], opened when the application starts; several stores may share it. It must write a
/// batch with the positions in it atomically, and need not be durable at once: what it lost is caught up from the changelog.
/// It has a commit when the view's position has passed it, on the embedded log too, whose own stores have it with the log.
///
/// ```
/// # use std::sync::Arc;
/// # use streams::{dsl::*, serde::{I64, Utf8}, testing::TestDriver};
/// use state::{Backend as _, Memory, StoreId};
/// use streams::store::Engine;
///
/// // One that ships with the engine stands in for one of yours.
/// let mine = Arc::new(Memory::new());
/// let engine = Engine::new("mine", { let mine = mine.clone(); move || Ok(mine.clone()) });
///
/// let builder = StreamsBuilder::new("visits");
/// let clicks = builder.stream("clicks", Consumed::<String, String>::with(Utf8, Utf8));
/// clicks.group_by_key().count(Materialized::new("clicks-per-user", Utf8, I64).with_engine(&engine));
/// let mut driver = TestDriver::new(builder.build()?, 1);
/// driver.pipe("clicks", Some(b"ada"), Some(b"/index.html"), 0);
///
/// let mut stored = Vec::new();
/// assert!(mine.get(StoreId(0), 0, b"ada", &mut stored)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Engine {
    name: Arc<str>,
    open: Arc<Open>,
}

impl Engine {
    /// A name for people, and what opens the engine when the application starts.
    pub fn new<B: Backend>(
        name: &str,
        open: impl Fn() -> Result<Arc<B>, state::Error> + Send + Sync + 'static,
    ) -> Self {
        Engine { name: name.into(), open: Arc::new(move || Ok(open()?)) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn open(&self) -> Result<Arc<dyn Backend>, state::Error> {
        (self.open)()
    }

    /// Whether both are made from the same [`Engine::new`].
    pub(crate) fn is(&self, other: &Engine) -> bool {
        Arc::ptr_eq(&self.open, &other.open)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Engine").field(&self.name).finish()
    }
}
