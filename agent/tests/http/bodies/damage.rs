//! Sound bodies, made unsound: values exchanged for others wherever they are, bytes changed, ends cut off.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::Serialize;

/// What becomes of the body of a sound request.
#[derive(Debug, Clone)]
pub struct Damage {
    /// Which of the requests.
    pub request: Index,
    edits: Vec<Edit>,
    pub sent: Sent,
}

#[derive(Debug, Clone)]
enum Edit {
    /// A value, however deep, becomes another one.
    Exchange(Index, Vec<u8>),
    /// A value becomes what another one is.
    Copy(Index, Index),
    Byte(Index, u8),
    Cut(Index),
}

/// How the body goes out.
#[derive(Debug, Clone)]
pub enum Sent {
    AsItIs,
    /// With so many bytes behind it.
    Longer(usize),
    /// As if it were compressed, by a header.
    SaidToBe(&'static str),
}

impl Damage {
    pub fn of(&self, sound: &[u8]) -> Vec<u8> {
        let mut body = sound.to_vec();
        for edit in &self.edits {
            let values = values(&body);
            let at = |index: &Index| values.get(index.index(values.len().max(1))).cloned().unwrap_or(0..0);
            match edit {
                Edit::Exchange(place, other) => drop(body.splice(at(place), other.iter().copied())),
                Edit::Copy(from, to) => {
                    let copied = body[at(from)].to_vec();
                    body.splice(at(to), copied);
                }
                Edit::Byte(place, byte) if !body.is_empty() => {
                    let place = place.index(body.len());
                    body[place] = *byte;
                }
                Edit::Cut(place) => body.truncate(place.index(body.len() + 1)),
                Edit::Byte(..) => {}
            }
        }
        if let Sent::Longer(by) = self.sent {
            body.resize(body.len() + by, 0xc0);
        }
        body
    }
}

pub fn any_damage() -> impl Strategy<Value = Damage> {
    let edit = prop_oneof![
        6 => (any::<Index>(), any_value()).prop_map(|(place, value)| Edit::Exchange(place, value)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Edit::Copy(from, to)),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(place, byte)| Edit::Byte(place, byte)),
        1 => any::<Index>().prop_map(Edit::Cut),
    ];
    let sent = prop_oneof![
        40 => Just(Sent::AsItIs),
        1 => (1_usize..64).prop_map(Sent::Longer),
        1 => (900_000_usize..1_200_000).prop_map(Sent::Longer),
        1 => select(vec!["gzip", "br", "deflate", "zstd"]).prop_map(Sent::SaidToBe),
    ];
    (any::<Index>(), vec(edit, 0..4), sent).prop_map(|(request, edits, sent)| Damage { request, edits, sent })
}

fn any_value() -> impl Strategy<Value = Vec<u8>> {
    let name = select(vec![
        "",
        "assets",
        "assets/folders",
        "content/collections/posts",
        "content/models",
        "content/singletons",
        "posts",
        "system/locales",
        "shop/orders#number",
        "../../config/config.php",
        "/a/../b.png",
        "/x.php",
        "a\0b",
        "-1",
        "*",
    ]);
    let document = select(vec![
        r#"{"_id":"x"}"#,
        r#"{"_id":"x","_id":"y"}"#,
        r#"{"_id":7}"#,
        "{",
        "[]",
        "null",
        r#"{"_id":"x","n":1e999}"#,
        "\u{feff}{}",
        r#"{"name":"posts","type":"tree","fields":[]}"#,
        r#"{"$or":[{"a":{"$regex":"(a+)+$"}}]}"#,
        r#"{"a":{"$in":[[]]}}"#,
    ]);
    let number = select(vec![
        0,
        1,
        -1,
        255,
        i128::from(u32::MAX),
        i128::from(i64::MIN),
        i128::from(i64::MAX),
        i128::from(u64::MAX),
    ]);
    prop_oneof![
        4 => number.prop_map(number_of),
        3 => name.prop_map(packed),
        2 => ".{0,12}".prop_map(packed),
        2 => document.prop_map(|text| packed(serde_bytes::Bytes::new(text.as_bytes()))),
        2 => vec(any::<u8>(), 0..20).prop_map(|bytes| packed(serde_bytes::Bytes::new(&bytes))),
        2 => select(vec![vec![0xc0], vec![0xc2], vec![0xc3], vec![0x80], vec![0x90], vec![0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]]),
        // A list, a map, bytes and a text that say they go on for gigabytes.
        1 => select(vec![0xdd_u8, 0xdf, 0xc6, 0xdb]).prop_map(|kind| vec![kind, 0xff, 0xff, 0xff, 0xff]),
        1 => (select(vec![130_usize, 600, 1100, 100_000]), any::<bool>()).prop_map(|(depth, of_maps)| nested(depth, of_maps)),
        1 => (60_000_usize..90_000).prop_map(|length| packed("x".repeat(length))),
    ]
}

fn packed(value: impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec(&value).unwrap()
}

fn number_of(number: i128) -> Vec<u8> {
    u64::try_from(number).map_or_else(|_| packed(i64::try_from(number).unwrap()), packed)
}

/// Lists, or maps of one field, within each other.
fn nested(depth: usize, of_maps: bool) -> Vec<u8> {
    let level: &[u8] = if of_maps { b"\x81\xa1a" } else { b"\x91" };
    let mut bytes = level.repeat(depth);
    bytes.push(0xc0);
    bytes
}

/// Where each value of a MessagePack text is, those within others included.
fn values(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let _ends_early_when_damaged = end_of_value(bytes, 0, 0, &mut found);
    found
}

fn end_of_value(bytes: &[u8], at: usize, depth: usize, found: &mut Vec<Range<usize>>) -> Option<usize> {
    let number =
        |length: usize| Some(bytes.get(at + 1..=at + length)?.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)));
    let first = *bytes.get(at)?;
    let low = |bits: u8| usize::from(first & bits);
    let (mut end, inner) = match first {
        0x80..=0x8f => (at + 1, 2 * low(0x0f)),
        0x90..=0x9f => (at + 1, low(0x0f)),
        0xa0..=0xbf => (at + 1 + low(0x1f), 0),
        0xc4 | 0xd9 => (at + 2 + number(1)?, 0),
        0xc5 | 0xda => (at + 3 + number(2)?, 0),
        0xc6 | 0xdb => (at + 5 + number(4)?, 0),
        0xcc | 0xd0 => (at + 2, 0),
        0xcd | 0xd1 => (at + 3, 0),
        0xca | 0xce | 0xd2 => (at + 5, 0),
        0xcb | 0xcf | 0xd3 => (at + 9, 0),
        0xdc => (at + 3, number(2)?),
        0xdd => (at + 5, number(4)?),
        0xde => (at + 3, 2 * number(2)?),
        0xdf => (at + 5, 2 * number(4)?),
        _ => (at + 1, 0),
    };
    let place = found.len();
    found.push(at..bytes.len());
    if depth > 50 {
        return None;
    }
    for _ in 0..inner {
        end = end_of_value(bytes, end, depth + 1, found)?;
    }
    found[place].end = end.min(bytes.len());
    Some(end)
}
