//! API messages as JSON, in protobuf's own mapping (RFC 3339 times, base64 bytes, names of enum
//! values), with field names as the .proto files spell them.

use std::sync::LazyLock;

use ledger_core::invalid::Invalid;
use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};
use serde_json::Value;

use crate::FILE_DESCRIPTOR_SET;

/// Every message of the API, and the details that its errors carry.
static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("made by the build script")
});

/// Every message, service and enum of the API, for those who work on descriptions of it.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

fn descriptor(full_name: &str) -> Result<MessageDescriptor, Invalid> {
    POOL.get_message_by_name(full_name)
        .ok_or_else(|| Invalid::new(format!("{full_name} is no message of the API")))
}

/// `message`, which is a `full_name` (`daybook.v1.Receipt`), as JSON. Fields with their default
/// value are left out.
///
/// # Errors
/// [`Invalid`] when `full_name` is no message of the API, or `message` is another one.
pub fn to_json(full_name: &str, message: &impl Message) -> Result<Value, Invalid> {
    let bytes = message.encode_to_vec();
    let dynamic = DynamicMessage::decode(descriptor(full_name)?, &bytes[..])
        .map_err(|error| Invalid::new(format!("not a {full_name}: {error}")))?;
    let options = SerializeOptions::new().use_proto_field_name(true);
    dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|error| Invalid::new(format!("a {full_name} that JSON cannot say: {error}")))
}

/// The `full_name` that `json` says. Names of fields may be spelled as in the .proto files or in
/// camelCase; unknown ones are refused.
///
/// # Errors
/// [`Invalid`] says what is wrong with `json`.
pub fn from_json<M: Message + Default>(full_name: &str, json: &Value) -> Result<M, Invalid> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let dynamic = DynamicMessage::deserialize_with_options(descriptor(full_name)?, json, &options)
        .map_err(|error| Invalid::new(format!("not a {full_name}: {error}")))?;
    dynamic
        .transcode_to()
        .map_err(|error| Invalid::new(format!("not a {full_name}: {error}")))
}
