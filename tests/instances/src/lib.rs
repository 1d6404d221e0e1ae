//! Makes, changes and compares Cockpit instances in Cockpit's own storage format, independently of the agent
