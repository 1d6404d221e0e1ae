//! An agent over real HTTP: what it refuses and how it says so, and what a client takes for an answer.
#![expect(clippy::unwrap_used, reason = "tests")]

mod audit;
mod bodies;
mod check;
mod clocks;
mod fixture;
mod foreign;
mod keys;
mod lifecycle;
mod rates;
mod refusals;
mod rules;
mod signed;
mod stand_in;
mod tls;
