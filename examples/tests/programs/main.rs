//! The example programs against the real server: whole processes, real files, real kills.

mod clients;
mod czech_bank;
mod recipes;
mod support;
