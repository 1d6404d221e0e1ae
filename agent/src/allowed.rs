//! Which models an agent serves: those that may be read, and those that may be written.

use protocol::api::{AgentError, ErrorCode};

/// Names of models, and of add-ons' collections; all when none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedModels {
    /// Their content may leave this instance.
    pub read: Option<Vec<String>>,
    /// Their documents and definitions may be changed.
    pub write: Option<Vec<String>>,
}

impl AllowedModels {
    /// These may be read and written, and no others.
    pub fn only(names: Vec<String>) -> Self {
        Self { read: Some(names.clone()), write: Some(names) }
    }

    pub fn may_read(&self, name: &str) -> bool {
        names(self.read.as_deref(), name)
    }

    pub fn may_write(&self, name: &str) -> bool {
        names(self.write.as_deref(), name)
    }

    /// It is known here at all: it can be counted and compared, as whoever writes must.
    pub fn serves(&self, name: &str) -> bool {
        self.may_read(name) || self.may_write(name)
    }

    /// Those that are served; all when none.
    pub fn served(&self) -> Option<Vec<String>> {
        let (read, write) = (self.read.as_ref()?, self.write.as_ref()?);
        let more = write.iter().filter(|name| !read.contains(name));
        Some(read.iter().chain(more).cloned().collect())
    }
}

/// It is served, and its content is not.
pub(crate) fn unreadable(name: &str) -> AgentError {
    let message = format!("{name} is not among the models whose content this agent's own config lets anybody read");
    AgentError::new(ErrorCode::Forbidden, message)
}

fn names(list: Option<&[String]>, name: &str) -> bool {
    list.is_none_or(|list| list.iter().any(|listed| listed == name))
}
