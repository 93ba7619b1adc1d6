//! The program `stead`: the server with the built-in classes, and the command line.

use std::process::ExitCode;

use stead::class::Classes;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    stead::cli::main(Classes::builtin())
}
