//! The right to write to this instance (I4): who has it, and that nobody else can commit anything.
//!
//! Every write holds [`Grants::permit`] until after its COMMIT or rename; opening and closing a grant exclude all
//! permits. So a token that was checked is still the open one when its write lands.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::UNIX_EPOCH;

use protocol::api::{AgentError, CloseGrant, CloseWhich, ErrorCode, GrantClosed, GrantInfo, GrantOpened, OpenGrant};
use protocol::mirror::APPROVED_FOR_MS;
use rusqlite::{Connection, OptionalExtension, params};
use subtle::ConstantTimeEq;

use crate::state::State;
use crate::storage::Clock;
use crate::storage::commit_log::CommitLog;
use crate::storage::fault::{Answer, At};

/// So many grants that ended are remembered, to refuse what arrives late.
const SUPERSEDED_KEPT: i64 = 10_000;
/// So long a closed run stays closed.
const CLOSED_RUNS_KEPT_MS: i64 = APPROVED_FOR_MS + 3600 * 1000;

/// Hands out the right to write.
pub(crate) struct Grants {
    state: Arc<State>,
    now: Clock,
    open: RwLock<Option<OpenedGrant>>,
    /// The last grant ended because the data it was opened for is gone.
    voided: AtomicBool,
    log: Option<Arc<CommitLog>>,
}

struct OpenedGrant {
    request: OpenGrant,
    token: String,
    since_ms: i64,
    // Changed under a permit, which is shared: hence atomic. Stored now and then, and whenever the grant changes.
    renewed_ms: AtomicI64,
    written: AtomicU64,
}

/// The grant as it is while a write lands. Nobody can open or close one as long as this lives.
pub(crate) struct Permit<'a> {
    open: RwLockReadGuard<'a, Option<OpenedGrant>>,
    now_ms: i64,
}

impl Permit<'_> {
    /// Counts what was committed, which also says that the run is alive.
    pub fn wrote(&self, count: u64) {
        if let Some(grant) = self.open.as_ref() {
            grant.written.fetch_add(count, Ordering::Relaxed);
            grant.renewed_ms.store(self.now_ms, Ordering::Relaxed);
        }
    }

    pub fn run(&self) -> &str {
        self.open.as_ref().map_or("", |grant| &grant.request.run)
    }
}

impl OpenedGrant {
    fn info(&self) -> GrantInfo {
        let renewed_ms = self.renewed_ms.load(Ordering::Relaxed);
        GrantInfo {
            run: self.request.run.clone(),
            authority: self.request.authority.clone(),
            holder: self.request.holder.clone(),
            since_ms: self.since_ms,
            renewed_ms,
            expires_ms: renewed_ms.saturating_add(self.request.ttl_ms.try_into().unwrap_or(i64::MAX)),
            written: self.written.load(Ordering::Relaxed),
        }
    }

    fn has_token(&self, token: &str) -> bool {
        self.token.as_bytes().ct_eq(token.as_bytes()).into()
    }
}

impl Grants {
    pub fn load(state: Arc<State>, now: Clock, log: Option<Arc<CommitLog>>) -> rusqlite::Result<Self> {
        let open = stored_grant(&state.database())?;
        let grants = Self { state, now, open: RwLock::new(None), voided: AtomicBool::new(false), log };
        match open {
            // Nobody kept it alive: this is an old state, perhaps from a backup, and what it says is open ended long ago.
            Some(old) if old.info().expires_ms <= grants.now_ms() => {
                store_in(&mut grants.state.database(), Some(&old), None, None, grants.now_ms())?;
            }
            open => *grants.open.write().unwrap_or_else(PoisonError::into_inner) = open,
        }
        grants.log(&grants.shared());
        Ok(grants)
    }

    /// To be called whenever the grant has changed, while nobody can write.
    fn log(&self, open: &Option<OpenedGrant>) {
        if let Some(log) = &self.log {
            log.granted(open.as_ref().map(|grant| (grant.token.as_str(), grant.request.run.as_str())));
        }
    }

    pub fn info(&self) -> Option<GrantInfo> {
        if self.is_voided() {
            return None;
        }
        self.shared().as_ref().map(OpenedGrant::info)
    }

    /// Whether this is a question about the grant that is open already: such a one is answered whatever else holds.
    pub fn is_open(&self, grant_id: &str) -> bool {
        !self.is_voided() && self.shared().as_ref().is_some_and(|grant| grant.request.grant_id == grant_id)
    }

    /// The right to write now, if the token is the open one. To be held until after the write has landed.
    pub fn permit(&self, token: &str) -> Answer<Permit<'_>> {
        let open = self.shared();
        if self.is_voided() {
            let message = "a database file was replaced by another one since the grant was opened: open a new one";
            return Err(AgentError::new(ErrorCode::DatabaseReplaced, message));
        }
        match open.as_ref() {
            Some(grant) if grant.has_token(token) => Ok(Permit { open, now_ms: self.now_ms() }),
            other => Err(lost(other.map(OpenedGrant::info))),
        }
    }

    fn is_voided(&self) -> bool {
        self.voided.load(Ordering::SeqCst)
    }

    pub fn open(&self, request: &OpenGrant) -> Answer<GrantOpened> {
        let mut open = self.exclusive()?;
        let now_ms = self.now_ms();
        if let Some(grant) = open.as_ref()
            && grant.request.grant_id == request.grant_id
        {
            grant.renewed_ms.store(now_ms, Ordering::Relaxed);
            return Ok(GrantOpened { token: grant.token.clone() });
        }
        let holder = open.as_ref().map(OpenedGrant::info);
        self.refuse_what_is_over(request, holder.as_ref())?;
        if let Some(info) = holder
            && info.authority != request.authority
            && now_ms < info.expires_ms
        {
            let message = format!("another run writes to this instance: {}", described(&info, now_ms));
            return Err(AgentError { grant: Some(info), ..AgentError::new(ErrorCode::GrantHeld, message) });
        }
        // A run that comes back after it lost its grant for a while is the same run still.
        let same_run = open.as_ref().filter(|grant| grant.request.run == request.run);
        let since_ms = same_run.map_or(now_ms, |grant| grant.since_ms);
        let granted = OpenedGrant {
            request: request.clone(),
            token: hex::encode(rand::random::<[u8; 32]>()),
            since_ms,
            renewed_ms: AtomicI64::new(now_ms),
            written: AtomicU64::new(0),
        };
        self.store(open.as_ref(), Some(&granted), None)?;
        let token = granted.token.clone();
        *open = Some(granted);
        self.log(&open);
        self.voided.store(false, Ordering::SeqCst);
        Ok(GrantOpened { token })
    }

    pub fn renew(&self, token: &str) -> Answer<()> {
        self.permit(token)?.wrote(0);
        Ok(())
    }

    pub fn close(&self, request: &CloseGrant) -> Answer<GrantClosed> {
        let mut open = self.exclusive()?;
        let run = match &request.which {
            CloseWhich::Run(run) => Some(run.clone()),
            // The documented Reset ends whoever holds it: a grant for it that is still under way must not revive it.
            CloseWhich::Any => open.as_ref().map(|grant| grant.request.run.clone()),
        };
        let Some(run) = run else { return Ok(GrantClosed { was_open: None, actions: 0 }) };
        let closed = open.as_ref().filter(|grant| grant.request.run == run);
        let remaining = if closed.is_some() { None } else { open.as_ref() };
        self.store(closed, remaining, Some((&run, &request.reason)))?;
        let was_open = closed.map(OpenedGrant::info);
        if let Some(info) = &was_open {
            tracing::info!(run.id = %run, reason = %request.reason, written = info.written, "grant closed");
            *open = None;
            self.log(&open);
        }
        Ok(GrantClosed { was_open, actions: 0 })
    }

    /// Ends whatever is open because the data it was opened for is gone.
    ///
    /// Never waits: writes that have begun hold the grant and may be waiting for the very file whose lock the caller
    /// holds. They look at that file themselves before they write to it.
    pub fn void(&self) -> Answer<()> {
        self.voided.store(true, Ordering::SeqCst);
        if let Ok(mut open) = self.open.try_write() {
            self.end_voided(&mut open)?;
        }
        Ok(())
    }

    fn end_voided(&self, open: &mut Option<OpenedGrant>) -> Answer<()> {
        if self.voided.load(Ordering::SeqCst) && open.is_some() {
            self.store(open.as_ref(), None, None)?;
            *open = None;
            self.log(open);
        }
        Ok(())
    }

    /// Stores what writes and renewals changed since.
    pub fn save(&self) -> Answer<()> {
        let open = self.shared();
        let Some(grant) = open.as_ref() else { return Ok(()) };
        let path = self.state.directory().join("state.db");
        let (renewed_ms, written) = (grant.renewed_ms.load(Ordering::Relaxed), grant.written.load(Ordering::Relaxed));
        let sql = "UPDATE open_grant SET renewed_ms = ?1, written = ?2 WHERE renewed_ms <> ?1 OR written <> ?2";
        self.state.database().execute(sql, params![renewed_ms, written.cast_signed()]).at(&path)?;
        Ok(())
    }

    fn shared(&self) -> RwLockReadGuard<'_, Option<OpenedGrant>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn exclusive(&self) -> Answer<RwLockWriteGuard<'_, Option<OpenedGrant>>> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        self.end_voided(&mut open)?;
        Ok(open)
    }

    fn now_ms(&self) -> i64 {
        let since_epoch = (self.now)().duration_since(UNIX_EPOCH).unwrap_or_default();
        since_epoch.as_millis().try_into().unwrap_or(i64::MAX)
    }

    fn refuse_what_is_over(&self, request: &OpenGrant, holder: Option<&GrantInfo>) -> Answer<()> {
        let path = self.state.directory().join("state.db");
        let database = self.state.database();
        let closed: Option<String> = database
            .query_row("SELECT reason FROM closed_run WHERE run = ?1", [&request.run], |row| row.get(0))
            .optional()
            .at(&path)?;
        let superseded = database
            .query_row("SELECT 1 FROM superseded_grant WHERE grant_id = ?1", [&request.grant_id], |_| Ok(()))
            .optional()
            .at(&path)?;
        let message = match (closed, superseded) {
            (Some(reason), _) => format!("run {} was closed here: {reason}", request.run),
            (None, Some(())) => "this grant has ended and cannot be opened again".into(),
            (None, None) => return Ok(()),
        };
        Err(AgentError { grant: holder.cloned(), ..AgentError::new(ErrorCode::GrantSuperseded, message) })
    }

    /// One transaction: what ended, what is open now, which run was closed.
    fn store(
        &self,
        ended: Option<&OpenedGrant>,
        open: Option<&OpenedGrant>,
        closed_run: Option<(&str, &str)>,
    ) -> Answer<()> {
        let path = self.state.directory().join("state.db");
        store_in(&mut self.state.database(), ended, open, closed_run, self.now_ms()).at(&path)
    }
}

fn store_in(
    database: &mut Connection,
    ended: Option<&OpenedGrant>,
    open: Option<&OpenedGrant>,
    closed_run: Option<(&str, &str)>,
    now_ms: i64,
) -> rusqlite::Result<()> {
    let transaction = database.transaction()?;
    if let Some(grant) = ended {
        let sql = "INSERT OR IGNORE INTO superseded_grant (grant_id) VALUES (?1)";
        transaction.execute(sql, [&grant.request.grant_id])?;
        let sql = "DELETE FROM superseded_grant WHERE number <= (SELECT max(number) FROM superseded_grant) - ?1";
        transaction.execute(sql, [SUPERSEDED_KEPT])?;
    }
    if let Some((run, reason)) = closed_run {
        transaction.execute("INSERT OR REPLACE INTO closed_run VALUES (?1, ?2, ?3)", params![run, now_ms, reason])?;
        transaction.execute("DELETE FROM closed_run WHERE closed_ms < ?1", [now_ms - CLOSED_RUNS_KEPT_MS])?;
    }
    transaction.execute("DELETE FROM open_grant", [])?;
    if let Some(grant) = open {
        let request = &grant.request;
        transaction.execute(
            "INSERT INTO open_grant VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                request.grant_id,
                grant.token,
                request.authority,
                request.run,
                request.holder,
                request.ttl_ms.cast_signed(),
                grant.since_ms,
                grant.renewed_ms.load(Ordering::Relaxed),
                grant.written.load(Ordering::Relaxed).cast_signed(),
            ],
        )?;
    }
    transaction.commit()
}

fn stored_grant(database: &Connection) -> rusqlite::Result<Option<OpenedGrant>> {
    let sql = "SELECT grant_id, token, authority, run, holder, ttl_ms, since_ms, renewed_ms, written FROM open_grant";
    database
        .query_row(sql, [], |row| {
            Ok(OpenedGrant {
                request: OpenGrant {
                    grant_id: row.get(0)?,
                    authority: row.get(2)?,
                    run: row.get(3)?,
                    holder: row.get(4)?,
                    ttl_ms: row.get::<_, i64>(5)?.cast_unsigned(),
                    about: None,
                },
                token: row.get(1)?,
                since_ms: row.get(6)?,
                renewed_ms: AtomicI64::new(row.get(7)?),
                written: AtomicU64::new(row.get::<_, i64>(8)?.cast_unsigned()),
            })
        })
        .optional()
}

fn lost(holder: Option<GrantInfo>) -> AgentError {
    let message = match &holder {
        Some(info) => format!("the right to write has gone to another run: {}", info.holder),
        None => "the right to write has ended: nothing may be written before a grant is opened".into(),
    };
    AgentError { grant: holder, ..AgentError::new(ErrorCode::GrantLost, message) }
}

fn described(info: &GrantInfo, now_ms: i64) -> String {
    let seconds = |since_ms: i64| (now_ms - since_ms).max(0) / 1000;
    format!(
        "{}, for {} s, last heard of {} s ago, {} written so far",
        info.holder,
        seconds(info.since_ms),
        seconds(info.renewed_ms),
        info.written
    )
}
