//! A node's log over HTTP: `GET /export/topics/{topic}?partition=P&from=OFFSET` answers committed records from that offset
//! on as JSON lines `{"partition","offset","timestamp","key","value","headers"}`, bytes in base64, and ends at the log's
//! present end (or earlier: one asks on until nothing comes). An unknown topic or partition is a 404.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{ACCEPT, HeaderName};
use serde::Deserialize;
use tokio::runtime::Runtime;

use crate::error::Error;
use crate::http::{Connection, Target};
use crate::limits::PARTITIONS_MAX;
use crate::log::{LogRecord, LogSource};

const ACCEPT_LINES: (HeaderName, &str) = (ACCEPT, "application/x-ndjson");

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
    /// Finds out which partitions each topic has, by asking for them until there is none. Topics that do not exist are
    /// left out, except `required` ones.
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
        for topic in topics {
            let mut partition = 0;
            // i64::MAX is past any end: the answer is only whether the partition is there.
            while partition < PARTITIONS_MAX && source.read(topic, partition, i64::MAX, &mut |_| {})?.is_some() {
                source.next.insert((topic.clone(), partition), 0);
                partition += 1;
            }
            if partition > 0 {
                source.counts.insert(topic.clone(), partition);
            } else if required.contains(&topic.as_str()) {
                let reason = format!("it has no export of topic {topic} (GET /export/topics/{topic}?partition=0)");
                return Err(Error::unreachable(&source.url, reason));
            }
        }
        Ok(source)
    }

    /// One answer; the offset to go on with, or `None` for a 404.
    fn read(
        &mut self,
        topic: &str,
        partition: i32,
        from: i64,
        each: &mut dyn FnMut(LogRecord),
    ) -> Result<Option<i64>, Error> {
        let path = format!("/export/topics/{topic}?partition={partition}&from={from}");
        let (connection, idle, url) = (&mut self.connection, self.idle, &self.url);
        self.runtime.block_on(async {
            let mut lines = connection.lines(&path, &[ACCEPT_LINES], idle).await?;
            match lines.status {
                200 => {}
                404 => {
                    // The body must be read for the connection to be free again.
                    while lines.next(idle).await?.is_some() {}
                    return Ok(None);
                }
                status => return Err(Error::unreachable(format!("{url}{path}"), format!("status {status}"))),
            }
            let mut next = from;
            while let Some(line) = lines.next(idle).await? {
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
            Ok(Some(next))
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
                let read = self.read(&topic, partition, from, &mut |record| {
                    records += 1;
                    each(record);
                })?;
                let gone = || Error::unreachable(&self.url, format!("topic {topic} has lost partition {partition}"));
                from = read.ok_or_else(gone)?;
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
