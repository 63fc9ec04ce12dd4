//! The plug-in contract as a plug-in sees it: which arguments arrive, and what its answers, its
//! exceptions and its abilities lead to at every door.

mod abilities;
mod access;
mod answers;
mod errors;
mod handles;
mod memory;
mod methods;
mod modules;
mod rows;

use libtest_mimic::Trial;
use tests::need::{Need, Python, test};

/// A test under both Pythons.
fn both(name: &str, body: fn(Python)) -> Vec<Trial> {
    let each = Python::ALL.into_iter().map(|python| {
        let needs = [Need::Fuse, Need::Dbus, Need::Tool("gdbus"), Need::Python(python)];
        test(format!("{name}_under_{}", python.name()), &needs, move || body(python))
    });
    each.collect()
}

pub fn tests() -> Vec<Trial> {
    let all = [Need::Fuse, Need::Dbus, Need::Python(Python::Two), Need::Python(Python::Three)];
    let tests = [
        both("every_command_reaches_its_method_with_its_arguments", methods::commands),
        both("abilities_decide_before_the_plug_in_is_called", abilities::decide),
        both("every_field_is_held_to_its_rule_and_reported_once", answers::fields),
        both("every_exception_class_arrives_as_its_row_of_the_table", errors::classes),
        both("what_is_no_exception_of_the_method_is_a_plug_in_fault", errors::faults),
        both("words_of_any_script_arrive_whole", errors::scripts),
        both("the_access_context_has_the_form_that_the_plug_in_reads", access::forms),
        both("passwords_that_the_service_manager_brings_are_not_kept", access::credentials),
        both("a_handle_of_any_bytes_goes_back_and_nowhere_else", handles::bytes),
        both("the_handle_of_a_file_goes_back_too_and_its_file_system_stays", handles::files),
        both("the_limits_of_one_module_are_its_own", memory::limits),
        both("a_killed_agent_leaves_the_operation_interrupted", handles::killed),
        both("nothing_of_a_call_is_there_in_the_next", memory::stateless),
        both("a_new_version_serves_new_calls_and_the_old_one_those_in_flight", modules::replaced),
    ];
    let mut tests: Vec<Trial> = tests.into_iter().flatten().collect();
    tests.push(test("the_cache_is_one_for_calls_workers_and_interpreters", &all, memory::cache));
    tests
}
