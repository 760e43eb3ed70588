//! The example programs against the real server: whole processes, real files, real kills.

#![allow(clippy::unwrap_used)]

mod clients;
mod czech_bank;
mod recipes;
mod support;
