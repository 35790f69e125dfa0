//! Other people's programs: stock `redis-cli`, Python, Node.

use std::path::PathBuf;
use std::process::Command;

/// Runs a command to its end; gives whether it succeeded, and standard output and error together.
///
/// # Panics
/// If it cannot be started.
#[track_caller]
pub fn run(command: &mut Command) -> (bool, String) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

/// Runs the stock `redis-cli` with `args`, which must succeed; gives what it printed.
///
/// # Panics
/// If it fails.
#[track_caller]
pub fn redis_cli<A: AsRef<str>>(args: &[A]) -> String {
    let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
    let (success, text) = run(Command::new("redis-cli").args(&args));
    assert!(success, "redis-cli {} failed:\n{text}", args.join(" "));
    text
}

/// The root of the source tree.
#[must_use]
pub fn workspace_root() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the tests lie in the workspace")
        .to_owned()
}
