//! Tests of the machine, without any I/O.

mod naive;
mod order;
mod simulation;
mod world;
