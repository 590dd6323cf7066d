//! The way back from a plan to the bytes that [`arbitrary`] reads it from, so that seeds can be written as histories.
//!
//! It follows how `arbitrary` derives: a variant from four bytes, fields in order, integers little-endian, a flag before every
//! element of a list. A test holds the two together.

/// What can be written so that `Arbitrary` reads it back.
pub trait Encode {
    fn encode(&self, out: &mut Vec<u8>);
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Encode for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
integers!(u8, u16, u32, u64);

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        self.iter().for_each(|some| some.encode(out));
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        for element in self {
            true.encode(out);
            element.encode(out);
        }
        false.encode(out);
    }
}

impl<T: Encode> Encode for Box<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        T::encode(self, out);
    }
}

/// The first of the numbers that `arbitrary` maps to this variant.
pub fn variant(index: u32, count: u32, out: &mut Vec<u8>) {
    let number = (u64::from(index) << 32).div_ceil(u64::from(count));
    u32::try_from(number).expect("there are fewer variants than numbers").encode(out);
}

/// An enum of plans: with named fields only, readable from bytes and writable to them.
#[macro_export]
macro_rules! plans {
    ($(#[$meta:meta])* pub enum $name:ident {
        $($(#[$about:meta])* $variant:ident { $($field:ident: $type:ty),* $(,)? }),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(arbitrary::Arbitrary, Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$about])* $variant { $($field: $type),* }),*
        }

        impl $crate::input::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                let variants = [$(stringify!($variant)),*];
                let index = |name| variants.iter().position(|variant| *variant == name).expect("a variant") as u32;
                match self {
                    $(Self::$variant { $($field),* } => {
                        $crate::input::variant(index(stringify!($variant)), variants.len() as u32, out);
                        $($crate::input::Encode::encode($field, out);)*
                    })*
                }
            }
        }
    };
}
