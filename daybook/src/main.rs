//! The one binary.

/// Messages of thousands of commands are made and dropped on several threads all the time; the
/// system's allocator takes a fifth of the server's time for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    daybook::cli::main()
}
