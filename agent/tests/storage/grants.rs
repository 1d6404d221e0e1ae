//! The right to write (I4).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use protocol::api::*;

use crate::support::*;

fn close(instance: &Instance, which: CloseWhich) -> GrantClosed {
    instance.storage.close_grant(&CloseGrant { which, reason: "test".into() }).unwrap()
}

fn refusal(instance: &Instance, request: &OpenGrant) -> AgentError {
    instance.storage.open_grant(request).unwrap_err()
}

#[test]
fn the_same_grant_id_gives_the_same_token_after_a_restart_too() {
    let mut target = Instance::small();
    let request = grant_request("g1", "redis-1", "run-1");
    let first = target.storage.open_grant(&request).unwrap().token;
    assert_eq!(target.storage.open_grant(&request).unwrap().token, first);
    target.reopen();
    assert_eq!(target.storage.open_grant(&request).unwrap().token, first);
    assert!(first.len() >= 32);
}

#[test]
fn a_superseded_grant_id_is_refused_and_its_token_writes_nothing() {
    let mut target = Instance::small();
    let old = target.storage.open_grant(&grant_request("g1", "redis-1", "run-1")).unwrap().token;
    let new = target.storage.open_grant(&grant_request("g2", "redis-1", "run-2")).unwrap().token;
    for restarted in [false, true] {
        if restarted {
            target.reopen();
        }
        assert_eq!(refusal(&target, &grant_request("g1", "redis-1", "run-1")).code, ErrorCode::GrantSuperseded);
        let write =
            |token: &str| target.try_write(token, &items("posts"), vec![document("x", None, br#"{"_id":"x"}"#)]);
        let error = write(&old).unwrap_err();
        assert_eq!(error.code, ErrorCode::GrantLost);
        assert_eq!(error.grant.unwrap().run, "run-2");
        assert!(write(&new).is_ok());
        let renewal = target.storage.renew_grant(&RenewGrant { token: old.clone() });
        assert_eq!(renewal.unwrap_err().code, ErrorCode::GrantLost);
    }
}

#[test]
fn another_authority_waits_until_the_holder_is_silent() {
    let target = Instance::small();
    let token = target.grant();
    let other = grant_request("other", "redis-2", "run-2");
    let error = refusal(&target, &other);
    assert_eq!(error.code, ErrorCode::GrantHeld);
    assert_eq!(error.grant.as_ref().unwrap().authority, "redis-1");
    assert!(error.message.contains("run-1 of redis-1"), "{error}");
    target.pass_time(Duration::from_secs(14));
    target.storage.renew_grant(&RenewGrant { token: token.clone() }).unwrap();
    target.pass_time(Duration::from_secs(14));
    assert_eq!(refusal(&target, &other).code, ErrorCode::GrantHeld);
    target.pass_time(Duration::from_secs(2));
    target.storage.open_grant(&other).unwrap();
    assert_eq!(target.storage.renew_grant(&RenewGrant { token }).unwrap_err().code, ErrorCode::GrantLost);
}

#[test]
fn a_closed_run_stays_closed_whatever_arrives_late() {
    let mut target = Instance::small();
    let token = target.grant();
    target.write(&token, &items("posts"), vec![document("x", None, br#"{"_id":"x"}"#)]);
    let closed = close(&target, CloseWhich::Run(RUN.into()));
    assert_eq!(closed.was_open.unwrap().written, 1);
    assert_eq!(close(&target, CloseWhich::Run(RUN.into())).was_open, None);
    target.reopen();
    assert_eq!(refusal(&target, &grant_request("later", "redis-1", RUN)).code, ErrorCode::GrantSuperseded);
    target.storage.open_grant(&grant_request("g9", "redis-1", "run-9")).unwrap();
}

#[test]
fn a_run_that_never_had_a_grant_can_be_closed_in_advance_without_ending_another() {
    let target = Instance::small();
    let token = target.grant();
    assert_eq!(close(&target, CloseWhich::Run("cancelled".into())).was_open, None);
    assert_eq!(refusal(&target, &grant_request("g2", "redis-1", "cancelled")).code, ErrorCode::GrantSuperseded);
    target.storage.renew_grant(&RenewGrant { token }).unwrap();
}

#[test]
fn a_reset_ends_whoever_holds_it() {
    let target = Instance::small();
    assert_eq!(close(&target, CloseWhich::Any).was_open, None);
    let token = target.grant();
    assert_eq!(close(&target, CloseWhich::Any).was_open.unwrap().run, RUN);
    assert_eq!(target.storage.renew_grant(&RenewGrant { token }).unwrap_err().code, ErrorCode::GrantLost);
    target.storage.open_grant(&grant_request("g2", "redis-2", "run-2")).unwrap();
}

#[test]
fn nothing_is_opened_while_cockpits_own_sync_holds_its_lock() {
    let target = Instance::small();
    let path = target.root.join("storage/tmp/sync.lock");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "").unwrap();
    let error = refusal(&target, &grant_request("g1", "redis-1", RUN));
    assert_eq!(error.code, ErrorCode::SyncLock);
    assert!(error.message.contains("sync.lock"));
    assert!(target.storage.manifest(&ManifestRequest {}).unwrap().sync_lock.is_some());
    std::fs::remove_file(path).unwrap();
    target.grant();
}

#[test]
fn a_read_only_agent_takes_nothing() {
    let mut target = Instance::small();
    target.storage.close();
    let settings = agent_settings(&target, |settings| settings.read_only = true);
    target.storage = cockpit_sync_agent::storage::Storage::open(settings).unwrap();
    assert_eq!(refusal(&target, &grant_request("g1", "redis-1", RUN)).code, ErrorCode::ReadOnly);
    assert_eq!(target.try_write("", &items("posts"), vec![]).unwrap_err().code, ErrorCode::ReadOnly);
    assert!(!target.list(&items("posts")).entries.is_empty());
}

/// Many writers check a token while it is being superseded. Whatever was answered as written before `open` returned
/// may stand; nothing of the old token may land after it.
#[test]
fn no_commit_of_an_old_token_lands_after_a_new_one_was_handed_out() {
    let target = Instance::small();
    let posts = items("posts");
    for round in 0..20 {
        let run = |name: &str| format!("{name}-{round}");
        let request = |name: &str| grant_request(&run(name), "redis-1", &run(name));
        let old = target.storage.open_grant(&request("old")).unwrap().token;
        let (superseded, done) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for writer in 0..3 {
                let (target, posts, old, superseded, done) = (&target, &posts, &old, &superseded, &done);
                scope.spawn(move || {
                    for number in 0.. {
                        let was_superseded = superseded.load(Ordering::SeqCst);
                        let id = format!("late-{round}-{writer}-{number}");
                        let text = format!(r#"{{"_id":"{id}"}}"#);
                        let result = target.try_write(old, posts, vec![document(&id, None, text.as_bytes())]);
                        match result {
                            Ok(_) => assert!(!was_superseded, "a write under the old token landed"),
                            Err(error) => {
                                assert!(matches!(error.code, ErrorCode::GrantLost | ErrorCode::Busy), "{error}")
                            }
                        }
                        if done.load(Ordering::SeqCst) {
                            return;
                        }
                    }
                });
            }
            let new = target.storage.open_grant(&request("new")).unwrap().token;
            superseded.store(true, Ordering::SeqCst);
            // Read after the new token was handed out: nothing may be added from here on.
            let count = || instances::count(&target.root, "content/collections/posts").unwrap();
            let before = count();
            std::thread::sleep(Duration::from_millis(5));
            assert_eq!(count(), before);
            done.store(true, Ordering::SeqCst);
            assert_ne!(new, old);
        });
    }
}

#[test]
fn writes_to_several_files_and_grants_that_change_all_the_time_never_wait_for_each_other_for_ever() {
    let source = Instance::small();
    let target = Instance::small();
    let (embedding, assets) = (items("posts"), protocol::collection::Collection::Assets);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for collection in [&embedding, &assets, &embedding, &assets] {
            let (source, target, done) = (&source, &target, &done);
            scope.spawn(move || {
                let entries = entries_of(source, collection);
                while !done.load(Ordering::SeqCst) {
                    let (identity, _) = &entries[0];
                    let sent = source.document(collection, identity).unwrap();
                    let here = target.document(collection, identity).unwrap();
                    let new = changed(&sent, "title", &format!("{:?}", std::time::Instant::now()));
                    let token =
                        target.storage.open_grant(&grant_request(&format!("{new:?}"), "redis-1", RUN)).unwrap().token;
                    let result = target.try_write(&token, collection, vec![document(identity, Some(here.hash), &new)]);
                    if let Err(error) = result {
                        assert!(matches!(error.code, ErrorCode::GrantLost | ErrorCode::Busy), "{error}");
                    }
                }
            });
        }
        std::thread::sleep(Duration::from_millis(1500));
        done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn after_the_agents_own_files_were_lost_or_restored_from_a_backup_what_was_handed_out_since_is_void() {
    for backup in [false, true] {
        let mut target = Instance::small();
        let state = target.root.join("storage/cockpit-sync/state.db");
        // The backup was made while nobody held a grant.
        target.storage.close();
        let saved = std::fs::read(&state).unwrap();
        target.reopen();
        let request = grant_request("g1", "redis-1", "run-1");
        let old = target.storage.open_grant(&request).unwrap().token;
        target.storage.close();
        for name in ["state.db", "state.db-wal", "state.db-shm"] {
            let _ = std::fs::remove_file(state.with_file_name(name));
        }
        if backup {
            std::fs::write(&state, &saved).unwrap();
        }
        target.reopen();
        let write =
            |token: &str| target.try_write(token, &items("posts"), vec![document("x", None, br#"{"_id":"x"}"#)]);
        assert_eq!(write(&old).unwrap_err().code, ErrorCode::GrantLost, "backup: {backup}");
        // The run opens anew, with another token although the grant has the same name.
        let new = target.storage.open_grant(&request).unwrap().token;
        assert_ne!(new, old);
        assert!(write(&new).is_ok());
        assert_eq!(write(&old).unwrap_err().code, ErrorCode::GrantLost);
    }
}

#[test]
fn a_grant_that_a_backup_holds_open_is_not_open_again_once_it_has_run_out() {
    let mut target = Instance::small();
    let state = target.root.join("storage/cockpit-sync/state.db");
    let token = target.grant();
    target.storage.close();
    let saved = std::fs::read(&state).unwrap();
    target.reopen();
    let write = |target: &Instance, id: &str| {
        let text = format!(r#"{{"_id":"{id}"}}"#);
        target.try_write(&token, &items("posts"), vec![document(id, None, text.as_bytes())])
    };
    assert!(write(&target, "a").is_ok(), "an agent that was just restarted goes on with the run");
    target.storage.close();
    target.pass_time(Duration::from_secs(16));
    std::fs::write(&state, &saved).unwrap();
    target.reopen();
    assert_eq!(write(&target, "b").unwrap_err().code, ErrorCode::GrantLost);
    let again = target.storage.open_grant(&grant_request("grant-1", "redis-1", RUN));
    assert_eq!(again.unwrap_err().code, ErrorCode::GrantSuperseded);
}
