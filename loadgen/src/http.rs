//! A bare HTTP/1.1 client: one keep-alive connection, one request at a time, reconnects when needed. A pooled client
//! costs several times the CPU per request, which a load generator must not take from its target.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::error::Error;
use crate::limits::{ANSWER_BYTES_MAX, LINE_BYTES_MAX};

/// Where a target listens: `http://host[:port][/base]`. TLS is not spoken: put the load beside its target.
#[derive(Clone, Debug)]
pub struct Target {
    authority: String,
    host: HeaderValue,
    base: String,
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`Error::Usage`] when it is not one of the form above.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Error::Usage(format!("'{url}' is no target: {why}"));
        let rest = url.strip_prefix("http://").ok_or_else(|| wrong("it must begin with http://"))?;
        let (host, base) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() || host.contains(char::is_whitespace) || base.contains(['?', '#']) {
            return Err(wrong("expected http://host[:port][/base]"));
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { host.to_owned() } else { format!("{host}:80") };
        let base = base.trim_end_matches('/');
        Ok(Target {
            authority,
            host: HeaderValue::from_str(host).map_err(|_| wrong("the host has characters that no host has"))?,
            base: if base.is_empty() { String::new() } else { format!("/{base}") },
        })
    }

    /// What it has under a path segment: an app's resources.
    pub fn below(&self, segment: &str) -> Self {
        Target { base: format!("{}/{segment}", self.base), ..self.clone() }
    }

    /// As a URL again.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.authority, self.base)
    }
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// `Retry-After` in seconds, when it says so.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

/// A request without its target.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// Path and query, below the target's base.
    pub path: &'a str,
    /// JSON; empty for none.
    pub body: &'a [u8],
    /// Further headers; values that are no header values are left out.
    pub headers: &'a [(HeaderName, &'a str)],
}

impl<'a> Ask<'a> {
    /// A plain read.
    pub fn get(path: &'a str) -> Self {
        Ask { method: "GET", path, body: b"", headers: &[] }
    }
}

/// Why a request has no answer; all of these are worth another try with the same ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lost {
    /// No connection could be made: nothing was sent.
    Connect,
    /// The connection ended before the answer: it may have been done or not.
    Broken,
    /// No answer within the time given: it may have been done or not.
    Timeout,
}

impl Lost {
    /// For reports.
    pub fn cause(self) -> &'static str {
        match self {
            Lost::Connect => "no connection",
            Lost::Broken => "connection lost",
            Lost::Timeout => "no answer in time",
        }
    }
}

/// One keep-alive connection.
pub struct Connection {
    target: Target,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Connects at the first request.
    pub fn new(target: &Target) -> Self {
        Connection { target: target.clone(), sender: None }
    }

    /// Sends a request and reads its whole answer. After any loss the connection is made anew.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask(&mut self, ask: Ask<'_>, limit: Duration) -> Result<Answer, Lost> {
        let answer = tokio::time::timeout(limit, self.exchange(ask)).await.unwrap_or(Err(Lost::Timeout));
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }

    async fn exchange(&mut self, ask: Ask<'_>) -> Result<Answer, Lost> {
        let response = self.send(ask).await?;
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        let body = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let body = body.collect().await.map_err(|_| Lost::Broken)?.to_bytes();
        Ok(Answer { status, retry_after, body })
    }

    async fn send(&mut self, ask: Ask<'_>) -> Result<Response<Incoming>, Lost> {
        let request = self.request(ask);
        // A server may close an idle connection just now; that is no fault of anyone and seen before anything is sent.
        if let Some(sender) = &mut self.sender
            && sender.ready().await.is_err()
        {
            self.sender = None;
        }
        let sender = match &mut self.sender {
            Some(sender) => sender,
            None => {
                let sender = connect(&self.target.authority).await?;
                self.sender.insert(sender)
            }
        };
        sender.send_request(request).await.map_err(|_| Lost::Broken)
    }

    fn request(&self, ask: Ask<'_>) -> Request<Full<Bytes>> {
        let uri =
            if self.target.base.is_empty() { ask.path.to_owned() } else { format!("{}{}", self.target.base, ask.path) };
        let mut request = Request::new(Full::new(Bytes::copy_from_slice(ask.body)));
        // Methods and paths are made here from constants and percent-encoded ids: they always parse.
        *request.method_mut() = Method::from_bytes(ask.method.as_bytes()).unwrap_or(Method::GET);
        *request.uri_mut() = uri.parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(HOST, self.target.host.clone());
        if !ask.body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in ask.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        request
    }

    /// Sends a `GET` whose answer is read line by line as it comes: exports and event streams.
    ///
    /// # Errors
    /// When the target cannot be reached or does not begin its answer in time.
    pub async fn lines(&mut self, path: &str, headers: &[(HeaderName, &str)], limit: Duration) -> Result<Lines, Error> {
        let url = format!("{}{path}", self.target.url());
        let ask = Ask { method: "GET", path, body: b"", headers };
        let response = match tokio::time::timeout(limit, self.send(ask)).await {
            Ok(Ok(response)) => response,
            Ok(Err(lost)) => {
                self.sender = None;
                return Err(Error::unreachable(url, lost.cause()));
            }
            Err(_) => {
                self.sender = None;
                return Err(Error::Timeout { what: format!("GET {url}"), limit });
            }
        };
        Ok(Lines {
            status: response.status().as_u16(),
            body: response.into_body(),
            url,
            buffer: Vec::new(),
            taken: 0,
            ended: false,
        })
    }
}

/// The lines of an answer.
pub struct Lines {
    /// The answer's status; lines make sense when it is 200.
    pub status: u16,
    body: Incoming,
    url: String,
    buffer: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl Lines {
    /// The next line without its end; `None` when the server ended the answer.
    ///
    /// # Errors
    /// When nothing comes within `idle`, the answer breaks off, or a line is too long.
    pub async fn next(&mut self, idle: Duration) -> Result<Option<&[u8]>, Error> {
        let end = loop {
            let unread = self.buffer.get(self.taken..).unwrap_or_default();
            if let Some(length) = unread.iter().position(|&byte| byte == b'\n') {
                break self.taken + length + 1;
            }
            if self.ended {
                if unread.is_empty() {
                    return Ok(None);
                }
                break self.buffer.len();
            }
            if unread.len() > LINE_BYTES_MAX {
                let reason = format!("a line is longer than {LINE_BYTES_MAX} bytes");
                return Err(Error::unreachable(&self.url, reason));
            }
            self.buffer.drain(..self.taken);
            self.taken = 0;
            let frame = tokio::time::timeout(idle, self.body.frame())
                .await
                .map_err(|_| Error::Timeout { what: format!("GET {}: the next line", self.url), limit: idle })?;
            match frame {
                None => self.ended = true,
                Some(Err(e)) => return Err(Error::unreachable(&self.url, e)),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
            }
        };
        let line = self.buffer.get(self.taken..end).unwrap_or_default();
        self.taken = end;
        Ok(Some(line.trim_ascii_end()))
    }
}

async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>, Lost> {
    let stream = TcpStream::connect(authority).await.map_err(|_| Lost::Connect)?;
    // Requests are small: waiting to fill a segment would be measured as the target's latency.
    stream.set_nodelay(true).map_err(|_| Lost::Connect)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| Lost::Connect)?;
    // Ends with the sender; its error, if any, is seen there.
    tokio::spawn(connection);
    Ok(sender)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// `Accept: text/event-stream`.
pub const ACCEPT_EVENTS: (HeaderName, &str) = (ACCEPT, "text/event-stream");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_people_write_them() {
        for (url, again) in [
            ("http://localhost", "http://localhost:80"),
            ("http://127.0.0.1:8088/", "http://127.0.0.1:8088"),
            ("http://[::1]:8088/fashion-store/", "http://[::1]:8088/fashion-store"),
        ] {
            assert_eq!(Target::parse(url).unwrap().url(), again);
        }
        for url in ["localhost:8088", "https://localhost", "http://", "http:///base", "http://a/b?c", "http://a b/"] {
            assert!(matches!(Target::parse(url), Err(Error::Usage(_))), "{url}");
        }
    }
}
