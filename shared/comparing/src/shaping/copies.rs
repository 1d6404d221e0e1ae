//! Copies of assets, which Cockpit embeds whole in documents: what changes an asset's row changes its copies, too. Else a
//! mask on assets would leave in documents what it hides, until Cockpit saves them.

use std::sync::Arc;

use jaq_json::Val;

use super::jq::{as_text, text};

/// What the use of an asset in one document adds to its copy.
const PER_USE: &str = "_data";

/// Changes every copy of an asset within a value.
pub fn change_copies(value: &mut Val, change: &mut impl FnMut(Val) -> Result<Val, String>) -> Result<(), String> {
    match value {
        Val::Arr(elements) => Arc::make_mut(elements).iter_mut().try_for_each(|element| change_copies(element, change)),
        Val::Obj(fields) if is_copy(fields) => {
            let mut asset = (**fields).clone();
            let per_use = asset.shift_remove(&text(PER_USE));
            let mut changed = change(Val::obj(asset))?;
            if let (Val::Obj(fields), Some(per_use)) = (&mut changed, per_use) {
                Arc::make_mut(fields).insert(text(PER_USE), per_use);
            }
            *value = changed;
            Ok(())
        }
        Val::Obj(fields) => Arc::make_mut(fields).values_mut().try_for_each(|value| change_copies(value, change)),
        _ => Ok(()),
    }
}

/// Cockpit's own test, as in [`protocol::canonical`].
fn is_copy(fields: &jaq_json::Map) -> bool {
    let is_set = |key| fields.get(&text(key)).is_some_and(|value| !matches!(value, Val::Null));
    fields.get(&text("_id")).is_some_and(|id| as_text(id).is_some()) && ["path", "mime", "type"].into_iter().all(is_set)
}
