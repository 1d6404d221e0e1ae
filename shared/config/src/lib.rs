//! The file cockpit-sync.toml
