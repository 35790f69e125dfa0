//! Command behaviour: each transcript runs against hexad and against stock Redis, which proves
//! that what it expects is the reference's behaviour.

use std::path::Path;

use hexad_tests::{Kind, Transcript};

fn check(name: &str, kind: Kind) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    Transcript::load(&folder.join(name).with_extension("txt")).check(kind);
}

macro_rules! transcripts {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            #[test]
            fn hexad() {
                super::check(stringify!($name), super::Kind::Hexad);
            }

            #[test]
            fn stock() {
                super::check(stringify!($name), super::Kind::Stock);
            }
        })+

        #[test]
        fn no_transcript_is_left_out() {
            let named = [$(stringify!($name)),+];
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
            for entry in std::fs::read_dir(folder).expect("the transcripts are there") {
                let path = entry.expect("a folder can be listed").path();
                let name = path.file_stem().expect("a file has a name").to_string_lossy();
                assert!(named.contains(&&*name), "{name} is not run");
            }
        }
    };
}

transcripts! {
    cluster,
    config,
    connection,
    dump,
    expiry,
    keys,
    multi,
    password,
    protocol,
    scan,
    server,
    strings,
}
