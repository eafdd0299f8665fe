//! The host's program, as `host/src/main.rs` has it, for tests that run it.

fn main() -> std::process::ExitCode {
    host::cli::main()
}
