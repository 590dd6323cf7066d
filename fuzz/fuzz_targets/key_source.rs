#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| oubliette_fuzz::key_source::run(data));
