//! Tables as people see them.

use super::*;
use serde_json::json;

fn element(record: Value) -> Entry {
    Entry { id: bare(&record["uuid"]), record, ..Entry::default() }
}

#[test]
fn sizes_have_iec_units_and_one_decimal() {
    let cases = [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024 * 1024 - 1, "1.0 MiB"),
        (10 << 30, "10.0 GiB"),
        (u64::MAX, "16.0 EiB"),
    ];
    for (number, text) in cases {
        assert_eq!(iec(number), text);
    }
    assert_eq!((bytes(&json!(-1)), bytes(&Value::Null)), (String::new(), String::new()));
}

#[test]
fn a_table_is_aligned_and_one_line_an_object() {
    let rows = [
        element(
            json!({"name": "vol0", "se_type": "LUN", "size": 10_u64 << 30, "state": "ONLINE", "uuid": "u1"}),
        ),
        element(
            json!({"name": "a much longer name", "se_type": "LUN", "size": 512, "state": "OFFLINE", "uuid": "u2"}),
        ),
    ];
    let right = "NAME                TYPE      SIZE  STATE    ID\n\
                 vol0                LUN   10.0 GiB  ONLINE   u1\n\
                 a much longer name  LUN      512 B  OFFLINE  u2\n";
    assert_eq!(table(ELEMENTS, &rows), right);
    assert_eq!(table(ELEMENTS, &[]), "");
}

#[test]
fn a_snapshot_shows_its_parent_wherever_the_plug_in_says_it() {
    for record in [
        json!({"se_type": "Snap", "parent_id": "vol0"}),
        json!({"se_type": "Snap", "parent": "vol0"}),
        json!({"se_type": "Snap", "extra_info": "pool=a, parent=vol0"}),
    ] {
        assert_eq!(parent(&record), "vol0");
        assert!(table(ELEMENTS, &[element(record)]).contains("PARENT"));
    }
}

#[test]
fn a_clone_that_was_split_off_has_no_parent() {
    let clone = |kind: &str| json!({"se_type": kind, "extra_info": "cloned_from=vol0"});
    assert_eq!((parent(&clone("Clone")), parent(&clone("LUN"))), ("vol0".into(), String::new()));
}

#[test]
fn a_server_is_told_of_whole_also_in_the_answer_of_a_command() {
    let record = json!({"name": "lab", "uuid": "u1", "storage_type": "SAN"});
    let answer = table(SERVERS, &[Entry { record: record.clone(), ..Entry::default() }]);
    assert!(answer.contains("u1") && !answer.contains("PLUGIN"), "{answer}");
    let plugin = json!("/org/storageconnect/Agent1/plugin/acme_2earray_2eArray_2eArray");
    let erased = Entry { record, more: [("Plugin".to_owned(), plugin)].into(), ..Entry::default() };
    assert!(table(SERVERS, &[erased]).contains("acme.array.Array.Array"));
}

#[test]
fn names_cannot_play_tricks_with_the_terminal() {
    let text = table(ELEMENTS, &[element(json!({"name": "a\u{1b}[2J\nb\tc", "uuid": "u"}))]);
    assert_eq!(text.lines().count(), 2);
    assert!(text.contains("a?[2J?b?c"), "{text}");
}

#[test]
fn a_long_value_is_not_wrapped() {
    let name = "x ".repeat(500);
    let text = table(ELEMENTS, &[element(json!({"name": name, "uuid": "u"}))]);
    assert_eq!(text.lines().count(), 2);
}

#[test]
fn every_sort_of_record_is_told_from_the_others() {
    use crate::record::{self, Dict, View};
    fn sort<T: Dict>() -> &'static str {
        let mut record = T::default();
        for (index, _) in T::FIELDS.iter().enumerate() {
            for value in [json!("1"), json!(1), json!(["1"]), json!("ONLINE")] {
                if record.set(index, &value).is_ok() {
                    break;
                }
            }
        }
        let value = record.to_value(View::Public);
        columns_for(&value).map_or("", |columns| columns[0].head)
    }
    let heads = [sort::<record::File>(), sort::<record::Mount>(), sort::<record::AccessGroup>()];
    assert_eq!(heads, ["PATH", "MOUNT POINT", "GROUP"]);
    assert_eq!(sort::<record::BackingDevice>(), "NAME");
    let heads = |columns: &[Column]| columns.iter().map(|column| column.head).collect::<Vec<_>>();
    for (record, columns) in [
        (json!({"se_type": "LUN", "name": "a"}), ELEMENTS),
        (json!({"name": "a", "mount_options": [], "size": 1}), FILE_SYSTEMS),
        (json!({"name": "a", "storage_type": "SAN", "total_sz": 1}), SERVERS),
    ] {
        assert_eq!(columns_for(&record).map(heads), Some(heads(columns)));
    }
}

#[test]
fn details_give_sizes_twice_and_leave_out_what_is_unset() {
    let record = json!({"name": "a", "size": 1_u64 << 20, "status": "", "path": ["/dev/sda", "/dev/sdb"]});
    let text = pairs(&fields(&record));
    assert_eq!(text, "name:  a\nsize:  1.0 MiB (1048576 bytes)\npath:  /dev/sda, /dev/sdb\n");
}
