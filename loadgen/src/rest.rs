//! What REST calls are made of: path segments and JSON bodies, written straight into reused buffers.

use std::io::Write;

use crate::business::{Call, NoCall};
use crate::traffic::Envelope;

/// Empties a call and gives the value that it is to say.
///
/// # Errors
/// When there is none.
pub fn begin<'a>(envelope: &'a Envelope, call: &mut Call) -> Result<&'a [u8], NoCall> {
    call.clear();
    envelope.value.as_deref().ok_or(NoCall("a null value has no REST call"))
}

/// Whether a value is JSON and no Avro: poison, on a topic.
pub fn is_json(value: &[u8]) -> bool {
    value.first() == Some(&b'{')
}

/// What is no Avro on the topic is broken JSON here: both must be turned away.
pub fn not_json(call: &mut Call, name: &'static str, path: &str, value: &[u8]) {
    call.method = "POST";
    call.name = name;
    call.path.push_str(path);
    call.body.extend_from_slice(value.get(1..).unwrap_or_default());
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
pub fn push_segment(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// A JSON object written straight into a reused buffer.
pub struct Body<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Body<'a> {
    /// Begins one.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Body { out, first: true }
    }

    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A string, escaped as RFC 8259 asks.
    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.out.push(b'"');
        for byte in value.bytes() {
            match byte {
                b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', byte]),
                0..0x20 => {
                    // Writing to a vector cannot fail.
                    let _ = write!(self.out, "\\u{byte:04x}");
                }
                _ => self.out.push(byte),
            }
        }
        self.out.push(b'"');
    }

    /// A string that may be left out: an empty id means that there is none.
    pub fn optional(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.text(name, value);
        }
    }

    /// A whole number.
    pub fn number(&mut self, name: &str, value: i64) {
        self.name(name);
        let _ = write!(self.out, "{value}");
    }

    /// Ends it.
    pub fn end(self) {
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_whatever_the_text() {
        let mut bytes = Vec::new();
        let mut body = Body::new(&mut bytes);
        body.text("a", "say \"hi\"\\\n\u{1}\u{ac00}");
        body.number("b", -5);
        body.end();
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value["a"], "say \"hi\"\\\n\u{1}\u{ac00}");
        assert_eq!(value["b"], -5);
    }

    #[test]
    fn ids_cannot_break_out_of_their_path_segment() {
        let mut path = String::new();
        push_segment("a/b?c#%é", &mut path);
        assert_eq!(path, "a%2Fb%3Fc%23%25%C3%A9");
    }
}
