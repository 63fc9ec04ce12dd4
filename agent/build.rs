//! Builds the crate again when a file of the embedded Python code appears or goes: the compiler
//! itself only notices when one changes.

fn main() {
    println!("cargo:rerun-if-changed=python");
    println!("cargo:rerun-if-changed=plugins");
    println!("cargo:rerun-if-changed=build.rs");
}
