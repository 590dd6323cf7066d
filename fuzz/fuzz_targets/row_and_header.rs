#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oubliette_fuzz::row_and_header::run(data));
