//! What plug-ins have done on the host: asked over the wire, within the scope of their call.

use super::*;
use crate::error::Kind;

const FUNCTIONS: &str = r#"
def devices(ss): return IPlugin.host.scsi.devices(page83_id=ss.get("wanted"))
def unknown(ss): return IPlugin.host.rocket.launch(to="moon")
def malformed(ss): return IPlugin.host.scsi.devices(page83_id=7)
def caught(ss):
    try:
        IPlugin.host.scsi.devices(colour="red")
    except InvalidValueEx as error:
        return [type(error).__name__, str(error)]
"#;

#[tokio::test]
async fn a_plug_in_s_request_is_answered_or_refused_in_the_api_s_classes() {
    for python in pythons() {
        let rig = Setup::with(FUNCTIONS).under(python).start().await;
        let disks = rig.act_with("devices", "storage_type", "iSCSI").await.unwrap();
        assert_eq!(disks, json!([]), "an array without targets has no disks here");
        for (what, kind) in [("unknown", Kind::NoSuchOperation), ("malformed", Kind::InvalidValue)] {
            assert_eq!(rig.act(what).await.unwrap_err().kind(), kind, "{what}");
        }
        let caught = rig.act("caught").await.unwrap();
        assert_eq!(caught[0], "InvalidValueEx");
        assert!(caught[1].as_str().unwrap().contains("colour"), "{caught}");
        rig.runtime.shutdown().await;
    }
}
