//! A bare HTTP/1.1 client: one keep-alive connection, one request at a time, reconnects when needed. It is written out here
//! because a load generator must not take from its target what it measures: a request is one write from a buffer that is
//! kept, an answer is parsed where it was read, and no task and no channel is between the two. hyper's bare connection took
//! 2 µs of a command's 12 in its own functions alone; these take 0.4.

use std::io::Write;
use std::time::Duration;

use httparse::Status;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::Error;
use crate::limits::{ANSWER_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX, LINE_BYTES_MAX, READ_BYTES};

/// Where a target listens: `http://host[:port][/base]`. TLS is not spoken: put the load beside its target.
#[derive(Clone, Debug)]
pub struct Target {
    authority: String,
    host: String,
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
        if host.is_empty() || base.contains(['?', '#']) {
            return Err(wrong("expected http://host[:port][/base]"));
        }
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("it has characters that no address has"));
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { host.to_owned() } else { format!("{host}:80") };
        let base = base.trim_end_matches('/');
        Ok(Target {
            authority,
            host: host.to_owned(),
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
    pub body: Vec<u8>,
}

/// Name and value of a header.
pub type Header<'a> = (&'static str, &'a str);

/// `Accept: text/event-stream`.
pub const ACCEPT_EVENTS: Header<'static> = ("accept", "text/event-stream");

/// A request without its target.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// Path and query, below the target's base, percent-encoded.
    pub path: &'a str,
    /// JSON; empty for none.
    pub body: &'a [u8],
    /// Further headers; values that are no header values are left out.
    pub headers: &'a [Header<'a>],
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
    stream: Option<TcpStream>,
    request: Vec<u8>,
    input: Input,
    body: Body,
    /// Whether the connection serves another request behind this answer.
    keep_alive: bool,
    /// Of an answer that is read line by line: where it comes from, what has come, and how much of that was given out.
    url: String,
    text: Vec<u8>,
    given: usize,
}

impl Connection {
    /// Connects at the first request.
    pub fn new(target: &Target) -> Self {
        Connection {
            target: target.clone(),
            stream: None,
            request: Vec::new(),
            input: Input::default(),
            body: Body::Done,
            keep_alive: false,
            url: String::new(),
            text: Vec::new(),
            given: 0,
        }
    }

    /// Sends a request and reads its whole answer. After any loss the connection is made anew.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask(&mut self, ask: Ask<'_>, limit: Duration) -> Result<Answer, Lost> {
        let answer = tokio::time::timeout(limit, self.exchange(ask)).await.unwrap_or(Err(Lost::Timeout));
        if answer.is_err() {
            self.stream = None;
        }
        answer
    }

    async fn exchange(&mut self, ask: Ask<'_>) -> Result<Answer, Lost> {
        let Head { status, retry_after, .. } = self.send(ask).await?;
        let mut body = Vec::new();
        while self.more(&mut body).await? {
            if body.len() > ANSWER_BYTES_MAX {
                return Err(Lost::Broken);
            }
        }
        Ok(Answer { status, retry_after, body })
    }

    /// Sends a `GET` whose answer is read by [`Connection::next_line`] as it comes: exports and event streams. Answers the
    /// status; lines make sense when it is 200.
    ///
    /// # Errors
    /// When the target cannot be reached or does not begin its answer in time.
    pub async fn lines(&mut self, path: &str, headers: &[Header<'_>], limit: Duration) -> Result<u16, Error> {
        self.url = format!("{}{path}", self.target.url());
        self.text.clear();
        self.given = 0;
        let ask = Ask { method: "GET", path, body: b"", headers };
        let lost = match tokio::time::timeout(limit, self.send(ask)).await {
            Ok(Ok(head)) => return Ok(head.status),
            Ok(Err(lost)) => Error::unreachable(&self.url, lost.cause()),
            Err(_) => Error::Timeout { what: format!("GET {}", self.url), limit },
        };
        self.stream = None;
        Err(lost)
    }

    /// The next line without its end; `None` when the server ended the answer.
    ///
    /// # Errors
    /// When nothing comes within `idle`, the answer breaks off, or a line is too long.
    pub async fn next_line(&mut self, idle: Duration) -> Result<Option<&[u8]>, Error> {
        let end = loop {
            let unread = self.text.get(self.given..).unwrap_or_default();
            if let Some(length) = unread.iter().position(|&byte| byte == b'\n') {
                break self.given + length + 1;
            }
            if self.body == Body::Done {
                if unread.is_empty() {
                    return Ok(None);
                }
                break self.text.len();
            }
            if unread.len() > LINE_BYTES_MAX {
                let reason = format!("a line is longer than {LINE_BYTES_MAX} bytes");
                return Err(Error::unreachable(&self.url, reason));
            }
            let mut text = std::mem::take(&mut self.text);
            text.drain(..self.given);
            self.given = 0;
            let more = tokio::time::timeout(idle, self.more(&mut text)).await;
            self.text = text;
            match more {
                Ok(Ok(_)) => {}
                Ok(Err(lost)) => return Err(Error::unreachable(&self.url, lost.cause())),
                Err(_) => {
                    return Err(Error::Timeout { what: format!("GET {}: the next line", self.url), limit: idle });
                }
            }
        };
        let line = self.text.get(self.given..end).unwrap_or_default();
        self.given = end;
        Ok(Some(line.trim_ascii_end()))
    }

    /// Sends a request and reads the answer up to its body.
    async fn send(&mut self, ask: Ask<'_>) -> Result<Head, Lost> {
        compose(&self.target, ask, &mut self.request);
        // What is left of an answer that was not read to its end would be taken for the next one.
        if self.body != Body::Done || self.stream.as_ref().is_some_and(is_closed) {
            self.stream = None;
        }
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                self.input = Input::default();
                self.stream.insert(connect(&self.target.authority).await?)
            }
        };
        // Until its answer has been read the connection serves no other request.
        self.body = Body::UntilEnd;
        stream.write_all(&self.request).await.map_err(|_| Lost::Broken)?;
        loop {
            match Head::parse(self.input.unread())? {
                // 100 Continue and the like: the answer is still to come.
                Some((length, head)) if (100..200).contains(&head.status) => self.input.take(length),
                Some((length, head)) => {
                    self.input.take(length);
                    self.body = head.body;
                    self.keep_alive = head.keep_alive;
                    return Ok(head);
                }
                None if self.fill().await? == 0 => return Err(Lost::Broken),
                None => {}
            }
        }
    }

    /// Appends what has come of the body to `out`, and waits when nothing has; false when it is complete.
    async fn more(&mut self, out: &mut Vec<u8>) -> Result<bool, Lost> {
        let before = out.len();
        loop {
            self.body.decode(&mut self.input, out)?;
            if self.body == Body::Done {
                if !self.keep_alive {
                    self.stream = None;
                }
                return Ok(false);
            }
            if out.len() > before {
                return Ok(true);
            }
            if self.fill().await? == 0 {
                if self.body != Body::UntilEnd {
                    return Err(Lost::Broken);
                }
                self.body = Body::Done;
            }
        }
    }

    /// Reads what there is; 0 when the server ended the connection.
    async fn fill(&mut self) -> Result<usize, Lost> {
        let stream = self.stream.as_mut().ok_or(Lost::Broken)?;
        stream.read_buf(self.input.room()).await.map_err(|_| Lost::Broken)
    }
}

/// A server may close an idle connection just now; that is no fault of anyone and seen before anything is sent. tokio knows
/// what it has been told of the socket: this takes no system call.
fn is_closed(stream: &TcpStream) -> bool {
    !matches!(stream.try_read(&mut [0]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
}

async fn connect(authority: &str) -> Result<TcpStream, Lost> {
    let stream = TcpStream::connect(authority).await.map_err(|_| Lost::Connect)?;
    // Requests are small: waiting to fill a segment would be measured as the target's latency.
    stream.set_nodelay(true).map_err(|_| Lost::Connect)?;
    Ok(stream)
}

/// Writes a request into a buffer.
fn compose(target: &Target, ask: Ask<'_>, out: &mut Vec<u8>) {
    out.clear();
    for part in [ask.method, " ", &target.base, ask.path, " HTTP/1.1\r\nhost: ", &target.host, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    if !ask.body.is_empty() {
        out.extend_from_slice(b"content-type: application/json\r\n");
    }
    if !ask.body.is_empty() || ask.method == "POST" {
        // Writing to a vector cannot fail.
        let _ = write!(out, "content-length: {}\r\n", ask.body.len());
    }
    for (name, value) in ask.headers {
        // A line end would begin a header of the value's own.
        if value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            for part in [name, ": ", value, "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(ask.body);
}

/// What was read from the socket and is not yet used.
#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    taken: usize,
}

impl Input {
    fn unread(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    fn take(&mut self, count: usize) {
        self.taken = (self.taken + count).min(self.bytes.len());
    }

    /// Where to read more into.
    fn room(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.reserve(READ_BYTES);
        &mut self.bytes
    }
}

/// What matters of an answer's head.
struct Head {
    status: u16,
    retry_after: Option<Duration>,
    body: Body,
    keep_alive: bool,
}

impl Head {
    /// Its length and what it says; `None` when it is not complete.
    fn parse(bytes: &[u8]) -> Result<Option<(usize, Self)>, Lost> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(bytes) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) if bytes.len() <= HEAD_BYTES_MAX => return Ok(None),
            Ok(Status::Partial) | Err(_) => return Err(Lost::Broken),
        };
        let status = response.code.unwrap_or_default();
        let mut head =
            Head { status, retry_after: None, body: Body::UntilEnd, keep_alive: response.version == Some(1) };
        for header in response.headers.iter() {
            let Ok(value) = std::str::from_utf8(header.value) else {
                continue;
            };
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("content-length") && head.body == Body::UntilEnd {
                head.body = Body::Length(value.parse().map_err(|_| Lost::Broken)?);
            } else if is("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
                head.body = Body::ChunkSize;
            } else if is("connection") && value.eq_ignore_ascii_case("close") {
                head.keep_alive = false;
            } else if is("retry-after") {
                head.retry_after = value.parse().ok().map(Duration::from_secs);
            }
        }
        // RFC 9112, 6.3: these have no body whatever their headers say.
        if matches!(status, 100..200 | 204 | 304) {
            head.body = Body::Done;
        }
        Ok(Some((length, head)))
    }
}

/// What of an answer's body is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// Nothing.
    Done,
    /// So many bytes.
    Length(u64),
    /// The size of a chunk.
    ChunkSize,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The line end behind a chunk.
    ChunkEnd,
    /// Header lines behind the last chunk, up to an empty one.
    Trailer,
    /// All until the server ends the connection.
    UntilEnd,
}

impl Body {
    /// Appends what has been read of the body to `out`.
    fn decode(&mut self, input: &mut Input, out: &mut Vec<u8>) -> Result<(), Lost> {
        loop {
            let unread = input.unread();
            let (taken, next) = match *self {
                Body::Done => return Ok(()),
                Body::Length(0) => (0, Body::Done),
                Body::Chunk(0) => (0, Body::ChunkEnd),
                _ if unread.is_empty() => return Ok(()),
                Body::Length(left) => {
                    let taken = copy(unread, left, out);
                    (taken, Body::Length(left - taken as u64))
                }
                Body::Chunk(left) => {
                    let taken = copy(unread, left, out);
                    (taken, Body::Chunk(left - taken as u64))
                }
                Body::UntilEnd => (copy(unread, u64::MAX, out), Body::UntilEnd),
                Body::ChunkSize => match httparse::parse_chunk_size(unread).map_err(|_| Lost::Broken)? {
                    Status::Complete((taken, 0)) => (taken, Body::Trailer),
                    Status::Complete((taken, size)) => (taken, Body::Chunk(size)),
                    Status::Partial => return Ok(()),
                },
                Body::ChunkEnd => match unread {
                    [b'\r', b'\n', ..] => (2, Body::ChunkSize),
                    [b'\r'] => return Ok(()),
                    _ => return Err(Lost::Broken),
                },
                Body::Trailer => match unread.windows(2).position(|two| two == b"\r\n") {
                    Some(0) => (2, Body::Done),
                    Some(length) => (length + 2, Body::Trailer),
                    None if unread.len() > HEAD_BYTES_MAX => return Err(Lost::Broken),
                    None => return Ok(()),
                },
            };
            input.take(taken);
            *self = next;
        }
    }
}

/// Appends at most `most` bytes; how many.
fn copy(from: &[u8], most: u64, to: &mut Vec<u8>) -> usize {
    let count = usize::try_from(most).unwrap_or(usize::MAX).min(from.len());
    to.extend_from_slice(from.get(..count).unwrap_or_default());
    count
}

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

    /// Reads an answer that comes `step` bytes at a time; its status, its body, and whether that was all of it.
    fn read(answer: &str, step: usize) -> Result<(u16, String, bool), Lost> {
        let (mut input, mut body, mut out, mut status) = (Input::default(), None, Vec::new(), 0);
        for bytes in answer.as_bytes().chunks(step) {
            input.room().extend_from_slice(bytes);
            if body.is_none()
                && let Some((length, head)) = Head::parse(input.unread())?
            {
                input.take(length);
                (status, body) = (head.status, Some(head.body));
            }
            if let Some(body) = &mut body {
                body.decode(&mut input, &mut out)?;
            }
        }
        let complete = body == Some(Body::Done) && input.unread().is_empty();
        Ok((status, String::from_utf8(out).unwrap(), complete))
    }

    #[test]
    fn bodies_end_where_their_framing_says_however_they_arrive() {
        for (answer, status, body) in [
            ("HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nhello", 202, "hello"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, ""),
            ("HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na\r\n\r\n1a;x=y\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n",
                200,
                "a\r\nabcdefghijklmnopqrstuvwxyz",
            ),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-sum: 1\r\n\r\n", 200, "a"),
        ] {
            for step in [1, 2, 7, answer.len()] {
                assert_eq!(read(answer, step), Ok((status, body.to_owned(), true)), "{answer} by {step}");
            }
        }
        let until_end = "HTTP/1.1 200 OK\r\n\r\nall of it";
        assert_eq!(read(until_end, 4), Ok((200, "all of it".to_owned(), false)));
    }

    #[test]
    fn an_answer_that_is_no_http_is_broken() {
        for answer in [
            "SSH-2.0-OpenSSH_9.6\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n",
        ] {
            assert_eq!(read(answer, answer.len()), Err(Lost::Broken), "{answer}");
        }
    }

    #[test]
    fn a_header_value_cannot_begin_another_header() {
        let target = Target::parse("http://localhost:8088/base").unwrap();
        let mut out = Vec::new();
        let headers = [("prefer", "wait=1"), ("idempotency-key", "a\r\nx-evil: 1")];
        compose(&target, Ask { method: "POST", path: "/orders", body: b"{}", headers: &headers }, &mut out);
        let expected = "POST /base/orders HTTP/1.1\r\nhost: localhost:8088\r\ncontent-type: application/json\r\n\
                        content-length: 2\r\nprefer: wait=1\r\n\r\n{}";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
