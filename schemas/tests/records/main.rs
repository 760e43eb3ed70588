//! Records: what is encoded is decoded, whatever it is; damaged bytes are refused.

mod arbitrary;
mod damage;
mod golden;
mod roundtrip;
