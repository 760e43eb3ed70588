//! The servers of the stack, for one test at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use xtask::stack::{Health, Server, Stack};

/// Set by whoever started the stack for these tests alone.
pub const MAY_BE_HURT: &str = "DAYBOOK_STACK_MAY_BE_HURT";

/// Each test hurts servers that all the others need.
static TURN: Mutex<()> = Mutex::new(());

/// The stack, all of it running. Whatever a test did to it is mended when this is dropped.
pub struct Servers {
    stack: Stack,
    _turn: MutexGuard<'static, ()>,
}

impl Servers {
    /// Waits for its turn.
    pub fn take() -> Self {
        assert!(
            std::env::var_os(MAY_BE_HURT).is_some(),
            "{MAY_BE_HURT} is not set: these tests kill the servers that they are given. Run them \
             by cargo xtask test or cargo xtask chaos, or start a stack for them alone and set it"
        );
        // A test that failed has mended its servers all the same.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let servers = Self {
            stack: Stack::from_env().unwrap(),
            _turn: turn,
        };
        servers.mend();
        servers
    }

    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Kills one, and starts it again after `meanwhile`.
    pub fn restart(&self, server: Server, meanwhile: impl FnOnce()) {
        self.stack.kill(server).unwrap();
        meanwhile();
        self.stack.start(server).unwrap();
    }

    /// Everything runs again.
    pub fn mend(&self) {
        let health = self.stack.health().unwrap();
        for server in Server::ALL {
            match health[&server] {
                Health::Ready => {}
                Health::Silent => {
                    self.stack.resume(server).ok();
                }
                Health::Down => self.stack.start(server).unwrap(),
            }
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Its own failure is what is to be told.
            let mended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.mend()));
            if mended.is_err() {
                eprintln!("the servers could not be mended");
            }
        } else {
            self.mend();
        }
    }
}
