//! Gives way to the writer.

/// Lowers the priority of the calling thread and of all threads that it starts: the writer
/// comes first where there are too few cores for both. What it costs is freshness alone, and a
/// projection that is far behind takes bigger stretches, which are cheaper.
#[cfg(target_os = "linux")]
pub(crate) fn lower() {
    const NICE: i32 = 5;
    // On Linux `None` means the calling thread, not the process.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "the projector keeps its priority");
    }
}

/// Other systems have no such call for one thread.
#[cfg(not(target_os = "linux"))]
pub(crate) fn lower() {}
