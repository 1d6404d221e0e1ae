//! The parts of the program by which logs are chosen: `--log sync=debug`.

use tracing_subscriber::filter::{EnvFilter, ParseError};

/// Each channel with what it consists of, as `tracing` has it; the first that fits counts.
const CHANNELS: [(&str, &[&str]); 6] = [
    ("notify", &["notifying", "cockpit_sync_producer::notifications"]),
    ("agent", &["cockpit_sync_agent"]),
    ("listening", &["listening"]),
    ("queue", &["queue"]),
    ("serve", &["serve"]),
    (
        "sync",
        &[
            "cockpit_sync::",
            "cockpit_sync_worker",
            "cockpit_sync_producer",
            "cockpit_sync_protocol",
            "cockpit_sync_comparing",
        ],
    ),
];

/// The channel of what a module says; None when it is no part of this program.
pub fn channel_of(target: &str) -> Option<&'static str> {
    let is_part = |part: &&str| {
        let rest = target.strip_prefix(*part);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::") || part.ends_with("::"))
    };
    CHANNELS.iter().find(|(_, parts)| parts.iter().any(is_part)).map(|(name, _)| *name)
}

/// What others say and our own errors repeat: a certificate that is not believed.
const REPEATED: &str = "rustls_platform_verifier=off";

/// A filter as in `RUST_LOG`, in which channels are named, too: `warn,sync=debug`.
pub fn filter(wanted: &str) -> Result<EnvFilter, ParseError> {
    let directives = wanted.split(',').flat_map(|directive| spelled_out(directive.trim()));
    // Of two directives about the same the last one counts.
    let directives: Vec<String> = std::iter::once(REPEATED.to_owned()).chain(directives).collect();
    EnvFilter::try_new(directives.join(","))
}

/// A directive about a channel is one about each of its parts.
fn spelled_out(directive: &str) -> Vec<String> {
    let (name, level) = directive.split_once('=').unwrap_or((directive, "trace"));
    match CHANNELS.iter().find(|(channel, _)| *channel == name) {
        Some((_, parts)) => parts.iter().map(|part| format!("{part}={level}")).collect(),
        None => vec![directive.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_module_is_in_one_channel_and_a_channel_stands_for_its_modules() {
        assert_eq!(channel_of("cockpit_sync_worker::executor"), Some("sync"));
        assert_eq!(channel_of("cockpit_sync::cli::worker"), Some("sync"));
        assert_eq!(channel_of("cockpit_sync_agent::server"), Some("agent"));
        assert_eq!(channel_of("queue::consumer"), Some("queue"));
        assert_eq!(channel_of("queued::of::others"), None);
        let known = |name: &&str| CHANNELS.iter().any(|(channel, _)| channel == name);
        assert!(CHANNELS.len() == protocol::log::CHANNELS.len() && protocol::log::CHANNELS.iter().all(known));
        assert_eq!(channel_of("cockpit_sync_producer::notifications"), Some("notify"));
        let filter = filter("warn,sync=debug,hyper=off").expect("a filter").to_string();
        for part in ["warn", "cockpit_sync_worker=debug", "cockpit_sync::=debug", "hyper=off"] {
            assert!(filter.split(',').any(|directive| directive == part), "{part} is missing in {filter}");
        }
        assert!(!filter.contains("agent"), "{filter}");
    }
}
