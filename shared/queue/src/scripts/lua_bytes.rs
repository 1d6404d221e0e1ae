//! Bytes the way Redis' cmsgpack can read them: it knows MessagePack's strings, which may hold any bytes in Lua, but not its `bin`.

/// Turns every `bin` into the `str` of the same length, in place: both have the same layout, only the marker differs.
pub(super) fn bin_to_str(packed: &mut [u8]) {
    let mut at = 0;
    while at < packed.len() {
        let length =
            |bytes: usize| packed[at + 1..=at + bytes].iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
        let (marker, size) = match packed[at] {
            short @ 0xa0..=0xbf => (short, 1 + usize::from(short & 0x1f)),
            0xc4 | 0xd9 => (0xd9, 2 + length(1)),
            0xc5 | 0xda => (0xda, 3 + length(2)),
            0xc6 | 0xdb => (0xdb, 5 + length(4)),
            number @ (0xcc | 0xd0) => (number, 2),
            number @ (0xcd | 0xd1) => (number, 3),
            number @ (0xca | 0xce | 0xd2) => (number, 5),
            number @ (0xcb | 0xcf | 0xd3) => (number, 9),
            // Of arrays and maps only the header is passed over; what they hold comes next.
            container @ (0xdc | 0xde) => (container, 3),
            container @ (0xdd | 0xdf) => (container, 5),
            single => (single, 1),
        };
        packed[at] = marker;
        at += size;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};
    use serde_bytes::ByteBuf;

    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct All {
        text: String,
        bytes: Vec<ByteBuf>,
        number: i64,
        real: f64,
        maybe: Option<bool>,
        pairs: Vec<(String, u64)>,
    }

    proptest! {
        #[test]
        fn only_the_markers_change(
            text: String, bytes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..20),
            number: i64, real in -1e9f64..1e9, maybe: Option<bool>, pairs: Vec<(String, u64)>,
        ) {
            let all = All { text, bytes: bytes.into_iter().map(ByteBuf::from).collect(), number, real, maybe, pairs };
            let mut packed = rmp_serde::to_vec_named(&all).expect("it encodes");
            bin_to_str(&mut packed);
            prop_assert_eq!(rmp_serde::from_slice::<All>(&packed).expect("it decodes"), all);
        }
    }
}
