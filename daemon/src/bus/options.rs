//! The `a{sv}` that methods take, so that they can be extended. Unknown keys are refused: an option that is silently
//! ignored is a surprise on the day it matters.

use std::collections::HashMap;

use zbus::OwnedVariant;

use super::error::Refused;

/// Options as they come.
pub(super) type Options = HashMap<String, OwnedVariant>;

/// There are no options to give yet.
pub(super) fn none(given: &Options) -> Result<(), Refused> {
    only(given, &[])
}

/// `activate`: a boolean, `false` where it is not given.
pub(super) fn activate(given: &Options) -> Result<bool, Refused> {
    only(given, &["activate"])?;
    let Some(value) = given.get("activate") else { return Ok(false) };
    bool::try_from(value).map_err(|_| Refused::invalid_argument("option `activate`: a boolean is expected"))
}

fn only(given: &Options, known: &[&str]) -> Result<(), Refused> {
    match given.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) if known.is_empty() => {
            Err(Refused::invalid_argument(format!("unknown option `{key}`: this method has none")))
        }
        Some(key) => {
            Err(Refused::invalid_argument(format!("unknown option `{key}`; expected one of: {}", known.join(", "))))
        }
    }
}
