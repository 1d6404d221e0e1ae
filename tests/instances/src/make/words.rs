//! Text that is long enough, and has in it what breaks careless encoders.

use crate::random::Random;

const WORDS: [&str; 40] = [
    "lorem",
    "ipsum",
    "dolor",
    "sit",
    "amet",
    "consetetur",
    "sadipscing",
    "elitr",
    "sed",
    "diam",
    "nonumy",
    "eirmod",
    "tempor",
    "invidunt",
    "labore",
    "magna",
    "größer",
    "straße",
    "überall",
    "français",
    "naïve",
    "café",
    "señor",
    "łódź",
    "日本語",
    "текст",
    "🚀",
    "and/or",
    "\"quoted\"",
    "back\\slash",
    "tab\there",
    "x<y>&z",
    "it's",
    "50 %",
    "a–b",
    "e\u{301}",
    "ﬁ",
    "100€",
    "$price",
    "#tag",
];

/// Text of at least `bytes` bytes, a word longer at most, with a line break now and then.
pub fn text(random: &mut Random, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        if !text.is_empty() {
            text.push(if random.below(24) == 0 { '\n' } else { ' ' });
        }
        text.push_str(random.pick::<&str>(&WORDS));
    }
    text
}
