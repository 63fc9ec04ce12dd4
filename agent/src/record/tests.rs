use proptest::prelude::*;
use serde_json::json;

use super::*;

fn any_text() -> impl Strategy<Value = Value> {
    "[^\u{0}]{1,24}".prop_map(Value::from)
}

/// A value that a field of `ty` prints for the wire, and so must read back unchanged.
fn value_of(ty: Type) -> BoxedStrategy<Value> {
    match ty {
        Type::String | Type::Secret => any_text().boxed(),
        Type::Uuid => any::<u128>().prop_map(|n| Value::from(uuid::Uuid::from_u128(n).to_string())).boxed(),
        Type::Integer => any::<i64>().prop_map(Value::from).boxed(),
        Type::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Type::StringList => proptest::collection::vec(any_text(), 0..4).prop_map(Value::from).boxed(),
        Type::DictList => Just(json!([])).boxed(),
        Type::SeState => (0..8_u8).prop_map(Value::from).boxed(),
        Type::FsState => (0..5_u8).prop_map(Value::from).boxed(),
        Type::Devices => {
            prop_oneof![any_text(), proptest::collection::vec(any_text(), 0..3).prop_map(Value::from)].boxed()
        }
        Type::Opaque => prop_oneof![any_text(), Just(json!({"$bytes": "gAJ9"}))].boxed(),
    }
}

fn record_of<T: Dict>() -> impl Strategy<Value = Value> {
    let fields: Vec<_> = T::FIELDS
        .iter()
        .map(|field| {
            proptest::option::of(value_of(field.ty))
                .prop_map(|value| value.map(|value| (field.name.to_owned(), value)))
        })
        .collect();
    let extra = proptest::collection::btree_map("x_[a-z]{1,6}", any_text(), 0..3);
    (fields, extra)
        .prop_map(|(fields, extra)| fields.into_iter().flatten().chain(extra).collect::<Map<_, _>>().into())
}

fn parse_after_print_is_the_identity<T: Dict>(value: &Value) -> Result<(), TestCaseError> {
    let (record, problems) = T::parse(value);
    prop_assert!(problems.is_empty(), "{problems:?}");
    prop_assert_eq!(&record.to_value(View::Wire), value);
    let (again, _) = T::parse(&record.to_value(View::Wire));
    prop_assert_eq!(again, record);
    Ok(())
}

macro_rules! identity {
    ($($test:ident: $dict:ty;)*) => {
        proptest! {
            $(#[test] fn $test(value in record_of::<$dict>()) {
                parse_after_print_is_the_identity::<$dict>(&value)?;
            })*
        }
    };
}

identity! {
    a_storage_server_reads_back_what_it_printed: StorageServer;
    an_access_descriptor_reads_back_what_it_printed: AccessDescriptor;
    an_access_group_reads_back_what_it_printed: AccessGroup;
    a_volume_group_reads_back_what_it_printed: VolumeGroup;
    a_qos_value_reads_back_what_it_printed: QosValue;
    a_storage_element_reads_back_what_it_printed: StorageElement;
    a_file_system_reads_back_what_it_printed: FileSystem;
    a_file_reads_back_what_it_printed: File;
    a_mount_reads_back_what_it_printed: Mount;
    a_backing_device_reads_back_what_it_printed: BackingDevice;
}

proptest! {
    #[test]
    fn a_secret_is_never_printed(secret in "[A-Z]{12}", nested in "[A-Z]{12}") {
        let (record, _) = StorageServer::parse(&json!({
            "name": "a", "admin_passwd": secret, "passwd": secret, "my_password": secret,
            "access_descriptors": [{"access_host": "h", "passwd": nested}],
        }));
        let shown = format!("{} {record:?}", record.to_line());
        prop_assert!(!record.to_line().contains(&secret) && !shown.contains(&nested));
        prop_assert_eq!(&record.to_value(View::Wire)["access_descriptors"][0]["passwd"], &Value::from(nested));
    }
}

#[test]
fn the_edge_accepts_what_real_clients_send() {
    let (record, problems) = StorageElement::parse(&json!({
        "uuid": "0004FB00000500001E3C9D6A2C5B7F10", "size": "263166853120", "state": "7",
        "id": "", "vol_group_name": "", "path": "/dev/sda", "status": "",
    }));
    assert_eq!(problems, vec![]);
    assert_eq!(record.uuid.map(|u| u.to_string()).as_deref(), Some("0004fb00-0005-0000-1e3c-9d6a2c5b7f10"));
    assert_eq!(record.size, Some(263_166_853_120));
    assert_eq!(record.state, Some(SeState::Online));
    assert_eq!((record.id, record.vol_group_name), (None, None));
    assert_eq!(record.path, Some(vec!["/dev/sda".to_owned()]));
    assert_eq!(record.status.as_deref(), Some(""));
}

#[test]
fn a_bad_value_is_told_by_field_and_changes_nothing_else() {
    let (record, problems) = StorageElement::parse(
        &json!({"size": "99999999999999999999", "name": "a", "uuid": "zz", "state": 12}),
    );
    let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["size", "uuid", "state"]);
    assert_eq!((record.name.as_deref(), record.size), (Some("a"), None));
}

#[test]
fn a_plug_in_changes_only_what_the_specification_lets_it() {
    let (mut known, _) =
        StorageElement::parse(&json!({"name": "a", "size": 1, "extra_info": "x=1", "vendor_key": 1}));
    let (answer, _) = StorageElement::parse(
        &json!({"name": "b", "size": 2, "extra_info": "x=2", "ss_uuid": uuid::Uuid::nil().to_string()}),
    );
    let problems: Vec<_> = known.merge(&answer).into_iter().map(|p| p.field).collect();
    assert_eq!(problems, ["name", "extra_info"]);
    assert_eq!(
        (known.name.as_deref(), known.size, known.extra_info.as_deref()),
        (Some("a"), Some(2), Some("x=1"))
    );
    assert_eq!(known.ss_uuid, Some(uuid::Uuid::nil()));
    assert!(known.extra.is_empty());
}

#[test]
fn transient_fields_reach_the_plug_in_and_nobody_else() {
    let handle = json!({"$bytes": "gAJ9cQEu"});
    let (record, _) = StorageElement::parse(&json!({"async_handle": handle, "async_progress": 40}));
    assert_eq!(record.to_value(View::Wire)["async_handle"], handle);
    assert_eq!(record.to_line(), "{}");
}
