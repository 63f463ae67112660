//! The binary: hands the arguments over and returns the exit code.

fn main() -> std::process::ExitCode {
    orca::run(std::env::args_os())
}
