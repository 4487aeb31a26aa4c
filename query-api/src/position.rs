//! Position tokens: where a command landed, for reads that must see its effect.
//!
//! A token is `<topic>:<partition>:<next offset>`, the position an application has committed once the command is done.
//! Clients hand it back as they got it; several are joined by commas.

use std::fmt;
use std::str::FromStr;

use axum::http::{HeaderName, HeaderValue};
use streams::{Offset, Partition, Topology};

use crate::error::ApiError;
use crate::limits::POSITION_TOKENS_MAX;
use crate::platform::Appended;

/// The header a command's position is answered in.
pub(crate) const ORDERFLOW_POSITION: HeaderName = HeaderName::from_static("orderflow-position");

/// A position in a command topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// The topic, without a deployment's prefix.
    pub(crate) topic: String,
    /// The partition.
    pub(crate) partition: Partition,
    /// What must be committed: the offset after the command's.
    pub(crate) next: Offset,
}

impl Token {
    /// The token of an append.
    pub(crate) fn of(topic: &str, at: Appended) -> Self {
        Token { topic: topic.to_owned(), partition: at.partition, next: at.offset.next() }
    }

    /// As a header's value. Topic names are ASCII by Kafka's rule, so this does not fail for tokens of our own.
    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.to_string()).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.topic, self.partition, self.next)
    }
}

impl FromStr for Token {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.rsplitn(3, ':');
        let next: i64 = parts.next().and_then(|n| n.parse().ok()).filter(|n| *n >= 0).ok_or(())?;
        let partition = parts.next().and_then(|p| p.parse().ok()).ok_or(())?;
        let topic = parts.next().filter(|t| !t.is_empty()).ok_or(())?;
        Ok(Token { topic: topic.to_owned(), partition, next: Offset(next) })
    }
}

/// Reads a `min-position` and checks that every topic in it feeds the sub-topology whose store is read: any other would be
/// a promise that cannot be kept.
pub(crate) fn parse(text: &str, topology: &Topology, subtopology: u16) -> Result<Vec<Token>, ApiError> {
    let wrong = |detail: String| ApiError::field("?min-position", detail);
    let tokens = text
        .split(',')
        .map(|t| Token::from_str(t.trim()).map_err(|()| wrong(format!("'{t}' is not a position token"))))
        .take(POSITION_TOKENS_MAX + 1)
        .collect::<Result<Vec<_>, _>>()?;
    if tokens.len() > POSITION_TOKENS_MAX {
        return Err(wrong(format!("has more than {POSITION_TOKENS_MAX} tokens")));
    }
    for token in &tokens {
        let feeds = topology.topic(&token.topic).and_then(|t| topology.subtopology_of_source(t));
        if feeds != Some(subtopology) {
            return Err(wrong(format!(
                "this store is not fed by '{}' directly, so its position says nothing here; wait with until= instead",
                token.topic
            )));
        }
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let token = Token { topic: "fashion.orders".into(), partition: 3, next: Offset(1_234) };
        assert_eq!(token.to_string(), "fashion.orders:3:1234");
        assert_eq!(token.to_string().parse(), Ok(token));
        for bad in ["", "a", "a:1", ":1:2", "a:-1:2", "a:1:-2", "a:1:x", "a:1:99999999999999999999"] {
            assert_eq!(bad.parse::<Token>(), Err(()), "{bad}");
        }
    }
}
