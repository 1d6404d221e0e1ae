//! Tables for people.

use comfy_table::{Table, presets};

/// A table with these heads; rows are added by the caller.
pub fn table(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(heads.to_vec());
    table
}

/// `1_234_567` -> `1.2 MB`.
pub fn bytes(count: u64) -> String {
    indicatif::HumanBytes(count).to_string()
}

/// An id as people need it.
pub fn short(id: &str) -> &str {
    id.get(id.len().saturating_sub(12)..).unwrap_or(id)
}
