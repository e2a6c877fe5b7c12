//! External data representation: what arguments and results look like on the wire (RFC 4506).

use std::ops::Deref;
use std::{error, fmt};

/// A value as RFC 4506 writes it: the type of a procedure's arguments, or of its results.
///
/// | XDR | here |
/// | --- | --- |
/// | `void` | `()` |
/// | `int`, `unsigned int` | `i32`, `u32` |
/// | `hyper`, `unsigned hyper` | `i64`, `u64` |
/// | `float`, `double`, `bool` | `f32`, `f64`, `bool` |
/// | `string s<N>` | [`Bounded<String, N>`](Bounded), where it has to be UTF-8 |
/// | `opaque o<N>`, `opaque o[N]` | [`Bounded<Vec<u8>, N>`](Bounded), `[u8; N]` |
/// | `T list<N>` | [`Bounded<Vec<T>, N>`](Bounded) |
/// | `T *next` | `Option<T>` |
/// | `struct` | a tuple of up to six, or a type of your own |
///
/// # Implementing your own
///
/// A structure writes its members one after the other, and takes them in the same order. One that
/// holds another of its kind, as lists in XDR do, is taken in a loop: by recursion it would go as deep
/// as the peer likes.
///
/// # Examples
///
/// ```
/// use socketserver::rpc::{Bounded, Garbage, Xdr};
///
/// struct Entry {
///     id: u32,
///     name: Bounded<String, 255>,
/// }
///
/// impl Xdr for Entry {
///     fn encode(&self, bytes: &mut Vec<u8>) {
///         self.id.encode(bytes);
///         self.name.encode(bytes);
///     }
///
///     fn decode(input: &mut &[u8]) -> Result<Self, Garbage> {
///         Ok(Self { id: u32::decode(input)?, name: Bounded::decode(input)? })
///     }
/// }
///
/// let mut input = &b"\0\0\0\x07\0\0\0\x02hi\0\0"[..];
/// let entry = Entry::decode(&mut input)?;
/// assert_eq!((entry.id, entry.name.as_str()), (7, "hi"));
/// # Ok::<(), Garbage>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an argument or a result of a remote procedure",
    label = "XDR does not know this type",
    note = "numbers of 32 and 64 bits, `bool`, `()`, `[u8; N]`, `Option`, tuples and `Bounded` can; \
            strings and lists have to be bounded: `Bounded<String, 255>`, `Bounded<Vec<u32>, 16>`"
)]
pub trait Xdr: Sized {
    /// Appends the value to `bytes`.
    fn encode(&self, bytes: &mut Vec<u8>);

    /// Takes the value from the beginning of `input`, which then begins behind it. It must not get
    /// memory for more than has come, whatever lengths the input speaks of.
    ///
    /// # Errors
    ///
    /// [`Garbage`] where the input does not begin with such a value.
    fn decode(input: &mut &[u8]) -> Result<Self, Garbage>;
}

/// Bytes that are no value of the type that was wanted: too few of them, a length beyond its bound, a
/// string that is not UTF-8. The answer to it is [`Fault::GarbageArgs`](super::Fault::GarbageArgs).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Garbage;

impl fmt::Display for Garbage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes that are no value of the type wanted")
    }
}

impl error::Error for Garbage {}

/// A string, bytes or a list with no more than `MAX` bytes or elements: there is no way to make one
/// that is longer, and a longer one that a peer sends is [`Garbage`] by its length alone.
///
/// # Examples
///
/// ```
/// use socketserver::rpc::Bounded;
///
/// assert!(Bounded::<String, 4>::new("four".to_owned()).is_some());
/// assert!(Bounded::<String, 4>::new("fifth".to_owned()).is_none());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Bounded<B, const MAX: usize>(B);

macro_rules! bounded {
    ($held:ty $(, $T:ident)?) => {
        impl<$($T,)? const MAX: usize> Bounded<$held, MAX> {
            /// The value, unless it is longer.
            #[must_use]
            pub fn new(value: $held) -> Option<Self> {
                (value.len() <= MAX).then_some(Self(value))
            }
        }
    };
}

bounded!(String);
bounded!(Vec<T>, T);

impl<B, const MAX: usize> Bounded<B, MAX> {
    /// The value, without its bound.
    pub fn into_inner(self) -> B {
        self.0
    }
}

impl<B, const MAX: usize> Deref for Bounded<B, MAX> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.0
    }
}

/// The next bytes of the input, as many as are wanted.
fn take<'i>(input: &mut &'i [u8], count: usize) -> Result<&'i [u8], Garbage> {
    let (taken, rest) = input.split_at_checked(count).ok_or(Garbage)?;
    *input = rest;
    Ok(taken)
}

fn take_array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], Garbage> {
    let (taken, rest) = input.split_first_chunk().ok_or(Garbage)?;
    *input = rest;
    Ok(*taken)
}

/// How many bytes come behind so many to make them a multiple of four.
const fn padding(length: usize) -> usize {
    length.wrapping_neg() % 4
}

/// A length or a number of elements, of which `max` are allowed.
pub(super) fn take_length(input: &mut &[u8], max: usize) -> Result<usize, Garbage> {
    let length = usize::try_from(u32::decode(input)?).map_err(|_| Garbage)?;
    if length <= max { Ok(length) } else { Err(Garbage) }
}

/// Bytes behind their length, without what is behind them to make them a multiple of four: zeros, by
/// the RFC, which nobody looks at.
pub(super) fn take_opaque<'i>(input: &mut &'i [u8], max: usize) -> Result<&'i [u8], Garbage> {
    let length = take_length(input, max)?;
    let taken = take(input, length)?;
    take(input, padding(length))?;
    Ok(taken)
}

fn put_length(length: usize, bytes: &mut Vec<u8>) {
    // A `MAX` beyond this is more than XDR can say, and more than any record has room for.
    u32::try_from(length).unwrap_or(u32::MAX).encode(bytes);
}

fn put_opaque(opaque: &[u8], bytes: &mut Vec<u8>) {
    put_length(opaque.len(), bytes);
    put_padded(opaque, bytes);
}

fn put_padded(opaque: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(opaque);
    bytes.extend_from_slice(&[0; 3][..padding(opaque.len())]);
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Xdr for $number {
            fn encode(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_be_bytes());
            }

            fn decode(input: &mut &[u8]) -> Result<Self, Garbage> {
                take_array(input).map(Self::from_be_bytes)
            }
        }
    )*};
}

numbers!(i32 u32 i64 u64 f32 f64);

impl Xdr for bool {
    fn encode(&self, bytes: &mut Vec<u8>) {
        u32::from(*self).encode(bytes);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Garbage> {
        match u32::decode(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Garbage),
        }
    }
}

impl<const N: usize> Xdr for [u8; N] {
    fn encode(&self, bytes: &mut Vec<u8>) {
        put_padded(self, bytes);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Garbage> {
        let taken = take_array(input)?;
        take(input, padding(N))?;
        Ok(taken)
    }
}

impl<const MAX: usize> Xdr for Bounded<Vec<u8>, MAX> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        put_opaque(self, bytes);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Garbage> {
        take_opaque(input, MAX).map(|opaque| Self(opaque.to_vec()))
    }
}

impl<const MAX: usize> Xdr for Bounded<String, MAX> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        put_opaque(self.as_bytes(), bytes);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Garbage> {
        let text = std::str::from_utf8(take_opaque(input, MAX)?).map_err(|_| Garbage)?;
        Ok(Self(text.to_owned()))
    }
}

impl<T: Xdr, const MAX: usize> Xdr for Bounded<Vec<T>, MAX> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        put_length(self.len(), bytes);
        self.iter().for_each(|element| element.encode(bytes));
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Garbage> {
        // Each gets its memory when it has come: a length alone gets none.
        let length = take_length(input, MAX)?;
        (0..length).map(|_| T::decode(input)).collect::<Result<_, _>>().map(Self)
    }
}

impl<T: Xdr> Xdr for Option<T> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.is_some().encode(bytes);
        if let Some(value) = self {
            value.encode(bytes);
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Garbage> {
        bool::decode(input)?.then(|| T::decode(input)).transpose()
    }
}

macro_rules! tuples {
    ($(($($T:ident $at:tt)*))*) => {$(
        impl<$($T: Xdr),*> Xdr for ($($T,)*) {
            fn encode(&self, _bytes: &mut Vec<u8>) {
                $(self.$at.encode(_bytes);)*
            }

            fn decode(_input: &mut &[u8]) -> Result<Self, Garbage> {
                Ok(($($T::decode(_input)?,)*))
            }
        }
    )*};
}

tuples! {
    ()
    (A 0)
    (A 0 B 1)
    (A 0 B 1 C 2)
    (A 0 B 1 C 2 D 3)
    (A 0 B 1 C 2 D 3 E 4)
    (A 0 B 1 C 2 D 3 E 4 F 5)
}
