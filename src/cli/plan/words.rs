//! One change of a plan for people.

use producer::{Change, FieldChange};

/// Values are cut after so many characters.
const SHOWN: usize = 100;

/// `update content posts 6b02...: title (Deutsch): "old" -> "new"`, a field a line.
pub fn change(change: &Change) -> String {
    let name = if change.resource == change.model { String::new() } else { format!(" {}", change.model) };
    let mut text = format!("{} {}{name} {}", change.change, change.resource, change.identity);
    if let Some(conflict) = &change.conflict {
        text += &format!("\n    {conflict}");
    }
    if let Some(why) = &change.held {
        text += &format!("\n    {why}");
    }
    for field in change.fields.iter().flatten() {
        text += &format!("\n    {}", field_in_words(field));
    }
    text
}

fn field_in_words(change: &FieldChange) -> String {
    let locale = change.locale.as_ref().map(|locale| format!(" ({locale})")).unwrap_or_default();
    let name = format!("{}{locale}", change.field);
    if let Some(text) = &change.text {
        let lines: Vec<String> = text.lines().map(|line| format!("        {line}")).collect();
        return format!("{name}:\n{}", lines.join("\n"));
    }
    let shown = |value: &Option<serde_json::Value>| match value {
        None => "(not there)".to_owned(),
        Some(value) => {
            let text = value.to_string();
            match text.char_indices().nth(SHOWN) {
                Some((cut, _)) => format!("{}...", &text[..cut]),
                None => text,
            }
        }
    };
    format!("{name}: {} -> {}", shown(&change.old), shown(&change.new))
}
