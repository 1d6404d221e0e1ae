//! Files of assets: read by id, uploaded in parts, put in their place.

use protocol::api::*;
use serde_json::json;

use crate::support::*;

fn stat(instance: &Instance, facts: &FileFacts) -> FileStat {
    instance.storage.stat_files(&StatFilesRequest { files: vec![facts.clone()] }).unwrap().stats.remove(0)
}

fn place(instance: &Instance, token: &str, files: Vec<FileFacts>) -> Result<Nothing, AgentError> {
    instance.storage.place_files(&PlaceFilesRequest { token: token.into(), files })
}

#[test]
fn an_upload_goes_on_where_it_stopped_even_after_a_restart() {
    let mut target = Instance::small();
    let token = target.grant();
    let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let facts = facts("/2026/01/02/new.png", &bytes);
    assert_eq!(stat(&target, &facts), FileStat::Wanted { uploaded: 0 });
    assert_eq!(target.upload(&token, &facts, 0, &bytes[..1000]), 1000);
    // Sent twice, or from the wrong place: nothing changes, and the answer says where to go on.
    assert_eq!(target.upload(&token, &facts, 0, &bytes[..1000]), 1000);
    assert_eq!(target.upload(&token, &facts, 5000, &bytes[5000..6000]), 1000);
    target.reopen();
    assert_eq!(stat(&target, &facts), FileStat::Wanted { uploaded: 1000 });
    assert_eq!(place(&target, &token, vec![facts.clone()]).unwrap_err().code, ErrorCode::BadRequest);
    assert_eq!(target.upload(&token, &facts, 1000, &bytes[1000..]), facts.size);
    assert_eq!(stat(&target, &facts), FileStat::Wanted { uploaded: facts.size });
    place(&target, &token, vec![facts.clone()]).unwrap();
    assert_eq!(stat(&target, &facts), FileStat::Same);
    assert_eq!(std::fs::read(instances::uploads(&target.root).join("2026/01/02/new.png")).unwrap(), bytes);
    // A replay finds it there.
    place(&target, &token, vec![facts]).unwrap();
}

/// What was whole is not synced to the disk: after a power failure it may hold other bytes.
#[test]
fn an_upload_from_before_a_restart_is_hashed_again_before_it_is_placed() {
    let mut instance = Instance::empty();
    let facts = facts("/2026/picture.png", b"the bytes of a picture");
    let token = instance.grant();
    assert_eq!(instance.upload(&token, &facts, 0, b"the bytes of a picture"), facts.size);
    let whole = instance.root.join(format!("storage/cockpit-sync/uploads/{}.whole", facts.sha256));
    std::fs::write(&whole, b"zeroes, as it happens.").unwrap();
    instance.reopen();
    let error = place(&instance, &token, vec![facts.clone()]).unwrap_err();
    assert!(error.message.contains("upload it first"), "{error}");
    assert!(!instances::uploads(&instance.root).join("2026/picture.png").exists());
    // Whoever goes on with it is sent back to its beginning.
    assert_eq!(stat(&instance, &facts), FileStat::Wanted { uploaded: facts.size });
    assert_eq!(instance.upload(&token, &facts, facts.size, b""), 0);
    assert_eq!(instance.upload(&token, &facts, 0, b"the bytes of a picture"), facts.size);
    place(&instance, &token, vec![facts]).unwrap();
}

#[test]
fn an_upload_that_is_not_what_it_is_named_by_is_thrown_away() {
    let target = Instance::small();
    let token = target.grant();
    let facts = facts("/a/b.png", b"what it should be");
    assert_eq!(target.upload(&token, &facts, 0, b"what it is, alas!"), 0);
    assert_eq!(stat(&target, &facts), FileStat::Wanted { uploaded: 0 });
    assert_eq!(place(&target, &token, vec![facts.clone()]).unwrap_err().code, ErrorCode::BadRequest);
    assert_eq!(target.upload(&token, &facts, 0, b"what it should be"), facts.size);
    place(&target, &token, vec![facts]).unwrap();
}

#[test]
fn the_same_bytes_can_have_several_places_and_no_bytes_at_all_are_a_file_too() {
    let target = Instance::small();
    let token = target.grant();
    let (one, two) = (facts("/a/1.txt", b"twice"), facts("/b/2.txt", b"twice"));
    let empty = facts("/c/3.txt", b"");
    target.upload(&token, &one, 0, b"twice");
    target.upload(&token, &empty, 0, b"");
    place(&target, &token, vec![one.clone(), two.clone(), empty.clone()]).unwrap();
    for facts in [one, two, empty] {
        assert_eq!(stat(&target, &facts), FileStat::Same);
    }
}

#[test]
fn no_path_leads_out_of_the_uploads() {
    let target = Instance::small();
    let token = target.grant();
    let uploads = instances::uploads(&target.root);
    std::os::unix::fs::symlink("/tmp", uploads.join("out")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", uploads.join("link.txt")).unwrap();
    for path in ["/../../config/config.txt", "/out/x.png", "/link.txt", "/.htaccess", "/x.php", "/a/../../x.png"] {
        let facts = facts(path, b"x");
        assert!(matches!(stat(&target, &facts), FileStat::Held { cause: HeldCause::Forbidden, .. }), "{path}");
        target.upload(&token, &facts, 0, b"x");
        assert_eq!(place(&target, &token, vec![facts]).unwrap_err().code, ErrorCode::Forbidden, "{path}");
    }
    let row = json!({"_id": "evil", "path": "/link.txt", "mime": "text/plain", "type": "document"});
    instances::insert_document(&target.root, "assets", &row).unwrap();
    let files = target.storage.files(&FilesRequest { assets: vec!["evil".into()] }).unwrap().files;
    assert!(matches!(files[0], FileState::Held { cause: HeldCause::Forbidden, .. }), "{files:?}");
}

#[test]
fn a_file_is_read_in_pieces_as_long_as_it_is_the_same() {
    let source = Instance::small();
    let asset = source.made().assets[0].clone();
    let files = source.storage.files(&FilesRequest { assets: vec![asset.clone()] }).unwrap().files;
    let FileState::Present(facts) = &files[0] else { panic!("{files:?}") };
    let read = |offset, length| {
        let request = ReadFileRequest { asset: asset.clone(), sha256: facts.sha256.clone(), offset, length };
        source.storage.read_file(&request).map(|answer| answer.bytes)
    };
    let path = instances::uploads(&source.root).join(&facts.path[1..]);
    let bytes = std::fs::read(&path).unwrap();
    let mut pieces = Vec::new();
    while (pieces.len() as u64) < facts.size {
        pieces.extend(read(pieces.len() as u64, 100).unwrap());
    }
    assert_eq!(pieces, bytes);
    assert!(read(facts.size + 10, 100).unwrap().is_empty());
    std::fs::write(&path, "another one").unwrap();
    assert_eq!(read(0, 100).unwrap_err().code, ErrorCode::BadRequest);
}

#[test]
fn nothing_is_uploaded_or_placed_without_the_grant() {
    let target = Instance::small();
    let old = target.grant();
    let facts = facts("/a.png", b"x");
    target.upload(&old, &facts, 0, b"x");
    target.storage.open_grant(&grant_request("g2", "redis-1", "run-2")).unwrap();
    let part = UploadPart { sha256: facts.sha256.clone(), size: 1, offset: 0, bytes: b"x".to_vec() };
    let error = target.storage.upload(&UploadRequest { token: old.clone(), parts: vec![part] }).unwrap_err();
    assert_eq!(error.code, ErrorCode::GrantLost);
    assert_eq!(place(&target, &old, vec![facts]).unwrap_err().code, ErrorCode::GrantLost);
    assert!(!instances::uploads(&target.root).join("a.png").exists());
}

#[test]
fn uploads_that_nobody_continues_are_removed_after_a_day() {
    let target = Instance::small();
    let token = target.grant();
    let facts = facts("/a.png", b"xyz");
    target.upload(&token, &facts, 0, b"x");
    target.storage.idle();
    assert_eq!(stat(&target, &facts), FileStat::Wanted { uploaded: 1 });
    target.pass_time(std::time::Duration::from_secs(25 * 3600));
    let mut target = target;
    target.reopen();
    target.storage.idle();
    assert_eq!(stat(&target, &facts), FileStat::Wanted { uploaded: 0 });
}
