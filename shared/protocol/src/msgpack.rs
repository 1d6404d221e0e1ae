//! Reads MessagePack that came over a wire. It must not know what it says.

use serde::de::DeserializeOwned;

pub use rmp_serde::decode::Error;

/// Lists and maps within each other. Readers call themselves for each level, also for what they pass over, and a thread's
/// stack is small (I11). Nothing of ours has more than a dozen; what is kept as JSON can be read again up to 128.
const DEPTH_LIMIT: usize = 100;

pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    reader.set_max_depth(DEPTH_LIMIT);
    T::deserialize(&mut reader)
}

/// What a newer version says by a word that this one does not know, where that is why something could not be read.
pub fn unknown_word(error: &Error) -> Option<&str> {
    // serde names the word, then all it would have known.
    let Error::Syntax(text) = error else { return None };
    text.starts_with("unknown variant ").then(|| text.split(", expected ").next().unwrap_or(text))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::api::{CloseWhich, ManifestRequest, OpenGrant};

    #[test]
    fn a_word_of_a_newer_version_is_told_apart_from_what_is_broken() {
        let error = |bytes: &[u8]| read::<CloseWhich>(bytes).unwrap_err();
        for newer in [&b"\xa4soon"[..], b"\x81\xa4soon\xa3run"] {
            assert_eq!(unknown_word(&error(newer)), Some("unknown variant `soon`"));
        }
        for broken in [&b""[..], b"\xc1", b"\xa3run", b"\x81\xa3run\x01"] {
            assert_eq!(unknown_word(&error(broken)), None, "{broken:?}");
        }
    }

    #[test]
    fn what_is_nested_deeply_is_refused_and_overflows_no_stack() {
        // A request of no fields, with one that it does not know.
        let nested = |depth: usize| [b"\x81\xa1a".repeat(depth), vec![0xc0]].concat();
        assert!(read::<ManifestRequest>(&nested(50)).is_ok());
        for depth in [1000, 100_000] {
            assert!(matches!(read::<ManifestRequest>(&nested(depth)), Err(Error::DepthLimitExceeded)));
            let in_json = [&b"\x81\xa5about\x81\xa7options"[..], &nested(depth)].concat();
            assert!(read::<OpenGrant>(&in_json).is_err());
        }
    }
}
