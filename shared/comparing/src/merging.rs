//! Documents that are to get what they lack, and keep what they have: what they become depends on the target's.

use std::collections::HashMap;

use protocol::api::{Difference, Entry, HeldCause, HeldDocument};

use crate::shaping::Shaper;
use crate::{CompareError, Compared, Pages, documents};

impl Pages<'_> {
    /// Puts in the place of each document that differs what it is to become, and compares that.
    pub(crate) async fn merge(
        &self,
        shaper: &Shaper,
        compared: Vec<Compared>,
        held: &mut Vec<HeldDocument>,
    ) -> Result<Vec<Compared>, CompareError> {
        let is_there = |compared: &Compared| {
            matches!(compared.difference, Difference::Differs(_) | Difference::Changed(_) | Difference::Conflict(_))
        };
        let (different, mut settled): (Vec<Compared>, Vec<Compared>) = compared.into_iter().partition(is_there);
        if different.is_empty() {
            return Ok(settled);
        }
        let identities = different.iter().map(|compared| compared.entry.identity.clone()).collect();
        let found = documents(self.ends.target, self.collection, identities, None).await?.documents;
        let mut there: HashMap<String, Entry> =
            found.into_iter().map(|entry| (entry.identity.clone(), entry)).collect();
        let mut merged = Vec::with_capacity(different.len());
        for Compared { entry, .. } in different {
            // What is gone from the target by now comes as the source has it.
            match there.remove(&entry.identity).map_or(Ok(entry.clone()), |target| become_of(shaper, &entry, &target)) {
                Ok(entry) => merged.push(entry),
                Err(message) => {
                    held.push(HeldDocument { identity: entry.identity, cause: HeldCause::Transform, message });
                }
            }
        }
        let mut merged = self.compare(merged).await?;
        for Compared { difference, .. } in &mut merged {
            // Nothing of what the target has is lost, whoever changed it.
            if let Difference::Conflict(hash) = *difference {
                *difference = Difference::Differs(hash);
            }
        }
        settled.extend(merged);
        Ok(settled)
    }
}

/// What a document of the source becomes where the target has it already.
pub fn become_of(shaper: &Shaper, source: &Entry, target: &Entry) -> Result<Entry, String> {
    let (Some(wanted), Some(there)) = (&source.document, &target.document) else {
        return Err("the document did not come with its hash".into());
    };
    Ok(match shaper.merged(wanted, there)? {
        None => target.clone(),
        Some((document, hash)) => {
            let size = u32::try_from(document.len()).unwrap_or(u32::MAX);
            Entry { identity: target.identity.clone(), hash, size, document: Some(document) }
        }
    })
}
