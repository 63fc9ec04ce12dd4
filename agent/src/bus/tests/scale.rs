//! Ten thousand elements.

use std::sync::Arc;
use std::time::Instant;

use super::fake::{SS, element_id, server};
use super::*;
use crate::bus::managed;
use crate::inventory::Snapshot;

fn call() -> Message {
    let call = Message::method_call(Path::Server(SS).to_string(), "GetManagedObjects");
    call.sender(":1.1").build(&()).expect("a call")
}

fn snapshot(elements: usize) -> Snapshot {
    Snapshot { servers: Arc::new([(SS, Arc::new(server(elements)))].into()), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_elements_come_in_one_call() {
    let it = setup(Fake::new(10_000)).await;
    let start = Instant::now();
    let reply = it.client.call(&Path::Server(SS), MANAGER, "GetManagedObjects", &()).await.expect("objects");
    let size = reply.data().len();
    println!("GetManagedObjects of 10,000 elements: {size} bytes in {:?}", start.elapsed());
    assert!(size < managed::LIMIT, "{size}");
    let text = String::from_utf8_lossy(reply.data().bytes());
    for number in [0, 5_000, 9_999] {
        assert!(text.contains(&Path::Element(SS, element_id(number).to_string()).to_string()));
    }
    assert!(text.contains("vendor_key"), "the records come along");
    let start = Instant::now();
    let introspectable = "org.freedesktop.DBus.Introspectable";
    let reply = it.client.call(&Path::Elements(SS), introspectable, "Introspect", &()).await.expect("xml");
    println!("Introspect of their parent: {} bytes in {:?}", reply.data().len(), start.elapsed());
    assert_eq!(reply.body().deserialize::<&str>().expect("s").matches("<node name=").count(), 10_000);
}

#[test]
fn records_are_left_out_where_the_answer_would_not_fit() {
    let (call, snapshot, path) = (call(), snapshot(20), Path::Server(SS));
    let answer = |limit| managed::reply(&call.header(), &snapshot, &path, limit);
    let full = answer(usize::MAX).expect("an answer").data().len();
    let lean = answer(full - 1).expect("an answer");
    let text = String::from_utf8_lossy(lean.data().bytes());
    assert!(lean.data().len() < full - 20 * 800 && !text.contains("Record") && text.contains("lun-19"));
    let refused = answer(1000).expect_err("too much").reply().expect("an error");
    assert_eq!(refused.0, "org.freedesktop.DBus.Error.LimitsExceeded");
    assert!(refused.1.contains("22 objects"), "{}", refused.1);
}
