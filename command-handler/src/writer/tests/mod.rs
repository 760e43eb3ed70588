//! Tests of the machine, without any I/O.

mod naive;
mod order;
mod simulation;
pub(crate) mod world;
