//! What travels: job payloads, agent requests and the client for them, events, document hashing, signing
