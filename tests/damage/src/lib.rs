//! Texts as they were written, but for some characters, for tests of whoever reads them.

use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

/// The text with up to so many of its characters replaced by none, one or two others.
pub fn damaged(text: impl Strategy<Value = String>, most: usize) -> impl Strategy<Value = String> {
    (text, proptest::collection::vec((any::<Index>(), ".{0,2}"), 0..=most)).prop_map(|(text, damage)| {
        let mut characters: Vec<String> = text.chars().map(String::from).collect();
        for (place, with) in damage {
            if !characters.is_empty() {
                let place = place.index(characters.len());
                characters[place] = with;
            }
        }
        characters.concat()
    })
}

/// Some lines of a text, damaged.
pub fn damaged_lines(text: &'static str) -> impl Strategy<Value = String> {
    let lines: Vec<&str> = text.lines().collect();
    let all = lines.len();
    damaged(subsequence(lines, 0..=all).prop_map(|lines| lines.join("\n") + "\n"), 5)
}
