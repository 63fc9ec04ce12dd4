//! `oscctl`: administers the storage agent of this host over D-Bus.

fn main() {
    // Threads that are stuck in the kernel must not hold the program: exit, do not return.
    std::process::exit(agent::cli::run().into())
}
