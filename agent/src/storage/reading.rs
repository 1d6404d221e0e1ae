//! Answers about documents in tables: which they are, page by page, and what is in them.

use protocol::api::{
    Documents, DocumentsRequest, Entry, Extent, ExtentRequest, ListRequest, Listing, PAGE_BYTES, PAGE_DOCUMENTS,
    PAGE_ENTRIES,
};
use protocol::canonical::{self, Document, Identity};
use protocol::collection::Collection;
use protocol::filter::Filter;

use super::Storage;
use super::analysis::{raw_hash, refreshed, size};
use super::asset_rows::AssetView;
use super::database::Open;
use super::fault::{Answer, At, busy};
use super::index::{IndexRow, Known};
use super::sums::effective_hash;
use super::table::{PAGE, Table, with_table};
use crate::allowed::AllowedModels;

/// For a page of a filtered listing at most so many bytes of documents are read, though few or none of them are meant.
const ASKED_BYTES: usize = 16 * 1024 * 1024;

/// Which documents of a selection a listing is about.
#[derive(Clone, Copy)]
pub(crate) enum Meant<'r> {
    All,
    /// Those that embed assets.
    Embedding,
    /// Those with such an identity.
    Those(&'r dyn Fn(&str) -> bool),
}

/// A page that is being filled.
struct Page<'r> {
    request: &'r ListRequest,
    meant: Meant<'r>,
    limit: usize,
    bytes: usize,
    /// Documents that the filter was asked of, and their bytes.
    asked: usize,
    asked_bytes: usize,
    /// A document did not fit any more: it begins the next page.
    is_over: bool,
    listing: Listing,
}

impl Storage {
    pub fn extent(&self, request: &ExtentRequest) -> Answer<Extent> {
        self.allow_collection(&request.collection)?;
        if request.collection == Collection::Models {
            return self.extent_of_models();
        }
        let table = self.table(&request.collection)?;
        let database = self.database(&table.file)?;
        let mut locked = self.locked(&database)?;
        let Some(open) = with_table(&mut locked, &table)? else {
            return Ok(Extent { complete: false, first_row: 0, last_row: 0 });
        };
        let (first, last) = first_and_last(open, &table).at(&self.database_path(&table.file))?;
        Ok(Extent { complete: true, first_row: first, last_row: last })
    }

    pub fn list(&self, request: &ListRequest) -> Answer<Listing> {
        self.page(request, Meant::All)
    }

    pub(crate) fn page(&self, request: &ListRequest, meant: Meant<'_>) -> Answer<Listing> {
        self.allow_collection(&request.collection)?;
        if request.collection == Collection::Models {
            return self.list_models(request);
        }
        let table = self.table(&request.collection)?;
        // Whoever asks for documents is told of those that nobody may read; what they embed is left out.
        let only = self.only_allowed(&request.collection, &request.selection, matches!(meant, Meant::Embedding));
        let filter = request.selection.filter.as_ref();
        let database = self.database(&table.file)?;
        let assets = self.assets_for(&request.collection)?;
        self.catch_up(&database, &table, assets.as_ref())?;
        let mut page = Page {
            request,
            meant,
            limit: if request.documents { PAGE_DOCUMENTS } else { PAGE_ENTRIES },
            bytes: 0,
            asked: 0,
            asked_bytes: 0,
            is_over: false,
            listing: Listing { complete: true, entries: Vec::new(), held: Vec::new(), next_row: None },
        };
        let to = request.to_row.map_or(i64::MAX, row_id);
        let mut next = Some(row_id(request.from_row));
        while let Some(from) = next.filter(|from| *from <= to && !page.is_full()) {
            next = self.locked(&database)?.transaction("BEGIN", |locked| {
                let is_certain = self.is_certain(locked, &table, assets.as_ref())?;
                let Some(open) = with_table(locked, &table)? else {
                    page.listing.complete = false;
                    return Ok(None);
                };
                let covered_to = match is_certain {
                    true => to,
                    false => self.scan_page(open, &table, (from, to), assets.as_ref())?.covered_to,
                };
                let limit = usize::try_from(PAGE).unwrap_or(usize::MAX);
                let rows = match meant {
                    Meant::Those(are) => self.index.lock().rows_with(table.number, (from, covered_to), limit, are)?,
                    Meant::All | Meant::Embedding => self.index.lock().rows(table.number, from, covered_to, limit)?,
                };
                let was_cut = rows.len() == limit;
                let next = match rows.last() {
                    Some(last) if was_cut => last.row.checked_add(1),
                    _ => covered_to.checked_add(1),
                };
                let stopped_at =
                    self.fill(&mut page, open, &table, rows, (only.as_deref(), filter), assets.as_ref())?;
                Ok(stopped_at.or(next))
            })?;
        }
        page.listing.next_row = next.filter(|next| *next <= to).map(i64::cast_unsigned);
        Ok(page.listing)
    }

    /// Puts rows on the page; the row that did not fit any more, if any.
    fn fill(
        &self,
        page: &mut Page<'_>,
        open: &mut Open,
        table: &Table,
        rows: Vec<IndexRow>,
        (only, filter): (Option<&[String]>, Option<&Filter>),
        assets: Option<&AssetView<'_>>,
    ) -> Answer<Option<i64>> {
        for row in rows {
            if page.is_full() {
                return Ok(Some(row.row));
            }
            let Known::Document { identity, hash, embeds } = &row.known else {
                // Whether what cannot be read is meant, nobody can tell: only who wants everything is told of it.
                if only.is_none() && filter.is_none() {
                    page.listing.held.extend(self.held_fault(&row));
                }
                continue;
            };
            if only.is_some_and(|only| !only.contains(identity))
                || matches!(page.meant, Meant::Embedding) && embeds.is_none()
            {
                continue;
            }
            if page.request.documents {
                self.allow_reading(&table.collection, identity)?;
            }
            let stored = match page.request.documents || filter.is_some() {
                true => Some(self.unchanged_bytes(open, table, &row)?),
                false => None,
            };
            if let (Some(filter), Some(bytes)) = (filter, &stored) {
                page.asked += 1;
                page.asked_bytes += bytes.len();
                if !Document::parse(bytes).is_ok_and(|document| filter.matches(&document)) {
                    continue;
                }
            }
            let winner = self.index.lock().winner(table.number, identity)?;
            if let Some(winner) = winner.filter(|winner| *winner < row.row)
                && self.rows_of(open, table, identity, assets)?.first().is_some_and(|(first, _)| first.row < row.row)
            {
                page.listing.held.push(self.held_duplicate(table, identity, row.row, winner));
                continue;
            }
            let mut entry = Entry {
                identity: identity.clone(),
                hash: effective_hash(*hash, *embeds),
                size: row.size,
                document: None,
            };
            if let Some(bytes) = stored.filter(|_| page.request.documents) {
                fill_document(&mut entry, bytes, &row, table.identity, assets)?;
                let length = entry.document.as_ref().map_or(0, Vec::len);
                if page.bytes > 0 && page.bytes + length > PAGE_BYTES {
                    page.is_over = true;
                    return Ok(Some(row.row));
                }
                page.bytes += length;
            }
            page.listing.entries.push(entry);
        }
        Ok(None)
    }

    /// The bytes of a row that the index knows.
    fn unchanged_bytes(&self, open: &mut Open, table: &Table, row: &IndexRow) -> Answer<Vec<u8>> {
        let bytes = self.row_bytes(open, table, row.row)?.unwrap_or_default();
        if raw_hash(&bytes) != row.raw {
            open.table(&table.key).certain = false;
            return Err(busy(format!("row {} changed while it was read", row.row)));
        }
        Ok(bytes)
    }

    pub fn documents(&self, request: &DocumentsRequest) -> Answer<Documents> {
        self.allow_collection(&request.collection)?;
        if request.collection == Collection::Models {
            return self.documents_of_models(request);
        }
        let table = self.table(&request.collection)?;
        let database = self.database(&table.file)?;
        let assets = self.assets_for(&request.collection)?;
        self.catch_up(&database, &table, assets.as_ref())?;
        let (now, later) = request.identities.split_at(request.identities.len().min(PAGE_DOCUMENTS));
        let mut answer =
            Documents { documents: Vec::new(), missing: now.to_vec(), not_sent: later.to_vec(), changed: Vec::new() };
        let mut bytes_sent = 0;
        let wanted = std::mem::take(&mut answer.missing);
        self.locked(&database)?.transaction("BEGIN", |locked| {
            let Some(open) = with_table(locked, &table)? else {
                answer.missing = wanted;
                return Ok(());
            };
            self.catch_up_within(open, &table, assets.as_ref())?;
            for identity in wanted {
                if !self.is_allowed_document(&request.collection, &identity, AllowedModels::serves) {
                    answer.missing.push(identity);
                    continue;
                }
                self.allow_reading(&request.collection, &identity)?;
                let mut rows = self.rows_of(open, &table, &identity, assets.as_ref())?;
                if rows.is_empty() {
                    answer.missing.push(identity);
                    continue;
                }
                let (row, bytes) = rows.swap_remove(0);
                if bytes_sent > 0 && bytes_sent + bytes.len() > PAGE_BYTES {
                    answer.not_sent.push(identity);
                    continue;
                }
                if let Some(entry) = entry_of(&row, bytes, table.identity, assets.as_ref())? {
                    if let Some(run) = &request.run
                        && self.is_changed(&table, &row, &entry, run)?
                    {
                        answer.changed.push(entry.identity.clone());
                    }
                    bytes_sent += entry.document.as_ref().map_or(0, Vec::len);
                    answer.documents.push(entry);
                }
            }
            Ok(())
        })?;
        Ok(answer)
    }

    /// Whether a document, or an asset it embeds, is not what the run saw first, nor what it wrote itself.
    fn is_changed(&self, table: &Table, row: &IndexRow, entry: &Entry, run: &str) -> Answer<bool> {
        let seen = self.seen(table.number, run)?;
        if row.mark.is_some_and(|mark| mark.run == seen.run) {
            return Ok(false);
        }
        if seen.is_new(row) {
            return Ok(true);
        }
        let Known::Document { embeds: Some(_), .. } = row.known else { return Ok(false) };
        let Ok(document) = Document::parse(entry.document.as_deref().unwrap_or_default()) else { return Ok(false) };
        let assets = self.table(&Collection::Assets)?.number;
        let seen = self.seen(assets, run)?;
        for asset in document.embedded_assets() {
            if self.index.lock().is_changed_since(assets, asset.id, seen)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Page<'_> {
    fn is_full(&self) -> bool {
        self.is_over
            || self.bytes >= PAGE_BYTES
            || self.listing.entries.len() >= self.limit
            || self.listing.held.len() >= self.limit
            || self.asked >= PAGE_ENTRIES
            || self.asked_bytes >= ASKED_BYTES
    }
}

fn entry_of(row: &IndexRow, bytes: Vec<u8>, by: Identity, assets: Option<&AssetView<'_>>) -> Answer<Option<Entry>> {
    let Known::Document { identity, hash, .. } = &row.known else { return Ok(None) };
    let mut entry = Entry { identity: identity.clone(), hash: *hash, size: row.size, document: None };
    fill_document(&mut entry, bytes, row, by, assets)?;
    Ok(Some(entry))
}

/// The document as it is sent, with fresh copies of assets, and its hash.
fn fill_document(
    entry: &mut Entry,
    bytes: Vec<u8>,
    row: &IndexRow,
    by: Identity,
    assets: Option<&AssetView<'_>>,
) -> Answer<()> {
    let mut sent = bytes;
    if let Known::Document { embeds: Some(embeds), .. } = &row.known
        && let Some(view) = assets
        && (embeds.refreshed.is_some() || embeds.assets != view.state())
        && let Ok(document) = Document::parse(&sent)
        && let Some(fresh) = refreshed(&document, view)?
    {
        if let Ok(document) = Document::parse(&fresh) {
            entry.hash = canonical::hash(&document, by);
        }
        sent = fresh;
    }
    entry.size = size(&sent);
    entry.document = Some(sent);
    Ok(())
}

/// A row id as the wire has it. What is beyond SQLite's range is beyond every row.
pub(crate) fn row_id(row: u64) -> i64 {
    i64::try_from(row).unwrap_or(i64::MAX)
}

/// Smallest and largest row id; both 0 when there is no row. Two questions: SQLite answers both at once by reading
/// the whole table.
pub(crate) fn first_and_last(open: &Open, table: &Table) -> rusqlite::Result<(u64, u64)> {
    let quoted = table.quoted();
    let sql = format!("SELECT ifnull((SELECT min(id) FROM {quoted}), 0), ifnull((SELECT max(id) FROM {quoted}), 0)");
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    let (first, last) = open.connection.prepare_cached(&sql)?.query_row([], read)?;
    Ok((first.max(0).cast_unsigned(), last.max(0).cast_unsigned()))
}
