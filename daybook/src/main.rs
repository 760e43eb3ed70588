//! The one binary.

fn main() -> std::process::ExitCode {
    daybook::cli::main()
}
