//! Which path is which request, and how it is carried out: bytes in, storage, bytes out.
//!
//! It must not know HTTP or keys. Everything in here blocks.

use std::sync::Arc;

use protocol::api::{
    AbsentRequest, ActionsRequest, AgentError, AgreeRequest, AuditRequest, Call, CandidatesRequest, CloseGrant,
    DecideRequest, DeleteRequest, DiffRequest, DocumentsRequest, EmbeddedRequest, ErrorCode, ExtentRequest,
    FilesRequest, KeyRequest, ListPartsRequest, ListRequest, ManifestRequest, OpenGrant, PartsRequest,
    PlaceFilesRequest, ProposeRequest, ReadFileRequest, ReceiptRequest, RememberSourceRequest, RenewGrant,
    StatFilesRequest, SummaryRequest, TidyFilesRequest, UndoPlanRequest, UndoRequest, UploadRequest, WriteRequest,
};
use protocol::collection::Collection;
use protocol::keys::Purpose;
use protocol::mirror::{APPROVED_FOR_MS, SignedOrder};
use protocol::msgpack;
use protocol::sign::is_approved;

use crate::allowed::{AllowedModels, unreadable};
use crate::audit::{Durable, Who};
use crate::keys::KeyRing;
use crate::storage::Storage;

mod served;

use served::Served;

/// What a request needs of the storage: each kind waits in its own queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
    /// Grants: short, and never stuck behind reads or writes.
    Control,
}

/// Carries out one kind of request.
type Run = fn(&Storage, &Rules, &Who, &[u8]) -> Result<Vec<u8>, AgentError>;

/// One request that the agent knows.
pub(crate) struct Route {
    /// Below `/api/sync/`.
    pub path: &'static str,
    pub kind: Kind,
    /// Changes something, or asks for the right to.
    changes: bool,
    run: Run,
}

static ROUTES: [Route; 32] = [
    Route::of::<ManifestRequest>(),
    Route::of::<KeyRequest>(),
    Route::of::<ExtentRequest>(),
    Route::of::<SummaryRequest>(),
    Route::of::<ListRequest>(),
    Route::of::<PartsRequest>(),
    Route::of::<ListPartsRequest>(),
    Route::of::<DocumentsRequest>(),
    Route::of::<EmbeddedRequest>(),
    Route::of::<DiffRequest>(),
    Route::of::<AgreeRequest>(),
    Route::of::<FilesRequest>(),
    Route::of::<ReadFileRequest>(),
    Route::of::<StatFilesRequest>(),
    Route::of::<UploadRequest>(),
    Route::of::<PlaceFilesRequest>(),
    Route::of::<WriteRequest>(),
    Route::of::<AbsentRequest>(),
    Route::of::<ProposeRequest>(),
    Route::of::<DecideRequest>(),
    Route::of::<CandidatesRequest>(),
    Route::of::<DeleteRequest>(),
    Route::of::<TidyFilesRequest>(),
    Route::of::<RememberSourceRequest>(),
    Route::of::<OpenGrant>(),
    Route::of::<RenewGrant>(),
    Route::of::<CloseGrant>(),
    Route::of::<ActionsRequest>(),
    Route::of::<ReceiptRequest>(),
    Route::of::<AuditRequest>(),
    Route::of::<UndoPlanRequest>(),
    Route::of::<UndoRequest>(),
];

impl Route {
    const fn of<C: Served>() -> Self {
        Self { path: C::PATH, kind: C::KIND, changes: C::CHANGES, run: run::<C> }
    }

    pub fn find(path: &str) -> Option<&'static Self> {
        ROUTES.iter().find(|route| route.path == path)
    }

    /// The only request of a caller that does not know yet whom it talks to.
    pub fn for_any_instance(&self) -> bool {
        self.path == ManifestRequest::PATH
    }

    /// The body of the answer.
    pub fn answer(&self, storage: &Storage, rules: &Rules, who: &Who, body: &[u8]) -> Result<Vec<u8>, AgentError> {
        if self.changes && rules.read_only {
            let message = "this agent takes no writes: its own config says read_only = true";
            return Err(AgentError::new(ErrorCode::ReadOnly, message));
        }
        (self.run)(storage, rules, who, body)
    }
}

/// What the agent's own settings allow, whoever asks.
pub(crate) struct Rules {
    pub read_only: bool,
    pub is_source: bool,
    pub models: AllowedModels,
    /// Those that mirrors and undos are approved with are for writing.
    pub keys: Arc<KeyRing>,
}

impl Rules {
    fn check<C: Served>(&self, request: &C) -> Result<(), AgentError> {
        let name = match request.collection() {
            Some(Collection::Items(model)) => model,
            Some(Collection::Custom(custom)) => custom.name(),
            _ => return Ok(()),
        };
        let forbidden = |what: &str| {
            let message = format!("{name} is not among the models {what}");
            Err(AgentError::new(ErrorCode::Forbidden, message))
        };
        match &self.models {
            models if !models.serves(name) => forbidden("this agent's own config allows"),
            models if C::KIND == Kind::Write && !models.may_write(name) => {
                forbidden("that may be written here, says this agent's own config")
            }
            models if request.reads_content() && !models.may_read(name) => Err(unreadable(name)),
            _ => Ok(()),
        }
    }

    /// Whoever can write to Redis can make workers ask for anything: that a command asked for it is proven by this.
    fn check_order(&self, order: Option<&SignedOrder>, now_ms: i64) -> Result<(), AgentError> {
        let Some(order) = order else { return Ok(()) };
        let forbidden = |message: String| Err(AgentError::new(ErrorCode::Forbidden, message));
        let keys = self.keys.good_for(Purpose::Write);
        if !is_approved(keys.iter().map(|key| &key.key), order) {
            return forbidden("nobody with a sync key of this instance has approved that this run does it".into());
        }
        // So long a closed run stays closed: an older approval could be given to a run of the same name.
        let age_ms = now_ms.saturating_sub(order.made.saturating_mul(1000));
        if age_ms > APPROVED_FOR_MS {
            let days = APPROVED_FOR_MS / (24 * 3600 * 1000);
            return forbidden(format!("the approval of this run is older than {days} days: start it anew"));
        }
        Ok(())
    }
}

fn check_purpose(who: &Who, needed: Purpose, path: &str) -> Result<(), AgentError> {
    if who.purpose >= needed {
        return Ok(());
    }
    let message = format!("the key {} is for {}, and {path} takes one for {needed}", who.key, who.purpose);
    Err(AgentError::new(ErrorCode::Forbidden, message))
}

fn run<C: Served>(storage: &Storage, rules: &Rules, who: &Who, body: &[u8]) -> Result<Vec<u8>, AgentError> {
    let request: C = msgpack::read(body).map_err(|error| {
        // I11: whatever was sent, the answer says what is wrong with it.
        let message = format!("the body is not what {} takes as MessagePack: {error}", C::PATH);
        AgentError::new(ErrorCode::BadRequest, message)
    })?;
    check_purpose(who, request.needs(), C::PATH)?;
    if request.reads_content() && !rules.is_source {
        let message = "this agent's own config lets nobody read its content: directions does not name source";
        return Err(AgentError::new(ErrorCode::Forbidden, message));
    }
    rules.check(&request)?;
    rules.check_order(request.order(), storage.now_ms())?;
    let answer = request.serve(storage)?;
    if let Some(deed) = request.deed(&answer, who, storage.holder()) {
        // Whoever is told that it was not written asks again, and everything may be asked for twice (I5).
        match request.happens_once() {
            Some(what) => storage.audit().append_once(what, deed)?,
            None => storage.audit().append(deed, Durable::Now)?,
        }
    }
    rmp_serde::to_vec_named(&answer)
        .map_err(|error| AgentError::new(ErrorCode::Internal, format!("the answer cannot be written: {error}")))
}
