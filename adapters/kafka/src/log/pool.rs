//! The consumers that reads of the log share: a few, since each has threads and memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ports::log::LogError;
use tokio::sync::Semaphore;

use super::stream::Stream;
use crate::connection::Connection;

/// Reads at a time.
const STREAMS_MAX: usize = 4;
/// A stream that fetched ahead for nobody so long stops.
const IDLE: Duration = Duration::from_secs(2);

/// See the module.
pub(crate) struct Pool {
    connection: Connection,
    log: [u8; 4],
    idle: Mutex<Vec<Stream>>,
    permits: Semaphore,
}

impl Pool {
    /// A pool without streams: they are made when they are needed.
    pub(crate) fn new(connection: Connection, log: [u8; 4]) -> Self {
        Self {
            connection,
            log,
            idle: Mutex::default(),
            permits: Semaphore::new(STREAMS_MAX),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Stream>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `job` with a stream, on a thread that may block: one that stands where `shard` is to
    /// be read from `from` on, where there is one.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        shard: u32,
        from: i64,
        job: impl FnOnce(&mut Stream) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let closed = |_| LogError::Unusable("the log was closed".to_owned());
        let pool = Arc::clone(self);
        let permit = self.permits.acquire().await.map_err(closed)?;
        let done = tokio::task::spawn_blocking(move || pool.run_here(shard, from, job)).await;
        drop(permit);
        done.unwrap_or_else(|error| {
            Err(LogError::Unavailable(format!(
                "reading the log did not end: {error}"
            )))
        })
    }

    /// The same on this very thread, which may block.
    pub(crate) fn run_here<T>(
        &self,
        shard: u32,
        from: i64,
        job: impl FnOnce(&mut Stream) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let mut stream = match self.take(shard, from) {
            Some(stream) => stream,
            None => Stream::new(&self.connection, self.log)?,
        };
        let result = job(&mut stream);
        if !stream.stands_anywhere() {
            stream.rest();
        }
        let mut idle = self.idle();
        if idle.len() < STREAMS_MAX {
            idle.push(stream);
        }
        result
    }

    fn take(&self, shard: u32, from: i64) -> Option<Stream> {
        let mut idle = self.idle();
        let best = idle
            .iter()
            .position(|stream| stream.stands_at(shard, from))
            .or_else(|| idle.iter().position(|stream| !stream.stands_anywhere()))
            // Others go on being of use to whoever reads on with them, where there is room.
            .or((idle.len() >= STREAMS_MAX).then_some(0));
        best.map(|at| idle.remove(at))
    }

    /// Lets streams rest that nobody reads on with.
    pub(crate) fn sweep(&self) {
        for stream in self.idle().iter_mut() {
            if stream.used.elapsed() > IDLE {
                stream.rest();
            }
        }
    }

    /// Closes all streams that are not in use; may block.
    pub(crate) fn close(&self) {
        self.permits.close();
        let streams = std::mem::take(&mut *self.idle());
        drop(streams);
    }
}
