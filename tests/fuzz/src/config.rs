//! Configuration files: an error names a line, and what was taken survives CONFIG REWRITE.

use hexad_server::config::Config;

/// The bytes are a configuration file.
pub fn config(data: &[u8]) {
    // What it includes is not part of the input.
    if data
        .to_ascii_lowercase()
        .windows(7)
        .any(|word| word == b"include")
    {
        return;
    }
    let Ok(config) = Config::from_text(data) else {
        return;
    };
    let settings = config.get(&[b"*"]);
    let rewritten = config.rewrite(data);
    let again = Config::from_text(&rewritten).unwrap_or_else(|error| {
        let text = rewritten.escape_ascii();
        panic!("the rewritten file is refused: {error:?}\n{text}")
    });
    assert_eq!(
        again.get(&[b"*"]),
        settings,
        "a rewrite changed what is configured"
    );
}
