//! Names that must not be mistaken for one another.

use std::fmt;
use std::sync::Arc;

/// One newtype per kind of name: passing an instance id where a group name belongs does not compile.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is; AWS has checked it.
            pub fn new(text: impl AsRef<str>) -> Self {
                Self(Arc::from(text.as_ref()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )+};
}

names! {
    /// `i-0123456789abcdef0`
    InstanceId,
    /// Name of an Auto Scaling group, unique in a region of an account.
    GroupName,
    /// `m6i.large`
    InstanceType,
    /// Availability Zone name, `us-east-1a`; the letter differs between accounts.
    Zone,
    /// `subnet-…`
    SubnetId,
    /// `ami-…`
    ImageId,
}
