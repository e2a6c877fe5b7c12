//! The words of a command line, read so that an error says what is wrong with them.

use std::ffi::OsString;
use std::fmt::Display;
use std::str::FromStr;

use lexopt::Parser;

pub(crate) fn value(parser: &mut Parser) -> Result<OsString, String> {
    parser.value().map_err(|error| error.to_string())
}

pub(crate) fn text(parser: &mut Parser) -> Result<String, String> {
    Ok(value(parser)?.to_string_lossy().into_owned())
}

/// One of several words.
pub(crate) fn choice<V: Copy, const N: usize>(
    what: &str,
    given: &str,
    all: [(&str, V); N],
) -> Result<V, String> {
    all.iter().find(|(name, _)| *name == given).map(|(_, value)| *value).ok_or_else(|| {
        let names = all.map(|(name, _)| name).join(", ");
        format!("{what} {given:?} is none of: {names}")
    })
}

/// A number from 1 to `most`.
pub(crate) fn number<V>(parser: &mut Parser, option: &str, most: V) -> Result<V, String>
where
    V: FromStr + PartialOrd + From<u8> + Display + Copy,
{
    let given = text(parser)?;
    match given.parse() {
        Ok(number) if number >= V::from(1) && number <= most => Ok(number),
        _ => Err(format!("{option} {given:?} has to be a number from 1 to {most}")),
    }
}
