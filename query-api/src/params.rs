//! What requests say outside their body: query parameters, `Prefer`, `Idempotency-Key`, the host links are made for.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};

use crate::error::{ApiError, FieldError};
use crate::limits::{ID_BYTES_MAX, WAIT_MAX};

/// The header an instance sets on a request it passes on. Who gets it answers alone: it does not pass it on again.
pub(crate) const ORDERFLOW_HOP: HeaderName = HeaderName::from_static("orderflow-hop");
/// RFC 7240.
pub(crate) const PREFER: HeaderName = HeaderName::from_static("prefer");
/// As payment providers and the IETF draft name it.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Host and scheme that the client used, set by proxies and by other instances.
pub(crate) const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// See [`FORWARDED_HOST`].
pub(crate) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The query parameters of a request, decoded; taken out one by one, so that an unknown one is refused with its name
/// instead of being ignored.
#[derive(Debug, Default)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Params::parse(parts.uri.query().unwrap_or_default())
    }
}

impl Params {
    pub(crate) fn parse(query: &str) -> Result<Self, ApiError> {
        if query.is_empty() {
            return Ok(Params::default());
        }
        let pairs = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((decode(name)?, decode(value)?))
            })
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| ApiError::field("?", "the query is not percent-encoded UTF-8"))?;
        Ok(Params { pairs, errors: Vec::new() })
    }

    /// Takes a parameter as it is. Given twice, the first counts and the second is refused as unknown.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(n, _)| n == name)?;
        Some(self.pairs.remove(at).1)
    }

    /// Takes a whole number, cut to `max`.
    pub(crate) fn number(&mut self, name: &str, default: usize, min: usize, max: usize) -> usize {
        let Some(text) = self.take(name) else { return default };
        match text.parse::<usize>() {
            Ok(number) if number >= min => number.min(max),
            _ => {
                self.wrong(name, format!("must be a whole number from {min}, not '{}'", short(&text)));
                default
            }
        }
    }

    /// Takes a yes or no; given without a value it is yes.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        match self.take(name).as_deref() {
            None | Some("false") => false,
            Some("" | "true") => true,
            Some(other) => {
                let detail = format!("must be true or false, not '{}'", short(other));
                self.wrong(name, detail);
                false
            }
        }
    }

    /// Takes `wait`, in seconds, a fraction allowed.
    pub(crate) fn wait(&mut self) -> Option<Duration> {
        let text = self.take("wait")?;
        let wait = seconds(&text);
        if wait.is_none() {
            self.wrong("wait", format!("must be seconds from 0 to {}, not '{}'", WAIT_MAX.as_secs(), short(&text)));
        }
        wait
    }

    pub(crate) fn wrong(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push(FieldError::new(format!("?{name}"), detail));
    }

    /// # Errors
    /// Everything found wrong, and every parameter that no one took.
    pub(crate) fn finish(mut self) -> Result<(), ApiError> {
        let unknown = self.pairs.iter().take(10).map(|(name, _)| {
            FieldError::new(format!("?{}", short(name)), "is not a parameter of this resource (or is given twice)")
        });
        self.errors.extend(unknown);
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::Invalid(self.errors)) }
    }
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Seconds as a decimal number, up to [`WAIT_MAX`].
fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    (0.0..=WAIT_MAX.as_secs_f64()).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

/// `application/x-www-form-urlencoded` decoding: `+` is a space, `%xx` a byte; the whole must be UTF-8.
fn decode(text: &str) -> Option<String> {
    if !text.bytes().any(|b| matches!(b, b'%' | b'+')) {
        return Some(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high << 4 | low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

/// Appends text percent-encoded so that it is one path segment or one query value.
pub(crate) fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'@') {
            out.push(char::from(byte));
        } else {
            const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
            out.push('%');
            out.extend([byte >> 4, byte & 15].iter().filter_map(|nibble| HEX.get(usize::from(*nibble))));
        }
    }
}

/// `Prefer` (RFC 7240): how long a command's answer is held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prefer {
    /// `wait=N`.
    pub(crate) wait: Option<Duration>,
    /// `respond-async`.
    pub(crate) respond_async: bool,
}

impl Prefer {
    /// Reads the header; preferences not known are ignored, as the RFC wants, a `wait` out of range is refused.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut prefer = Prefer::default();
        for value in headers.get_all(PREFER) {
            let text = value.to_str().map_err(|_| ApiError::field("Prefer", "is not ASCII"))?;
            for preference in text.split([',', ';']).map(str::trim) {
                let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
                if name.trim().eq_ignore_ascii_case("respond-async") {
                    prefer.respond_async = true;
                } else if name.trim().eq_ignore_ascii_case("wait") {
                    let wait = seconds(value.trim().trim_matches('"')).ok_or_else(|| {
                        ApiError::field("Prefer", format!("wait must be seconds from 0 to {}", WAIT_MAX.as_secs()))
                    })?;
                    prefer.wait = Some(wait);
                }
            }
        }
        Ok(prefer)
    }
}

/// The `Idempotency-Key`, with or without the quotes of a structured field.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().map(|key| key.trim().trim_matches('"')).unwrap_or_default();
    if key.is_empty() || key.len() > ID_BYTES_MAX {
        return Err(ApiError::field("Idempotency-Key", format!("must be 1 to {ID_BYTES_MAX} ASCII characters")));
    }
    Ok(Some(key))
}

/// Scheme and host as the client wrote them, for links that lead back the way it came: `http://shop.example:8088`.
/// Empty when it named none (HTTP/1.0), which makes links relative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Base(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Base {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(Base::of(&parts.headers))
    }
}

impl Base {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
        let host = text(FORWARDED_HOST).or_else(|| text(HOST)).unwrap_or_default();
        let is_authority = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']' | b'_');
        if host.is_empty() || !host.bytes().all(is_authority) {
            return Base::default();
        }
        let scheme = if text(FORWARDED_PROTO) == Some("https") { "https" } else { "http" };
        let mut base = String::with_capacity(scheme.len() + 3 + host.len() + 64);
        base.push_str(scheme);
        base.push_str("://");
        base.push_str(host);
        Base(base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_and_what_no_one_takes_is_refused() {
        let mut params = Params::parse("from=a%20b+c&limit=7&reverse&size=0&extra=1").unwrap();
        assert_eq!(params.take("from").as_deref(), Some("a b c"));
        assert_eq!(params.number("limit", 1, 1, 5), 5, "cut to the largest");
        assert!(params.flag("reverse"));
        assert_eq!(params.number("size", 20, 1, 100), 20);
        let Err(ApiError::Invalid(errors)) = params.finish() else { panic!("must be refused") };
        assert_eq!(errors.iter().map(|e| e.field.as_str()).collect::<Vec<_>>(), ["?size", "?extra"]);
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff"] {
            assert!(Params::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_encoded_id_is_one_segment_and_comes_back() {
        let mut out = String::new();
        encode("a/b c?ä", &mut out);
        assert_eq!(out, "a%2Fb%20c%3F%C3%A4");
        assert_eq!(decode(&out).as_deref(), Some("a/b c?ä"));
    }

    #[test]
    fn prefer_is_read_as_the_rfc_writes_it() {
        let prefer = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(PREFER, text.parse().unwrap());
            Prefer::of(&headers)
        };
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(prefer("respond-async, wait=10"), Ok(Prefer { wait: seconds(10), respond_async: true }));
        assert_eq!(prefer("wait=\"5\"; foo=bar"), Ok(Prefer { wait: seconds(5), respond_async: false }));
        assert_eq!(prefer("return=minimal"), Ok(Prefer::default()));
        for bad in ["wait=61", "wait=-1", "wait=x", "wait", "wait=NaN"] {
            assert!(prefer(bad).is_err(), "{bad}");
        }
    }
}
