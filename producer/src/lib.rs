//! What a run consists of, and how it is enqueued
