//! What the load generator must know of a business: how its traffic looks, how a command is said over HTTP, which event
//! ends a saga, and how to check it all. One implementation per app; nothing else here knows any of them.

use std::borrow::Cow;

use memchr::memmem;
use schemas::{AvroRecord, Codec, Topic, TopicSpec};
use serde::Deserialize;

use crate::audit::Auditor;
use crate::ebook_rental::Library;
use crate::error::Error;
use crate::fashion_store::FashionStore;
use crate::gdmarket::Market;
use crate::generate::Params;
use crate::log::LogRecord;
use crate::taxi::Taxi;
use crate::traffic::Envelope;

/// A business of `SYSTEMS.md`, as seen from outside.
pub trait Business: Send + Sync {
    /// As on the command line and in URLs.
    fn name(&self) -> &'static str;

    /// Every topic of its own, commands, events and internal ones.
    fn topics(&self) -> &'static [TopicSpec];

    /// The topic that records go to which cannot be judged.
    fn dead_letter_topic(&self) -> String {
        format!("{}-dead-letters", self.name())
    }

    /// Topics that clients write: the only ones that are replayed.
    fn commands(&self) -> &'static [CommandTopic];

    /// Their names.
    fn command_topics(&self) -> Vec<&'static str> {
        self.commands().iter().map(|topic| topic.base).collect()
    }

    /// The topics whose records say that a saga has come to an end.
    fn outcome_topics(&self) -> Vec<&'static str>;

    /// Makes traffic: envelopes in order of time, the same for the same parameters on every machine.
    ///
    /// # Errors
    /// Whatever the sink answers.
    fn generate(&self, params: &Params, sink: &mut dyn FnMut(Envelope) -> Result<(), Error>) -> Result<(), Error>;

    /// True for what must be in place before the rest makes sense (registering products). It comes first in the file
    /// and is sent, and answered, before the clock of the replay starts.
    fn is_setup(&self, envelope: &Envelope) -> bool;

    /// The command as a REST call, written into `call`; or why there is none.
    fn http_call(&self, envelope: &Envelope, call: &mut Call) -> Result<(), NoCall>;

    /// Key and value with times moved and ids made fresh, as the replay wants them.
    fn rewrite(&self, envelope: &mut Envelope, names: &Names, at_ms: i64) {
        if let Some(topic) = self.commands().iter().find(|topic| topic.base == envelope.topic) {
            (topic.renew)(envelope, &names.id_suffix, at_ms);
        }
    }

    /// The saga this command begins, if it begins one: what [`Business::ended`] will name.
    fn begins<'a>(&self, envelope: &'a Envelope) -> Option<&'a str>;

    /// The saga that this event ends, if it does.
    fn ended(&self, topic: &str, value: &[u8]) -> Option<String>;

    /// The words of a server-sent event's `status` that end a saga.
    fn final_words(&self) -> &'static [&'static str];

    /// The saga that a server-sent event's JSON ends, if it does. Called for every event of the target: most end nothing
    /// and should cost nothing.
    fn ended_json(&self, event: &[u8]) -> Option<String> {
        #[derive(Deserialize)]
        struct Status<'a> {
            #[serde(borrow)]
            id: Cow<'a, str>,
            #[serde(borrow)]
            status: Cow<'a, str>,
        }
        // A fashion-store order has five events and one end: reading the JSON of all was a tenth of what its command cost.
        if !self.final_words().iter().any(|word| memmem::find(event, word.as_bytes()).is_some()) {
            return None;
        }
        let Status { id, status } = serde_json::from_slice(event).ok()?;
        self.final_words().contains(&&*status).then(|| id.into_owned())
    }

    /// Whether a command of this kind may be answered so by what has happened meanwhile, though it is a sound one: a
    /// cancellation may find its order ended.
    fn may_answer(&self, kind: &str, status: u16) -> bool;

    /// Path of the server-sent events, below the business's own.
    fn events_path(&self) -> &'static str;

    /// A fresh auditor.
    fn auditor(&self, partitions: &dyn Fn(&str) -> Option<i32>) -> Box<dyn Auditor>;

    /// A word for what a record is, for recorded traffic.
    fn kind(&self, record: &LogRecord) -> &'static str {
        match (record.value.as_deref(), self.commands().iter().find(|topic| topic.base == record.topic)) {
            (None, _) => "null",
            (Some(value), Some(topic)) => (topic.kind)(value).unwrap_or("poison"),
            (Some(_), None) => "event",
        }
    }
}

/// A command that clients write, as recorded traffic and replays need it.
pub trait Replayed: AvroRecord + 'static {
    /// Its format.
    fn codec() -> &'static Codec<Self>;

    /// A word for it.
    fn kind(&self) -> &'static str;

    /// Makes a new one of it: `suffix` behind every id, its time at `at_ms`.
    fn renew(&mut self, suffix: &str, at_ms: i64);
}

/// A topic that clients write.
pub struct CommandTopic {
    base: &'static str,
    /// The word for a command; `None`: it cannot be read.
    kind: fn(&[u8]) -> Option<&'static str>,
    renew: fn(&mut Envelope, &str, i64),
}

impl CommandTopic {
    /// The topic of these commands.
    pub const fn of<C: Replayed>(topic: &Topic<C>) -> Self {
        CommandTopic {
            base: topic.base(),
            kind: |value| Some(C::codec().decode(value).ok()?.kind()),
            renew: renew::<C>,
        }
    }
}

/// Writes a command of an envelope anew, with `suffix` behind its key. Poison stays the poison it is: what cannot be read
/// is left alone.
fn renew<C: Replayed>(envelope: &mut Envelope, suffix: &str, at_ms: i64) {
    let Some(mut command) = envelope.value.as_deref().and_then(|value| C::codec().decode(value).ok()) else {
        return;
    };
    command.renew(suffix, at_ms);
    envelope.value = Some(C::codec().to_vec(&command));
    if let Some(key) = &mut envelope.key {
        key.extend_from_slice(suffix.as_bytes());
    }
}

/// Makes a type of commands [`Replayed`] by a table: every kind, the word for it, its ids, and its time if it has one.
macro_rules! replayed {
    ($command:ident in $codec:expr, $kinds:ident {
        $( $kind:ident: $word:expr, [$( $id:ident ),+] $(, $time:ident )?; )+
    }) => {
        impl $crate::business::Replayed for $command {
            fn codec() -> &'static ::schemas::Codec<Self> {
                &$codec
            }

            fn kind(&self) -> &'static str {
                match self.command { $( $kinds::$kind(_) => $word, )+ }
            }

            fn renew(&mut self, suffix: &str, _at_ms: i64) {
                match &mut self.command {
                    $( $kinds::$kind(command) => {
                        $( command.$id.push_str(suffix); )+
                        $( command.$time = _at_ms; )?
                    } )+
                }
            }
        }
    };
}
pub(crate) use replayed;

/// How ids and topics of a replay differ from the file's.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Put before every topic.
    pub topic_prefix: String,
    /// Put behind every id, so that the same file can be replayed again as new traffic.
    pub id_suffix: String,
}

/// An HTTP request, reused from one to the next.
#[derive(Debug, Default)]
pub struct Call {
    /// `GET`, `POST`, `DELETE`, …
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// JSON; empty for none.
    pub body: Vec<u8>,
    /// `Idempotency-Key`; empty for none.
    pub idempotency_key: String,
    /// What is counted under one name in the report.
    pub name: &'static str,
}

impl Call {
    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.method = "GET";
        self.path.clear();
        self.body.clear();
        self.idempotency_key.clear();
        self.name = "";
    }
}

/// Why a command is not sent over HTTP: REST has no way to say it (a null key, a foreign schema id).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCall(pub &'static str);

/// The business of that name.
///
/// # Errors
/// [`Error::Usage`] that lists the names there are.
pub fn by_name(name: &str) -> Result<&'static dyn Business, Error> {
    ALL.iter().copied().find(|business| business.name() == name).ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|business| business.name()).collect();
        Error::Usage(format!("unknown app '{name}'; there is: {}", names.join(", ")))
    })
}

const ALL: &[&dyn Business] = &[&FashionStore, &Taxi, &Market, &Library];

/// Whether an idempotency key is another business's: they may share a provider. Keys begin
/// with the name of the business.
pub fn is_anothers(business: &dyn Business, key: &str) -> bool {
    key.split_once(':').is_some_and(|(name, _)| name != business.name() && by_name(name).is_ok())
}
