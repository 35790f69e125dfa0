//! Client libraries of others, unchanged, against a cluster with replicas.
//!
//! They are installed once, at these versions, into the build's temporary folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hexad_tests::{Cluster, Kind, on_both, run};

const REDIS_PY: &str = "redis==5.2.1";
const IOREDIS: &str = "ioredis@5.4.1";

const KEYS: &str = "10000";

on_both! {
    redis_py,
    ioredis,
}

fn redis_py(kind: Kind) {
    let venv = install(REDIS_PY, |folder| {
        must_run(Command::new("python3").args(["-m", "venv"]).arg(folder));
        must_run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", REDIS_PY]));
    });
    let cluster = cluster(kind);
    let port = cluster[0].port().to_string();
    let script = script("redis_py.py");
    let text = must_run(
        Command::new(venv.join("bin/python"))
            .arg(script)
            .args([&port, KEYS]),
    );
    assert!(text.contains("ok 3"), "{text}");
}

fn ioredis(kind: Kind) {
    let folder = install(IOREDIS, |folder| {
        fs::create_dir_all(folder).expect("a folder for node modules");
        let options = [
            "install",
            "--silent",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--prefix",
        ];
        must_run(Command::new("npm").args(options).arg(folder).arg(IOREDIS));
    });
    let cluster = cluster(kind);
    let port = cluster[0].port().to_string();
    let mut command = Command::new("node");
    command.arg(script("ioredis.js")).args([&port, KEYS]);
    let text = must_run(command.env("NODE_PATH", folder.join("node_modules")));
    assert!(text.contains("ok 3"), "{text}");
}

fn cluster(kind: Kind) -> Cluster {
    let cluster = Cluster::create(&[kind; 6], 1, Duration::from_secs(15));
    cluster.wait("three replicas", Duration::from_secs(15), |cluster| {
        let replicas = cluster
            .view(0)
            .iter()
            .filter(|node| node.has("slave"))
            .count();
        if replicas == 3 {
            Ok(())
        } else {
            Err(format!("{replicas} replicas"))
        }
    });
    cluster
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("clients")
        .join(name)
}

/// A folder that `make` has filled, now or in an earlier run; parallel tests take turns.
fn install(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = base.join(name);
    let lock = File::create(base.join(format!("{name}.lock"))).expect("a lock file");
    lock.lock().expect("the lock can be waited for");
    let done = folder.join("installed");
    if !done.exists() {
        let _ = fs::remove_dir_all(&folder);
        make(&folder);
        fs::write(done, "").expect("a mark that the folder is complete");
    }
    folder
}

#[track_caller]
fn must_run(command: &mut Command) -> String {
    let (success, text) = run(command);
    assert!(success, "{command:?}\n{text}");
    text
}
