//! What codes mean. TEMP until schemas::error lands.
pub struct Explanation { pub code: &'static str, pub grpc: &'static str, pub meaning: &'static str, pub cause: &'static str, pub what_to_do: &'static str, pub retry: bool }
pub fn explain(code: &str) -> Option<Explanation> {
    ledger_core::rejection::Code::parse(code).map(|c| Explanation { code: c.as_str(), grpc: "", meaning: c.meaning(), cause: "", what_to_do: "", retry: false })
}
pub fn codes() -> Vec<&'static str> { ledger_core::rejection::Code::ALL.iter().map(|c| c.as_str()).collect() }
