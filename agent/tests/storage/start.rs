//! What must hold before a storage is served.

use cockpit_sync_agent::storage::{StartError, Storage, StorageSettings};

use crate::support::*;

#[test]
fn a_second_agent_is_told_who_holds_the_storage() {
    let mut instance = Instance::small();
    instance.storage.note_address("127.0.0.1:8101");
    let Err(StartError::Held(holder)) = Storage::open(instance.settings()) else { panic!("a second agent started") };
    assert!(holder.contains(&format!("process {}", std::process::id())), "{holder}");
    assert!(holder.contains("127.0.0.1:8101"), "{holder}");
    instance.reopen();
}

#[test]
fn an_instance_keeps_its_id_and_a_clone_gets_its_own() {
    let mut instance = Instance::small();
    let id = instance.storage.instance().to_owned();
    let token = instance.grant();
    instance.reopen();
    assert_eq!(instance.storage.instance(), id);
    instance.storage.close();
    let clone = instance.root.with_file_name("clone");
    let copied = std::process::Command::new("cp").arg("-a").arg(&instance.root).arg(&clone).status().unwrap();
    assert!(copied.success());
    let cloned = Storage::open(StorageSettings { root: clone, ..instance.settings() }).unwrap();
    assert_ne!(cloned.instance(), id);
    let renewal = protocol::api::RenewGrant { token };
    assert!(cloned.renew_grant(&renewal).is_err());
    // Moved, it is the same one.
    let moved = instance.root.with_file_name("moved");
    std::fs::rename(&instance.root, &moved).unwrap();
    let storage = Storage::open(StorageSettings { root: moved, ..instance.settings() }).unwrap();
    assert_eq!(storage.instance(), id);
    storage.renew_grant(&renewal).unwrap();
}

#[test]
fn what_is_no_cockpit_or_keeps_its_data_elsewhere_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let opened = Storage::open(StorageSettings::new(directory.path()));
    assert!(matches!(opened, Err(StartError::NotACockpit(_))));
    let instance = Instance::small();
    instance.storage.close();
    std::fs::create_dir_all(instance.root.join("config")).unwrap();
    let config = "<?php return ['database' => ['server' => 'mongodb://localhost:27017', 'options' => ['db' => 'x']]];";
    std::fs::write(instance.root.join("config/config.php"), config).unwrap();
    let Err(error) = Storage::open(instance.settings()) else { panic!("MongoDB was accepted") };
    assert!(error.to_string().to_lowercase().contains("mongo"), "{error}");
}

#[test]
fn the_version_and_the_key_are_read_from_cockpits_own_files() {
    let mut instance = Instance::small();
    std::fs::write(instance.root.join("bootstrap.php"), "<?php\n\nconst APP_VERSION = '2.13.2';\n").unwrap();
    instances::with_sync_key(&instance.root, "a key of twenty characters").unwrap();
    instance.reopen();
    assert_eq!(instance.storage.version_for_check().as_deref(), Some("2.13.2"));
    assert_eq!(instance.storage.config_key().as_deref(), Some("a key of twenty characters"));
}

#[test]
fn the_state_directory_is_closed_to_others_and_holds_nothing_cockpit_would_vacuum() {
    use std::os::unix::fs::PermissionsExt;
    let instance = Instance::small();
    let state = instance.root.join("storage/cockpit-sync");
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in std::fs::read_dir(state).unwrap() {
        assert!(!entry.unwrap().file_name().to_string_lossy().ends_with(".sqlite"));
    }
}

#[test]
fn a_lost_or_damaged_index_is_built_anew() {
    let mut instance = Instance::small();
    let before = instance.list(&items("posts")).entries.len();
    instance.storage.close();
    let index = instance.root.join("storage/cockpit-sync/index.db");
    for damage in [None, Some("not a database")] {
        match damage {
            None => std::fs::remove_file(&index).unwrap(),
            Some(text) => std::fs::write(&index, text).unwrap(),
        }
        instance.storage = Storage::open(instance.settings()).unwrap();
        assert_eq!(instance.list(&items("posts")).entries.len(), before);
        instance.storage.close();
    }
}
