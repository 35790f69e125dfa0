//! Configuration files: what was taken survives CONFIG REWRITE.

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
    let rewritten = config.rewrite(data);
    // Redis writes lists of words without quotes, and so does hexad: quoted words that are empty
    // or hold blanks are others when they are read again, and may even be refused.
    if data.iter().any(|byte| b"\"'".contains(byte)) {
        return;
    }
    let again = Config::from_text(&rewritten)
        .unwrap_or_else(|error| panic!("refused: {error:?}\n{}", rewritten.escape_ascii()));
    for (before, after) in config.get(&[b"*"]).iter().zip(again.get(&[b"*"])) {
        assert_eq!(*before, after, "a rewrite changed what is configured");
    }
}
