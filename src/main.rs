//! The `spatten` binary: everything it does lives in the library.

fn main() -> std::process::ExitCode {
    spatten::cli::main()
}
