//! What stops a command, in words, and which exit code that is.

/// Why a command did not do what was asked. The kind decides the exit code.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    pub kind: ProblemKind,
    /// What is wrong and what to do.
    pub message: String,
}

/// The documented kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// The command or the config is wrong.
    Usage,
    /// Somebody or something does not allow it: a lock, a guard, a permission.
    Refused,
    /// An agent, Redis or a worker cannot be reached.
    Unreachable,
    /// The run was lost or cancelled.
    Lost,
    /// It was tried and failed.
    Failed,
}

impl ProblemKind {
    /// The documented exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 4,
            Self::Unreachable => 5,
            Self::Lost => 6,
        }
    }

    /// Its name in `{"error":{"code"}}`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Lost => "lost",
        }
    }
}

impl Problem {
    pub fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Usage, message)
    }

    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Refused, message)
    }

    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Unreachable, message)
    }
}

impl From<queue::Error> for Problem {
    fn from(error: queue::Error) -> Self {
        let kind = match &error {
            queue::Error::Invalid(_) | queue::Error::Unsuitable(_) | queue::Error::Denied(_) => ProblemKind::Usage,
            queue::Error::Full => ProblemKind::Refused,
            queue::Error::UnknownRun(_) => ProblemKind::Lost,
            _ => ProblemKind::Unreachable,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<protocol::client::CallError> for Problem {
    fn from(error: protocol::client::CallError) -> Self {
        use protocol::client::CallError;
        let kind = match &error {
            CallError::BadUrl { .. } => ProblemKind::Usage,
            CallError::Refused { .. } | CallError::WrongKey { .. } => ProblemKind::Refused,
            _ => ProblemKind::Unreachable,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<protocol::directory::UnknownInstance> for Problem {
    fn from(error: protocol::directory::UnknownInstance) -> Self {
        Self::usage(error.to_string())
    }
}
