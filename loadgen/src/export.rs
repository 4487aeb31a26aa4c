//! A node's log over HTTP. `GET /export/topics` lists topics with the bounds of their partitions;
//! `GET /export/topics/{topic}?partition=P&from=OFFSET` answers committed records from that offset on as JSON lines
//! `{"offset","timestamp","key","value","headers"}`, bytes in base64, and ends at the log's present end or earlier: one
//! asks on until nothing comes. `GET /export/payment-provider` says where the provider's ledger is.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::runtime::Runtime;

use crate::error::Error;
use crate::http::{Ask, Connection, Header as HttpHeader, Target};
use crate::log::{LogRecord, LogSource};

const ACCEPT_LINES: HttpHeader<'static> = ("accept", "application/x-ndjson");

/// Reads topics through a node's export.
pub struct ExportSource {
    runtime: Runtime,
    connection: Connection,
    url: String,
    idle: Duration,
    /// Next offset by topic and partition.
    next: BTreeMap<(String, i32), i64>,
    counts: BTreeMap<String, i32>,
}

#[derive(Deserialize)]
struct Listing {
    topics: Vec<ListedTopic>,
}

#[derive(Deserialize)]
struct ListedTopic {
    name: String,
    partitions: Vec<Bounds>,
}

#[derive(Deserialize)]
struct Bounds {
    start: i64,
}

#[derive(Deserialize)]
struct Line {
    offset: i64,
    timestamp: i64,
    key: Option<String>,
    value: Option<String>,
    #[serde(default)]
    headers: Vec<Header>,
}

/// `{"name": …, "value": …}` or `[name, value]`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Header {
    Object { name: String, value: Option<String> },
    Pair(String, Option<String>),
}

impl ExportSource {
    /// Asks which of the topics there are; those that do not exist are left out, except `required` ones.
    ///
    /// # Errors
    /// When the node does not answer, or has no export of a required topic.
    pub fn open(target: &Target, topics: &[String], required: &[&str], idle: Duration) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::unreachable("this machine", e))?;
        let mut source = ExportSource {
            runtime,
            connection: Connection::new(target),
            url: target.url(),
            idle,
            next: BTreeMap::new(),
            counts: BTreeMap::new(),
        };
        let listed = source.list()?;
        for topic in listed.topics.into_iter().filter(|listed| topics.contains(&listed.name)) {
            source.counts.insert(topic.name.clone(), topic.partitions.len() as i32);
            for (partition, bounds) in (0..).zip(topic.partitions) {
                source.next.insert((topic.name.clone(), partition), bounds.start);
            }
        }
        if let Some(missing) = required.iter().find(|topic| !source.counts.contains_key(**topic)) {
            return Err(Error::unreachable(&source.url, format!("it has no topic {missing} in its export")));
        }
        Ok(source)
    }

    fn list(&mut self) -> Result<Listing, Error> {
        let url = format!("{}/export/topics", self.url);
        let asked = self.connection.ask(Ask::get("/export/topics"), self.idle);
        let answer = self.runtime.block_on(asked).map_err(|lost| Error::unreachable(&url, lost.cause()))?;
        if answer.status != 200 {
            let reason =
                format!("status {}: this node exports no log (is it on Kafka? then say --kafka)", answer.status);
            return Err(Error::unreachable(url, reason));
        }
        serde_json::from_slice(&answer.body).map_err(|e| Error::unreachable(url, e))
    }

    /// One answer; the offset to go on with.
    fn read(&mut self, topic: &str, partition: i32, from: i64, each: &mut dyn FnMut(LogRecord)) -> Result<i64, Error> {
        let path = format!("/export/topics/{topic}?partition={partition}&from={from}");
        let (connection, idle, url) = (&mut self.connection, self.idle, &self.url);
        self.runtime.block_on(async {
            let status = connection.lines(&path, &[ACCEPT_LINES], idle).await?;
            if status != 200 {
                return Err(Error::unreachable(format!("{url}{path}"), format!("status {status}")));
            }
            let mut next = from;
            while let Some(line) = connection.next_line(idle).await? {
                if line.is_empty() {
                    continue;
                }
                let record = parse(line, topic, partition)
                    .map_err(|reason| Error::unreachable(format!("{url}{path}"), reason))?;
                if record.offset < next {
                    let reason = format!("offset {} comes after {}", record.offset, next - 1);
                    return Err(Error::unreachable(format!("{url}{path}"), reason));
                }
                next = record.offset + 1;
                each(record);
            }
            Ok(next)
        })
    }
}

impl LogSource for ExportSource {
    fn describe(&self) -> String {
        self.url.clone()
    }

    fn partitions(&self, topic: &str) -> Option<i32> {
        self.counts.get(topic).copied()
    }

    fn read_new(&mut self, each: &mut dyn FnMut(LogRecord)) -> Result<u64, Error> {
        let mut count = 0;
        let places: Vec<_> = self.next.iter().map(|(place, next)| (place.clone(), *next)).collect();
        for ((topic, partition), mut from) in places {
            loop {
                let mut records = 0;
                from = self.read(&topic, partition, from, &mut |record| {
                    records += 1;
                    each(record);
                })?;
                count += records;
                if records == 0 {
                    break;
                }
            }
            self.next.insert((topic, partition), from);
        }
        Ok(count)
    }
}

fn parse(line: &[u8], topic: &str, partition: i32) -> Result<LogRecord, String> {
    let line: Line = serde_json::from_slice(line).map_err(|e| format!("not a line of an export: {e}"))?;
    let bytes = |text: String| STANDARD.decode(text).map_err(|e| format!("offset {}: not base64: {e}", line.offset));
    let headers = line.headers.into_iter().map(|header| {
        let (Header::Object { name, value } | Header::Pair(name, value)) = header;
        Ok((name, bytes(value.unwrap_or_default())?))
    });
    Ok(LogRecord {
        topic: topic.to_owned(),
        partition,
        offset: line.offset,
        timestamp: line.timestamp,
        key: line.key.map(bytes).transpose()?,
        value: line.value.map(bytes).transpose()?,
        headers: headers.collect::<Result<_, String>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_record() {
        let line = br#"{"partition":1,"offset":7,"timestamp":99,"key":"YQ==","value":null,
            "headers":[{"name":"n","value":"dg=="},["m",null]]}"#;
        let record = parse(line, "t", 1).unwrap();
        assert_eq!((record.offset, record.timestamp), (7, 99));
        assert_eq!((record.key.as_deref(), record.value), (Some(&b"a"[..]), None));
        assert_eq!(record.headers, [("n".to_owned(), b"v".to_vec()), ("m".to_owned(), Vec::new())]);
        assert!(parse(br#"{"offset":1,"timestamp":0,"key":"?","value":null}"#, "t", 0).is_err());
        assert!(parse(b"[]", "t", 0).is_err());
    }
}
