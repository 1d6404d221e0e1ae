//! Runs, jobs, leases, ledger and events on Redis Streams
