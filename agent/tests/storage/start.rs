//! What must hold before a storage is served.

use std::os::unix::fs::MetadataExt;

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

const ROOT_OF_ANOTHER_USER: &str = "COCKPIT_SYNC_TEST_ROOT_OF_ANOTHER_USER";

/// A user whom nothing belongs to.
const NOBODY: u32 = 65534;

#[test]
fn whoever_is_not_the_owner_is_refused_also_where_it_only_reads() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    if let Some(root) = std::env::var_os(ROOT_OF_ANOTHER_USER) {
        for read_only in [true, false] {
            let state_dir = Some(std::env::temp_dir());
            let opened = Storage::open(StorageSettings { read_only, state_dir, ..StorageSettings::new(&root) });
            let Err(StartError::NotOwner(message)) = opened else { panic!("a stranger was let in: {read_only}") };
            assert!(message.contains("run the agent as its owner"), "{message}");
        }
        println!("refused twice");
        return;
    }
    let instance = Instance::small();
    if std::fs::metadata(&instance.root).unwrap().uid() != 0 {
        println!("skipped: only root can start a process as another user");
        return;
    }
    instance.storage.close();
    for directory in instance.root.ancestors().filter(|directory| directory.starts_with(std::env::temp_dir())) {
        if directory != std::env::temp_dir() {
            std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    // Not where it lies, which that user may not be able to enter.
    let program = instance.root.with_file_name("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut child = std::process::Command::new(&program);
    child.args(["--exact", "start::whoever_is_not_the_owner_is_refused_also_where_it_only_reads", "--nocapture"]);
    child.env(ROOT_OF_ANOTHER_USER, &instance.root).current_dir("/").uid(NOBODY).gid(NOBODY);
    let output = child.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("refused twice"), "{told}");
}
