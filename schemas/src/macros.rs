//! [`avro!`](crate::avro!): a plain Rust type and its Avro codec from one declaration.

/// Declares a record, an enum or a union as a plain Rust type with its [`AvroValue`](crate::AvroValue) codec.
///
/// Fields, symbols and branches stand in the order of the `.avsc`; the agreement tests fail otherwise.
///
/// ```
/// schemas::avro! {
///     /// Colour of a thing.
///     pub enum Colour: "doc.example.Colour" {
///         /// From a newer release.
///         Unknown = "UNKNOWN",
///         /// Red.
///         Red = "RED",
///     }
/// }
/// schemas::avro! {
///     /// A nested record. A top-level one adds its names: `pub struct Thing: "doc.example.Thing" in "app/Thing.avsc"`.
///     pub struct Thing {
///         /// What it is called.
///         pub name: String,
///         /// Its colour, if known.
///         pub colour: Option<Colour>,
///     }
/// }
/// schemas::avro! {
///     /// A union of records.
///     pub enum Command: "doc.example.Command" {
///         /// Makes a thing.
///         Make(Thing),
///     }
/// }
/// use schemas::AvroValue;
/// let mut bytes = Vec::new();
/// Command::Make(Thing { name: "a".into(), colour: Some(Colour::Red) }).encode(&mut bytes);
/// assert_eq!(bytes, [0, 2, b'a', 2, 2]);
/// ```
#[macro_export]
macro_rules! avro {
    // A record; with `: "name" in "path"` one that has an .avsc file of its own.
    (
        $(#[$meta:meta])*
        pub struct $name:ident $(: $avro_name:literal in $path:literal)? {
            $( $(#[$field_meta:meta])* pub $field:ident: $type:ty, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, ::serde::Serialize, ::serde::Deserialize)]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $type, )+
        }
        impl $crate::AvroValue for $name {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                $( $crate::AvroValue::encode(&self.$field, out); )+
            }
            #[inline]
            fn decode(reader: &mut $crate::Reader<'_>) -> Result<Self, $crate::DecodeError> {
                // Struct fields are evaluated in the order written: the order of the schema.
                Ok($name { $( $field: $crate::AvroValue::decode(reader)?, )+ })
            }
            #[inline]
            fn transcode(reader: &mut $crate::Reader<'_>, out: &mut Vec<u8>) -> Result<(), $crate::DecodeError> {
                out.push(b'{');
                $(
                    out.extend_from_slice(concat!("\"", stringify!($field), "\":").as_bytes());
                    <$type as $crate::AvroValue>::transcode(reader, out)?;
                    out.push(b',');
                )+
                // In place of the last comma.
                out.pop();
                out.push(b'}');
                Ok(())
            }
        }
        $(
            impl $crate::AvroRecord for $name {
                const NAME: &'static str = $avro_name;
                fn schema_json() -> &'static str {
                    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/avro/", $path))
                }
            }
        )?
    };
    // An enum of symbols.
    (
        $(#[$meta:meta])*
        pub enum $name:ident: $avro_name:literal {
            $( $(#[$variant_meta:meta])* $variant:ident = $symbol:literal, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::serde::Serialize, ::serde::Deserialize)]
        pub enum $name {
            $( $(#[$variant_meta])* #[serde(rename = $symbol)] $variant, )+
        }
        impl $name {
            /// Every symbol, in the schema's order.
            pub const ALL: &'static [$name] = &[ $( $name::$variant, )+ ];

            /// The symbol as it stands in the schema and in JSON.
            pub const fn symbol(self) -> &'static str {
                match self { $( $name::$variant => $symbol, )+ }
            }

            /// The value of a symbol.
            pub fn from_symbol(symbol: &str) -> Option<Self> {
                match symbol { $( $symbol => Some($name::$variant), )+ _ => None }
            }
        }
        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.symbol())
            }
        }
        impl $crate::AvroValue for $name {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                $crate::write_long(*self as i64, out);
            }
            #[inline]
            fn decode(reader: &mut $crate::Reader<'_>) -> Result<Self, $crate::DecodeError> {
                let index = reader.index()?;
                usize::try_from(index)
                    .ok()
                    .and_then(|i| Self::ALL.get(i).copied())
                    .ok_or_else(|| reader.bad_index($avro_name, "symbol", index))
            }
            #[inline]
            fn transcode(reader: &mut $crate::Reader<'_>, out: &mut Vec<u8>) -> Result<(), $crate::DecodeError> {
                // A symbol is letters, digits and underscores: nothing to escape.
                let symbol = <Self as $crate::AvroValue>::decode(reader)?.symbol();
                out.push(b'"');
                out.extend_from_slice(symbol.as_bytes());
                out.push(b'"');
                Ok(())
            }
        }
    };
    // A union of named types.
    (
        $(#[$meta:meta])*
        pub enum $name:ident: $avro_name:literal {
            $( $(#[$variant_meta:meta])* $variant:ident($type:ty), )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, ::serde::Serialize, ::serde::Deserialize)]
        pub enum $name {
            $( $(#[$variant_meta])* $variant($type), )+
        }
        impl $crate::AvroValue for $name {
            #[inline]
            #[allow(irrefutable_let_patterns)] // a union of one
            fn encode(&self, out: &mut Vec<u8>) {
                // Branch numbers count the arms as written, as the schema does.
                let mut branch = 0;
                $(
                    if let $name::$variant(value) = self {
                        $crate::write_long(branch, out);
                        $crate::AvroValue::encode(value, out);
                        return;
                    }
                    branch += 1;
                )+
                let _ = branch;
            }
            #[inline]
            fn decode(reader: &mut $crate::Reader<'_>) -> Result<Self, $crate::DecodeError> {
                let index = reader.index()?;
                let mut branch = 0;
                $(
                    if index == branch {
                        return Ok($name::$variant($crate::AvroValue::decode(reader)?));
                    }
                    branch += 1;
                )+
                let _ = branch;
                Err(reader.bad_index($avro_name, "branch", index))
            }
            #[inline]
            fn transcode(reader: &mut $crate::Reader<'_>, out: &mut Vec<u8>) -> Result<(), $crate::DecodeError> {
                let index = reader.index()?;
                let mut branch = 0;
                $(
                    if index == branch {
                        out.extend_from_slice(concat!("{\"", stringify!($variant), "\":").as_bytes());
                        <$type as $crate::AvroValue>::transcode(reader, out)?;
                        out.push(b'}');
                        return Ok(());
                    }
                    branch += 1;
                )+
                let _ = branch;
                Err(reader.bad_index($avro_name, "branch", index))
            }
        }
        $(
            impl From<$type> for $name {
                fn from(value: $type) -> Self {
                    $name::$variant(value)
                }
            }
        )+
    };
}
