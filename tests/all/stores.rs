//! Both file stores keep the contract of files: a local folder, and a directory of an emulated Qumulo
//! cluster, the latter also while the cluster fails, loses answers, is full, or is somebody else.

use host::error::ErrorClass;
use host::io::local::LocalFiles;
use host::io::qumulo::QumuloFiles;
use host::ports::files::{FileInfo, FilePath, Files, Moved, Seen};
use host::ports::qumulo::{Credentials, QumuloSettings, Tls};
use host::secret::Secret;
use host_emulators::qumulo::{self, Options, QumuloFault, QumuloHandle};
use std::time::Duration;
use tests::feeds::runtime;
use tests::files_contract::{cases, run};

/// A cluster, the folder behind it and its certificate.
struct Cluster {
    handle: QumuloHandle,
    dir: tempfile::TempDir,
}

impl Cluster {
    fn start(change: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(dir.path().join("files"));
        change(&mut options);
        let handle = runtime().block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            qumulo::start(listener, options).await.unwrap()
        });
        Cluster { handle, dir }
    }

    fn plain() -> Self {
        Self::start(|options| options.tls = false)
    }

    fn settings(&self) -> QumuloSettings {
        let tls = match self.handle.certificate_pem() {
            Some(pem) => {
                let path = self.dir.path().join("ca.pem");
                std::fs::write(&path, pem).unwrap();
                Tls::Ca(path)
            }
            None => Tls::None,
        };
        let (user, password) = (self.handle.user().to_owned(), self.secret(self.handle.password()));
        let credentials = Credentials::Password { user, password };
        QumuloSettings {
            port: self.handle.addr().port(),
            tls,
            page_size: 16,
            poll_interval: Duration::from_millis(50),
            ..QumuloSettings::new("127.0.0.1", credentials, "/spool")
        }
    }

    fn secret(&self, text: &str) -> Secret {
        let path = self.dir.path().join("secret");
        std::fs::write(&path, text).unwrap();
        Secret::resolve("test", &format!("file:{}", path.display())).unwrap()
    }

    fn files(&self) -> QumuloFiles {
        open(self.settings())
    }
}

fn open(settings: QumuloSettings) -> QumuloFiles {
    QumuloFiles::new(settings, runtime().handle().clone()).unwrap()
}

fn path(text: &str) -> FilePath {
    FilePath::new(text).unwrap()
}

fn write(files: &dyn Files, name: &str, bytes: &[u8]) -> FileInfo {
    let mut writer = files.create(&path(name)).unwrap().unwrap();
    bytes.chunks(3 << 20).for_each(|part| writer.write(part.to_vec().into()).unwrap());
    writer.finish().unwrap()
}

fn read(files: &dyn Files, info: &FileInfo) -> Vec<u8> {
    let mut reader = files.read(info, 0, None).unwrap();
    let mut all = Vec::new();
    while let Some(bytes) = reader.next().unwrap() {
        all.extend_from_slice(&bytes);
    }
    all
}

fn all_at_once(files: &dyn Files) {
    std::thread::scope(|scope| {
        for case in cases() {
            let case_thread = std::thread::Builder::new().name(case.name.to_owned());
            case_thread.spawn_scoped(scope, move || case.run(files, "at once")).unwrap();
        }
    });
}

#[test]
fn a_local_folder_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let files = LocalFiles::open(dir.path(), false).unwrap();
    run(&files, "contract/é");
    all_at_once(&files);
}

#[test]
fn a_cluster_keeps_the_contract() {
    run(&Cluster::plain().files(), "contract/é");
}

#[test]
fn a_cluster_keeps_the_contract_over_tls_with_all_cases_at_once() {
    let cluster = Cluster::start(|_| ());
    all_at_once(&cluster.files());
}

#[test]
fn a_cluster_that_fails_keeps_the_contract() {
    // Watches are told of their own trouble in a test of their own: here others would be meant.
    let rates = ["unauthorized=0.002", "unavailable=0.1", "too-many=0.002", "short-page=0.3"];
    let cluster = Cluster::start(|options| {
        options.tls = false;
        options.faults = rates.iter().map(|rate| rate.parse().unwrap()).collect();
    });
    // Waits between tries pass together.
    all_at_once(&cluster.files());
    assert!(cluster.handle.stats().faulted > 10, "{:?}", cluster.handle.stats());
}

#[test]
fn a_rename_whose_answer_is_lost_is_found_out() {
    let cluster = Cluster::plain();
    let files = cluster.files();
    files.make_directories(&path("d")).unwrap();
    let file = write(&files, "f", b"x");
    cluster.handle.fault(QumuloFault::LoseAnswer(1));
    assert!(matches!(files.rename(&file, &path("d/f")).unwrap(), Moved::Done(info) if info.id == file.id));
    let file = files.stat(&path("d/f")).unwrap().unwrap();
    cluster.handle.fault(QumuloFault::LoseAnswer(3));
    assert!(matches!(files.rename(&file, &path("g")).unwrap(), Moved::Done(info) if info.id == file.id));
}

#[test]
fn writes_and_reads_survive_cuts_and_lost_answers() {
    let cluster = Cluster::plain();
    let files = cluster.files();
    files.make_directories(&FilePath::root()).unwrap();
    let bytes: Vec<u8> = (0..20_u32 << 20).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let faults = [
        QumuloFault::LoseAnswer(1),
        QumuloFault::LoseAnswer(4),
        QumuloFault::CutRequest(2),
        QumuloFault::CutAnswer(2),
        QumuloFault::ExpireTokens,
        QumuloFault::Unauthorized(1),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let name = format!("large{number}");
        let mut writer = files.create(&path(&name)).unwrap().unwrap();
        cluster.handle.fault(fault.clone());
        bytes.chunks(3 << 20).for_each(|part| writer.write(part.to_vec().into()).unwrap());
        let info = writer.finish().unwrap();
        quiet(&cluster);
        assert!(read(&files, &info) == bytes, "{fault:?}");
        cluster.handle.fault(QumuloFault::CutAnswer(2));
        assert!(read(&files, &info) == bytes, "cut after {fault:?}");
        quiet(&cluster);
        let info = files.append(&path(&name), "more".into()).unwrap();
        cluster.handle.fault(fault.clone());
        let appended = files.append(&path(&name), " and more".into()).unwrap();
        assert_eq!(appended.bytes, info.bytes + 9, "{fault:?}");
        quiet(&cluster);
        assert!(files.delete(&appended).unwrap());
    }
}

fn quiet(cluster: &Cluster) {
    for fault in [
        QumuloFault::LoseAnswer(0),
        QumuloFault::CutRequest(0),
        QumuloFault::CutAnswer(0),
        QumuloFault::Unauthorized(0),
    ] {
        cluster.handle.fault(fault);
    }
}

#[test]
fn a_full_or_read_only_cluster_is_waited_for_and_a_forbidden_call_is_not() {
    let cluster = Cluster::plain();
    let files = cluster.files();
    files.make_directories(&path("d")).unwrap();
    write(&files, "f", b"x");
    let pairs = [
        (QumuloFault::DiskFull(true), QumuloFault::DiskFull(false)),
        (QumuloFault::ReadOnly(true), QumuloFault::ReadOnly(false)),
    ];
    for (on, off) in pairs {
        let mut writer = files.create(&path(&format!("{on:?}"))).unwrap().unwrap();
        cluster.handle.fault(on.clone());
        let class = |error: host::error::Error| error.class();
        assert_eq!(files.append(&path("f"), "x".into()).map_err(class), Err(ErrorClass::Retry), "{on:?}");
        let written = writer.write(vec![0; 20 << 20].into()).and_then(|()| writer.finish());
        assert_eq!(written.map_err(class), Err(ErrorClass::Retry), "{on:?}");
        assert_eq!(files.create(&path("new")).map(drop).map_err(class), Err(ErrorClass::Retry), "{on:?}");
        cluster.handle.fault(off);
        write(&files, &format!("after {on:?}"), b"x");
    }
    cluster.handle.fault(QumuloFault::Forbidden(1));
    assert_eq!(files.stat(&path("f")).unwrap_err().class(), ErrorClass::Config);
}

#[test]
fn a_watch_lists_anew_after_everything_that_may_have_hidden_a_name() {
    let cluster = Cluster::plain();
    let files = cluster.files();
    files.make_directories(&path("in")).unwrap();
    let mut watch = files.watch(&path("in")).unwrap();
    let mut expect = |expected: Seen| assert_eq!(watch.next(Duration::from_secs(20)).unwrap(), expected);
    let appears = |name: &str| drop(write(&files, &format!("in/{name}"), b""));
    let appeared = |name: &str| Seen::Appeared(vec![name.to_owned()]);
    expect(Seen::List);
    appears("a");
    expect(appeared("a"));
    cluster.handle.fault(QumuloFault::ExpireTokens);
    cluster.handle.fault(QumuloFault::DropWatchers);
    expect(Seen::List);
    appears("b");
    expect(appeared("b"));
    // Without the right to watch, the directory is looked at.
    cluster.handle.fault(QumuloFault::RefuseNotify { status: 403, times: 1 });
    cluster.handle.fault(QumuloFault::DropWatchers);
    expect(Seen::List);
    appears("c");
    expect(Seen::List);
}

#[test]
fn a_cluster_that_cannot_prove_itself_is_refused_and_no_password_is_told() {
    let cluster = Cluster::start(|_| ());
    let ask = |settings: QumuloSettings| open(settings).free_bytes();
    assert!(ask(cluster.settings()).unwrap().is_some());
    assert!(ask(QumuloSettings { tls: Tls::AcceptAny, ..cluster.settings() }).unwrap().is_some());
    let plain = Cluster::plain();
    let wrong_password = Credentials::Password { user: "admin".to_owned(), password: cluster.secret("wrong-Zx9") };
    let cases = [
        (QumuloSettings { tls: Tls::System, ..cluster.settings() }, "certificate"),
        (QumuloSettings { tls: Tls::pinned(&"00".repeat(32)).unwrap(), ..cluster.settings() }, "certificate"),
        (QumuloSettings { tls: Tls::AcceptAny, ..plain.settings() }, "TLS"),
        (QumuloSettings { credentials: wrong_password, ..cluster.settings() }, "logging in as `admin`: status 401"),
    ];
    for (settings, says) in cases {
        let error = ask(settings).unwrap_err();
        let text = format!("{error} {:?}", error.hint());
        assert_eq!(error.class(), ErrorClass::Config, "{text}");
        assert!(text.contains("127.0.0.1") && text.contains(says), "expected `{says}`: {text}");
        assert!(!text.contains("wrong-Zx9") && !text.contains(cluster.handle.password()), "{text}");
    }
}
