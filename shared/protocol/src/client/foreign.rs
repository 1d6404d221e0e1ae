//! Answers that no agent signed for us: whose they seem to be, and what that means for the request.
//!
//! Nothing in here may turn into data: what it reads ends in messages for a person (I11).

use super::answer::RawAnswer;
use super::{AGENT_HEADER, AGENT_HEADER_VALUE, ANSWER_HEADER, BaseUrl, CallError};
use crate::sign::SyncKey;

/// So much of a foreign text is shown.
const SHOWN_CHARACTERS: usize = 120;

pub(super) fn classify(
    instance: &str,
    base_url: &BaseUrl,
    key: &SyncKey,
    sent: usize,
    answer: &RawAnswer,
) -> CallError {
    let (instance, url) = (instance.to_owned(), base_url.to_string());
    let from_agent = answer.header(AGENT_HEADER) == Some(AGENT_HEADER_VALUE);
    match answer.status {
        // Whoever has one of its keys gets signed answers, also the one that says to come back later.
        status @ (401 | 429) if from_agent && (status == 401 || answer.header(ANSWER_HEADER).is_none()) => {
            CallError::WrongKey { instance, url, key_id: key.id().into(), says: looks_of(answer) }
        }
        413 => CallError::ForeignTooLarge { instance, url, sent },
        429 | 503 => {
            let says = format!("{}, {}", answer.status, looks_of(answer));
            CallError::Busy { instance, retry_after: answer.retry_after(), says }
        }
        // A proxy lost sight of the request: 502, 504, and the 52x of content delivery networks.
        500..=599 => CallError::Unknown { instance, url, cause: format!("{}, {}", answer.status, looks_of(answer)) },
        status => CallError::NotAnAgent { instance, url, status, looks: looks_of(answer) },
    }
}

/// What an unsigned answer looks like, for a person.
fn looks_of(answer: &RawAnswer) -> String {
    if answer.header(ANSWER_HEADER).is_some() {
        return "signed, but the signature does not fit: something changed the answer on its way".into();
    }
    if (300..400).contains(&answer.status) {
        let to = answer.header("location").map_or_else(|| "nowhere".into(), shown);
        return format!("it redirects to {to} (redirects are not followed: use the final URL)");
    }
    if answer.status == 401 && answer.header("www-authenticate").is_some_and(|how| how.starts_with("Basic")) {
        return "a web server asks for a user and password; let /api/sync/ pass without".into();
    }
    if answer.body.is_empty() {
        return match answer.status {
            404 => "an empty page, as Cockpit itself answers what it does not know".into(),
            _ => "an empty page".into(),
        };
    }
    let text = String::from_utf8_lossy(&answer.body[..answer.body.len().min(64 * 1024)]);
    if let Some(message) = message_in_json(&text) {
        return format!("{:?}", shown(&message));
    }
    if let Some(title) = title_in_html(&text) {
        return format!("a web page called {:?}", shown(title));
    }
    match answer.header("content-type") {
        Some(kind) => format!("{} bytes of {}", answer.body.len(), shown(kind)),
        None => format!("{} bytes of an unknown kind", answer.body.len()),
    }
}

/// `{"message":...}` is what an agent says to strangers, `{"error":...}` what Cockpit says.
fn message_in_json(text: &str) -> Option<String> {
    let value: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    ["message", "error"].iter().find_map(|field| value.get(*field)?.as_str().map(str::to_owned))
}

fn title_in_html(text: &str) -> Option<&str> {
    let lower = text.to_ascii_lowercase();
    let start = lower.find("<title>")? + "<title>".len();
    let end = start + lower[start..].find("</title>")?;
    Some(text[start..end].trim())
}

/// Foreign text goes to terminals and logs: no control characters, not too much.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARACTERS).collect();
    if text.chars().nth(SHOWN_CHARACTERS).is_some() {
        shown.push_str("...");
    }
    shown
}
