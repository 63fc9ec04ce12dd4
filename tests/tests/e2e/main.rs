//! End to end: everything real, from the plug-in's process to the kernel and the message bus.

mod check;
mod clients;
mod contract;
mod dbus;
mod durability;
mod misfits;
mod packages;
mod puppet;
mod reload;
mod restart;
mod start;
mod stop;
mod tree;
mod watchdog;

use libtest_mimic::Arguments;

fn main() -> std::process::ExitCode {
    let tests = [
        check::tests(),
        clients::tests(),
        contract::tests(),
        dbus::tests(),
        durability::tests(),
        misfits::tests(),
        packages::tests(),
        reload::tests(),
        restart::tests(),
        start::tests(),
        stop::tests(),
        tree::tests(),
        watchdog::tests(),
    ]
    .into_iter()
    .flatten()
    .collect();
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}
