//! The formats of a business's topics, declared as a table.

/// Declares `Codecs`: the formats of the topics whose schema ids a registry may give, each with the topic it is of. Internal
/// topics have fixed ids, and are not in it.
macro_rules! codecs {
    ($( $field:ident: $value:ty = $topic:ident, )+) => {
        /// Formats of the topics whose schema ids a registry may give. Internal topics have fixed ids.
        #[derive(Clone, Debug, Default)]
        pub struct Codecs {
            $(
                #[doc = concat!("Of the topic `", stringify!($topic), "`.")]
                pub $field: ::schemas::Codec<$value>,
            )+
        }

        impl Codecs {
            /// With the fixed ids: no registry.
            #[must_use]
            pub fn fixed() -> Self {
                Self::default()
            }

            /// With the ids of a registry, under the subjects of a deployment's topic prefix. This asks the registry.
            ///
            /// # Errors
            /// [`crate::Error::Registry`] when it gives no id.
            pub fn resolve(
                prefix: &str,
                registry: &::std::sync::Arc<dyn ::schemas::Registry>,
            ) -> Result<Self, $crate::Error> {
                Ok(Codecs { $( $field: ::schemas::Codec::for_topic(&topics::$topic, prefix, registry)?, )+ })
            }
        }
    };
}
pub(crate) use codecs;
