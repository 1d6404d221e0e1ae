//! A job as text, the way `lua/shared/item.lua` reads it: `id \n stage \n kind \n attempts \n crashes \n payload`.

use crate::NewJob;

/// The parts of a job text, borrowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    pub(crate) id: &'a str,
    pub(crate) stage: u32,
    pub(crate) kind: &'a str,
    pub(crate) attempts: u32,
    pub(crate) crashes: u32,
    pub(crate) payload: &'a [u8],
}

/// A job nobody has tried yet.
pub(crate) fn encode(job: &NewJob, stage: u32) -> Vec<u8> {
    encode_part(job, stage, 0)
}

/// A part of a job over which workers died.
pub(crate) fn encode_part(job: &NewJob, stage: u32, crashes: u32) -> Vec<u8> {
    let mut text = format!("{}\n{stage}\n{}\n0\n{crashes}\n", job.id, job.kind).into_bytes();
    text.extend_from_slice(&job.payload);
    text
}

/// `None` for anything that is not a job text (I11).
pub(crate) fn decode(text: &[u8]) -> Option<Item<'_>> {
    let mut parts = text.splitn(6, |byte| *byte == b'\n');
    let mut word = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
    let id = word().filter(|id| !id.is_empty())?;
    let stage = word()?.parse().ok()?;
    let kind = word()?;
    let attempts = word()?.parse().ok()?;
    let crashes = word()?.parse().ok()?;
    Some(Item { id, stage, kind, attempts, crashes, payload: parts.next()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_payload_survives(id in "[^\n]{1,40}", kind in "[^\n]{0,20}", stage in 0u32..500, payload: Vec<u8>) {
            let job = NewJob { id: id.clone(), kind: kind.clone(), payload: payload.clone() };
            let text = encode(&job, stage);
            let item = decode(&text);
            prop_assert_eq!(item, Some(Item { id: &id, stage, kind: &kind, attempts: 0, crashes: 0, payload: &payload }));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused_but_never_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
