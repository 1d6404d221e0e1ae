//! Makes, changes and compares Cockpit instances in Cockpit's own storage format.
//!
//! This is the judge of the whole-system tests and the benchmarks: it writes what Cockpit would have written and says
//! whether two instances hold the same. It must not know the agent or the protocol: a mistake shared by both sides
//! of a comparison is a mistake nobody sees.

mod change;
mod compare;
mod copy_limit;
mod edit;
mod ids;
mod make;
mod php;
mod php_json;
mod pictures;
mod random;
mod storage;
mod stored;

pub use change::{Copies, Replaced, change, embed_copies_of, replace_asset_file};
pub use compare::{Comparison, Difference, Found, Rules, compare, compare_by};
pub use copy_limit::{Batch, Copied, copy_limit};
pub use edit::{
    close_in_admin, collection_of, corrupt_row, count, delete_document, delete_item, duplicate_id, edit_document,
    edit_item, ids, insert_document, insert_raw, open_in_admin, read_document, read_item,
};
pub use make::{Made, Shape, make, make_empty, with_models_in_database, with_sync_key};
pub use php::{array_literal, model_file};
pub use php_json::to_php_json;
pub use storage::{Place, data_file, place, uploads};
pub use stored::Stored;
