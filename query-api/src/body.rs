//! Reading JSON bodies: leniently where the seeds' clients are (numbers as strings), strictly everywhere else, and with
//! everything that is wrong told at once, by field.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::error::{ApiError, FieldError};
use crate::limits::{BODY_BYTES_MAX, ID_BYTES_MAX, QTY_MAX, TEXT_CHARS_MAX};

/// The fields of a JSON object, taken out one by one. Nothing is refused before [`Fields::finish`], so that a client
/// learns of all its mistakes together.
#[derive(Debug)]
pub(crate) struct Fields {
    object: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let content_type = request.headers().get(CONTENT_TYPE).map(|value| value.as_bytes());
        if !content_type.is_some_and(is_json) {
            let found = content_type.map_or("missing".into(), String::from_utf8_lossy);
            return Err(ApiError::MediaType(found.chars().take(100).collect()));
        }
        Self::parse(&read(request.into_body()).await?)
    }
}

/// Reads a whole body, within its limit.
pub(crate) async fn read(body: Body) -> Result<axum::body::Bytes, ApiError> {
    let declared = axum::body::HttpBody::size_hint(&body).lower();
    if declared > BODY_BYTES_MAX as u64 {
        return Err(ApiError::BodyTooLarge(BODY_BYTES_MAX));
    }
    to_bytes(body, BODY_BYTES_MAX).await.map_err(|error| {
        // axum hides the limit's error type behind its own; the source says which it was.
        let limit = std::error::Error::source(&error).is_some_and(|e| e.to_string().contains("length limit"));
        if limit { ApiError::BodyTooLarge(BODY_BYTES_MAX) } else { ApiError::field("body", "the body broke off") }
    })
}

/// `application/json` or any `…+json`, whatever its parameters.
fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    essence == b"application/json" || (essence.starts_with(b"application/") && essence.ends_with(b"+json"))
}

impl Fields {
    /// Parses a body.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ApiError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|e| ApiError::field("body", format!("not UTF-8 from byte {}", e.valid_up_to())))?;
        let value: Value = serde_json::from_str(text).map_err(|e| ApiError::field("body", format!("not JSON: {e}")))?;
        match value {
            Value::Object(object) => Ok(Fields { object, errors: Vec::new() }),
            other => Err(ApiError::field("body", format!("must be a JSON object, not {}", kind(&other)))),
        }
    }

    fn wrong(&mut self, field: &str, detail: impl Into<String>) {
        self.errors.push(FieldError::new(field, detail));
    }

    /// Takes a field; `null` counts as absent.
    fn take(&mut self, field: &str) -> Option<Value> {
        self.object.shift_remove(field).filter(|value| !value.is_null())
    }

    /// An id; a JSON number counts as its digits. Absent is `None`.
    pub(crate) fn id(&mut self, field: &str) -> Option<String> {
        let id = match self.take(field)? {
            Value::String(id) => id,
            Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
            other => {
                self.wrong(field, format!("must be a string, not {}", kind(&other)));
                return None;
            }
        };
        match check_id(&id) {
            Ok(()) => Some(id),
            Err(detail) => {
                self.wrong(field, detail);
                None
            }
        }
    }

    /// An id that must be there. The value is only meaningful once [`Fields::finish`] is passed.
    pub(crate) fn required_id(&mut self, field: &str) -> String {
        let before = self.errors.len();
        let id = self.id(field);
        if id.is_none() && self.errors.len() == before {
            self.wrong(field, "is missing");
        }
        id.unwrap_or_default()
    }

    /// A text; absent is the empty text.
    pub(crate) fn text(&mut self, field: &str) -> String {
        match self.take(field) {
            None => String::new(),
            Some(Value::String(text)) if text.chars().count() <= TEXT_CHARS_MAX => text,
            Some(Value::String(_)) => {
                self.wrong(field, format!("is longer than {TEXT_CHARS_MAX} characters"));
                String::new()
            }
            Some(Value::Number(number)) => number.to_string(),
            Some(other) => {
                self.wrong(field, format!("must be a string, not {}", kind(&other)));
                String::new()
            }
        }
    }

    /// A text that must be there and not be empty.
    pub(crate) fn required_text(&mut self, field: &str) -> String {
        let before = self.errors.len();
        let text = self.text(field);
        if text.is_empty() && self.errors.len() == before {
            self.wrong(field, "is missing");
        }
        text
    }

    /// A word out of a few, which must be there. The value is only meaningful once [`Fields::finish`] is passed.
    pub(crate) fn one_of(&mut self, field: &str, words: &[&'static str]) -> &'static str {
        let before = self.errors.len();
        let text = self.required_text(field);
        let found = words.iter().find(|word| **word == text);
        if found.is_none() && self.errors.len() == before {
            self.wrong(field, format!("must be {}", words.join(" or ")));
        }
        found.copied().unwrap_or_default()
    }

    /// A field that can only say one thing, and need not be there.
    pub(crate) fn word(&mut self, field: &str, word: &str) {
        let before = self.errors.len();
        let text = self.text(field);
        if !text.is_empty() && text != word && self.errors.len() == before {
            self.wrong(field, format!("must be {word}"));
        }
    }

    /// A number of pieces, from `min` up to what a record holds.
    pub(crate) fn quantity(&mut self, field: &str, min: i32) -> i32 {
        i32::try_from(self.integer(field, i64::from(min), QTY_MAX, None)).unwrap_or(min)
    }

    /// A whole number from `min` to `max`, as a JSON number or in a string. Absent is an error unless there is a default.
    /// The value is only meaningful once [`Fields::finish`] is passed.
    pub(crate) fn integer(&mut self, field: &str, min: i64, max: i64, default: Option<i64>) -> i64 {
        let Some(value) = self.take(field) else {
            if default.is_none() {
                self.wrong(field, "is missing");
            }
            return default.unwrap_or(min);
        };
        match whole(&value) {
            Some(number) if (i128::from(min)..=i128::from(max)).contains(&number) => {
                i64::try_from(number).unwrap_or(min)
            }
            Some(number) => {
                self.wrong(field, format!("must be from {min} to {max}, not {number}"));
                min
            }
            None => {
                let found: String = value.to_string().chars().take(60).collect();
                self.wrong(field, format!("must be a whole number from {min} to {max}, not {found}"));
                min
            }
        }
    }

    /// Takes fields that the seeds' clients send back from an answer, and that say nothing.
    pub(crate) fn ignore(&mut self, fields: &[&str]) {
        for field in fields {
            self.object.shift_remove(*field);
        }
    }

    /// # Errors
    /// Everything found wrong, and every field that no one took.
    pub(crate) fn finish(mut self) -> Result<(), ApiError> {
        let unknown = self.object.keys().take(10).map(|name| {
            let name: String = name.chars().take(60).collect();
            FieldError::new(name, "is not a field of this resource")
        });
        self.errors.extend(unknown);
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::Invalid(self.errors)) }
    }
}

/// The whole number a JSON value stands for, however large.
fn whole(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64()?;
            (float.fract() == 0.0 && float.abs() < 1e30).then_some(float as i128)
        }
        Value::Number(number) => number.as_i64().map(i128::from).or(number.as_u64().map(i128::from)),
        Value::String(text) if text.len() <= 40 => text.trim().parse().ok(),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Ids that would be another resource in a path, or vanish from it.
const RESERVED_IDS: [&str; 3] = [".", "..", "events"];

/// What is wrong with an id, if anything: it becomes a record key and a path segment.
pub(crate) fn check_id(id: &str) -> Result<(), String> {
    if id.is_empty() {
        Err("is empty".into())
    } else if id.len() > ID_BYTES_MAX {
        Err(format!("is longer than {ID_BYTES_MAX} bytes"))
    } else if id.chars().any(char::is_control) {
        Err("has control characters".into())
    } else if RESERVED_IDS.contains(&id) {
        Err(format!("'{id}' is reserved"))
    } else {
        Ok(())
    }
}

/// Namespace of ids made from an `Idempotency-Key`, and of nothing else. Changing it would make old keys new.
const IDEMPOTENCY_NAMESPACE: Uuid = Uuid::from_u128(0x6f72_6465_7266_6c6f_775f_6964_656d_706f);

/// The id of a command: the client's; or made from its `Idempotency-Key`, the same on any instance at any time; or new and
/// ordered by time.
pub(crate) fn make_id(given: Option<String>, idempotency_key: Option<&str>) -> String {
    match (given, idempotency_key) {
        (Some(id), _) => id,
        (None, Some(key)) => Uuid::new_v5(&IDEMPOTENCY_NAMESPACE, key.as_bytes()).to_string(),
        (None, None) => Uuid::now_v7().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qty(json: &str) -> Result<i64, String> {
        let mut fields = Fields::parse(json.as_bytes()).unwrap();
        let qty = fields.integer("qty", 1, i64::from(i32::MAX), None);
        fields.finish().map(|()| qty).map_err(|e| e.to_string())
    }

    #[test]
    fn whole_numbers_come_as_numbers_or_strings() {
        for good in ["1", "\"1\"", "1.0", "\" 1 \""] {
            assert_eq!(qty(&format!("{{\"qty\":{good}}}")), Ok(1), "{good}");
        }
        for bad in ["0", "-1", "2147483648", "\"2147483648\"", "\"abc\"", "1.5", "true", "[]", "1e300", "\"\""] {
            assert!(qty(&format!("{{\"qty\":{bad}}}")).is_err(), "{bad}");
        }
        assert_eq!(qty("{}"), Err("is missing".into()));
        assert_eq!(qty("{\"qty\":null}"), Err("is missing".into()));
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let mut fields = Fields::parse(br#"{"qty":0,"price":"x","colour":"red"}"#).unwrap();
        fields.required_id("productId");
        fields.integer("qty", 1, 10, None);
        fields.integer("price", 0, 10, None);
        let Err(ApiError::Invalid(errors)) = fields.finish() else { panic!("must be refused") };
        let names: Vec<_> = errors.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(names, ["productId", "qty", "price", "colour"]);
    }

    #[test]
    fn an_idempotency_key_is_the_same_id_for_ever() {
        assert_eq!(make_id(None, Some("k-1")), "7311987a-1bc5-5182-a04b-81d7124215e7");
        assert_ne!(make_id(None, None), make_id(None, None));
        assert_eq!(make_id(Some("a".into()), Some("k-1")), "a");
    }
}
