#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hexad_fuzz::rdb(data));
