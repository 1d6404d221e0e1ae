//! What lies below documents: children of tree items, folders in folders, assets in folders. What has something below it is
//! not deleted: that would never be shown again.

use std::collections::{HashMap, HashSet};

use protocol::canonical::Document;
use protocol::collection::Collection;

use crate::storage::Storage;
use crate::storage::analysis::bytes_of;
use crate::storage::database::{Database, Open};
use crate::storage::fault::{Answer, At};
use crate::storage::table::{Table, with_table};

/// Rows that are read under one lock.
const PAGE: usize = 500;

/// By what is below what, of some documents.
#[derive(Debug, Default)]
pub(super) struct Below {
    children: HashMap<String, Vec<String>>,
    /// The state of the file it was read from; none where nothing lies below anything.
    pub generation: Option<u64>,
}

impl Below {
    /// Something below it that is not among what is gone.
    pub fn of<'b>(&'b self, identity: &str, gone: &HashSet<String>) -> Option<&'b str> {
        let children = self.children.get(identity)?;
        children.iter().find(|child| !gone.contains(*child)).map(String::as_str)
    }

    /// The same documents, what is below before what it lies in.
    pub fn ordered<'d>(&self, documents: &[&'d str]) -> Vec<&'d str> {
        let mut ordered = Vec::with_capacity(documents.len());
        let mut taken: HashSet<String> = HashSet::new();
        let mut left = documents.to_vec();
        while !left.is_empty() {
            let (free, rest): (Vec<&str>, Vec<&str>) =
                left.iter().partition(|identity| self.of(identity, &taken).is_none());
            if free.is_empty() {
                ordered.extend(rest);
                break;
            }
            taken.extend(free.iter().map(|identity| (*identity).to_owned()));
            ordered.extend(free);
            left = rest;
        }
        ordered
    }
}

impl Storage {
    /// What lies below these documents of a table.
    pub(super) fn below(&self, database: &Database, table: &Table, documents: &[&str]) -> Answer<Below> {
        let field = match &table.collection {
            Collection::Items(model) if self.is_tree(model)? => "_pid",
            Collection::Folders => "_p",
            _ => return Ok(Below::default()),
        };
        let wanted: HashSet<&str> = documents.iter().copied().collect();
        // From before the first row is read: whoever writes meanwhile makes it another one.
        let generation = Some(self.locked(database)?.generation());
        let mut below = Below { generation, ..Below::default() };
        self.gather(database, table, field, &wanted, &mut below)?;
        if table.collection == Collection::Folders {
            let assets = self.table(&Collection::Assets)?;
            self.gather(&*self.database(&assets.file)?, &assets, "folder", &wanted, &mut below)?;
        }
        Ok(below)
    }

    fn gather(
        &self,
        database: &Database,
        table: &Table,
        field: &str,
        wanted: &HashSet<&str>,
        below: &mut Below,
    ) -> Answer<()> {
        let mut after = Some(0);
        while let Some(from) = after {
            let mut locked = self.locked(database)?;
            let Some(open) = with_table(&mut locked, table)? else { return Ok(()) };
            after = self.each_document_after(open, table, from, |bytes| {
                let Ok(document) = Document::parse(bytes) else { return };
                let (Some(parent), Some(own)) = (document.text(field), document.text("_id")) else { return };
                if wanted.contains(parent) {
                    below.children.entry(parent.to_owned()).or_default().push(own.to_owned());
                }
            })?;
        }
        Ok(())
    }

    /// Visits a page of stored documents; from which row to go on.
    fn each_document_after(
        &self,
        open: &Open,
        table: &Table,
        after: i64,
        mut visit: impl FnMut(&[u8]),
    ) -> Answer<Option<i64>> {
        let path = self.database_path(&table.file);
        let sql = format!("SELECT id, document FROM {} WHERE id > ?1 ORDER BY id LIMIT {PAGE}", table.quoted());
        let mut statement = open.connection.prepare_cached(&sql).at(&path)?;
        let mut rows = statement.query([after]).at(&path)?;
        let (mut last, mut count) = (after, 0);
        while let Some(row) = rows.next().at(&path)? {
            last = row.get(0).at(&path)?;
            count += 1;
            if let Some(bytes) = bytes_of(row.get_ref(1).at(&path)?) {
                visit(bytes);
            }
        }
        Ok((count == PAGE).then_some(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_come_before_their_parents() {
        let below = |pairs: &[(&str, &str)]| {
            let mut below = Below::default();
            for (parent, child) in pairs {
                below.children.entry((*parent).into()).or_default().push((*child).into());
            }
            below
        };
        assert_eq!(below(&[("a", "b"), ("b", "c")]).ordered(&["a", "b", "c"]), ["c", "b", "a"]);
        assert_eq!(below(&[("a", "stays")]).ordered(&["a", "d"]), ["d", "a"]);
        assert_eq!(below(&[("a", "b"), ("b", "a")]).ordered(&["a", "b"]), ["a", "b"], "a circle ends too");
        let (tree, none) = (below(&[("a", "b")]), HashSet::new());
        assert_eq!((tree.of("a", &none), tree.of("b", &none)), (Some("b"), None));
    }
}
