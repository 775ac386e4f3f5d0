//! Where objects are. Names become path elements as systemd writes them (`sd_bus_path_encode`): every byte but letters
//! and digits is `_` and two hexadecimal digits, and so is a leading digit: `belt-2` is `belt_2d2`.

use std::fmt::Write;

use zbus::{ObjectPath, OwnedObjectPath};

/// The Manager and the ObjectManager.
pub const ROOT: &str = "/org/inferd1";
/// The Spool.
pub const SPOOL: &str = "/org/inferd1/spool";
/// What paths of Models begin with.
pub const MODELS: &str = "/org/inferd1/model";
/// What paths of Pipelines begin with.
pub const PIPELINES: &str = "/org/inferd1/pipeline";
/// What paths of Jobs begin with.
pub const JOBS: &str = "/org/inferd1/job";

/// The object of something named, under one of the prefixes above.
pub fn of_name(prefix: &str, name: &str) -> OwnedObjectPath {
    let path = format!("{prefix}/{}", escape(name));
    ObjectPath::from_string_unchecked(path).into()
}

/// The object of a job.
pub fn of_job(number: u32) -> OwnedObjectPath {
    ObjectPath::from_string_unchecked(format!("{JOBS}/{number}")).into()
}

/// The name behind an object's path; `None` where it is no object under `prefix`.
pub fn name_in(prefix: &str, path: &str) -> Option<String> {
    unescape(path.strip_prefix(prefix)?.strip_prefix('/')?)
}

fn escape(name: &str) -> String {
    if name.is_empty() {
        return "_".to_owned();
    }
    let mut element = String::new();
    for (index, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_alphabetic() || (byte.is_ascii_digit() && index > 0);
        if plain {
            element.push(char::from(byte));
        } else {
            write!(element, "_{byte:02x}").expect("writing to a String cannot fail");
        }
    }
    element
}

fn unescape(element: &str) -> Option<String> {
    if element == "_" {
        return Some(String::new());
    }
    let mut name = Vec::new();
    let mut rest = element.bytes();
    while let Some(byte) = rest.next() {
        name.push(if byte == b'_' { hex_digit(rest.next()?)? << 4 | hex_digit(rest.next()?)? } else { byte });
    }
    String::from_utf8(name).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_systemd_does_and_back() {
        // Right column: `sd_bus_path_encode` of systemd 252.
        let cases =
            [("belt-inspect", "belt_2dinspect"), ("7seg", "_37seg"), ("a_b", "a_5fb"), ("x7", "x7"), ("ä", "_c3_a4")];
        for (name, element) in cases {
            let path = of_name(MODELS, name);
            assert_eq!(path.as_str(), format!("{MODELS}/{element}"));
            assert_eq!(name_in(MODELS, path.as_str()).as_deref(), Some(name));
        }
        assert_eq!(name_in(MODELS, "/org/inferd1/model/a_2"), None);
        assert_eq!(name_in(MODELS, "/org/inferd1/job/1"), None);
    }
}
