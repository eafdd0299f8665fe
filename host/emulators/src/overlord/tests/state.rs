//! What outlives the emulator.

use std::path::Path;

use serde_json::{Value, json};

use super::super::OverlordFault;
use super::{SOON, Setup, inline, rows, setup_with, task};
use crate::Error;

async fn over(folder: &Path) -> Setup {
    setup_with(|options| options.data_dir = Some(folder.to_owned())).await
}

#[tokio::test]
async fn tasks_and_segments_are_there_again_and_what_ran_has_failed() {
    let folder = tempfile::tempdir().unwrap();
    let setup = over(&folder.path().join("new")).await;
    setup.succeed(&task("done", "wiki", &inline(&rows(0..10)))).await;
    let status = setup.status("done").await;
    setup.emulator.fault(OverlordFault::HangTask(1)).await;
    setup.submit(&task("runs", "wiki", &inline(&rows(0..100)))).await.ok();
    assert!(setup.emulator.wait_for(|stats| stats.running == 1, SOON).await);
    let spec =
        json!({ "type": "kafka", "spec": { "dataSchema": { "dataSource": "s" }, "ioConfig": { "topic": "t" } } });
    setup.client.post("/druid/indexer/v1/supervisor", &spec).await.ok();
    setup.emulator.stop().await;

    let setup = over(&folder.path().join("new")).await;
    assert_eq!(setup.status("done").await, status);
    assert_eq!(setup.report("done").await["rowStats"]["buildSegments"]["processed"], 10);
    assert_eq!(setup.loaded("wiki").await, json!([10, 45]));
    let runs = setup.status("runs").await;
    assert_eq!((&runs["status"], &runs["runnerStatusCode"]), (&json!("FAILED"), &json!("NONE")));
    assert!(runs["errorMsg"].as_str().unwrap().contains("restarted"), "{runs}");
    assert_eq!(setup.client.get("/druid/indexer/v1/supervisor/s").await.ok().json(), spec);
    let again = setup.submit(&task("done", "wiki", &inline(&rows(0..1)))).await;
    assert_eq!(again.json()["errorCode"], "entryAlreadyExists");
    setup.succeed(&task("next", "wiki", &inline(&rows(0..20)))).await;
    setup.emulator.stop().await;
    let setup = over(&folder.path().join("new")).await;
    assert_eq!(setup.loaded("wiki").await, json!([20, 190]));
}

#[tokio::test]
async fn a_task_is_kept_before_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let setup = over(folder.path()).await;
    setup.emulator.fault(OverlordFault::HangTask(1)).await;
    let one = task("one", "wiki", &inline(&rows(0..1)));
    setup.submit(&one).await.ok();
    let file = folder.path().join("overlord.json");
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!((&kept["tasks"]["one"]["payload"], &kept["tasks"]["one"]["end"]), (&one, &Value::Null));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(!folder.path().join("overlord.json.new").exists());
}

#[tokio::test]
async fn what_cannot_be_written_is_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let setup = over(folder.path()).await;
    // A folder stands where the file is written aside.
    std::fs::create_dir(folder.path().join("overlord.json.new")).unwrap();
    let one = task("one", "wiki", &inline(&rows(0..1)));
    assert_eq!(setup.submit(&one).await.status, 500);
    assert_eq!(setup.client.get("/druid/indexer/v1/task/one/status").await.status, 404);
    std::fs::remove_dir(folder.path().join("overlord.json.new")).unwrap();
    setup.succeed(&one).await;
}

#[tokio::test]
async fn one_folder_has_one_emulator_and_a_broken_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let setup = over(folder.path()).await;
    let start = async || {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = crate::overlord::Options { data_dir: Some(folder.path().to_owned()), ..Default::default() };
        crate::overlord::start(listener, options).await
    };
    let second = start().await.unwrap_err();
    assert!(second.to_string().contains("another emulator has this folder"), "{second}");
    setup.emulator.stop().await;
    std::fs::write(folder.path().join("overlord.json"), "{").unwrap();
    let broken = start().await.unwrap_err();
    assert!(matches!(broken, Error::State { .. }), "{broken}");
}
