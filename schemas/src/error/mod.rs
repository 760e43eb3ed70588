//! What goes wrong, as callers see it: refusals and faults as gRPC statuses, and what each code
//! means.

mod explain;
mod fault;
mod sentence;
mod status;
mod transport;

pub use explain::{Explanation, Kind, all as explanations, explain};
pub use fault::Fault;
pub use sentence::sentence;
pub use status::{
    DOMAIN, grpc_name, grpc_of, rejection_status, rejection_to_tonic, to_rpc_status, to_tonic,
};
pub use transport::of_transport;
