#!/bin/sh
# sled's `Db::flush` is documented as one that calls fsync. On Linux it calls neither fsync nor fdatasync, only sync_file_range, which
# does not sync the file's size, nor the disk's cache: what was flushed does not survive a power loss. (Dropping the last handle does call fsync.)
#
# Writes and flushes ten times, in a temporary folder, and counts the system calls of that alone: the process ends without dropping the database.
set -eu
VERSION=0.34.7
command -v strace >/dev/null || { apt-get update -qq && apt-get install -y -qq strace >/dev/null; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p src
cat >Cargo.toml <<TOML
[package]
name = "flush"
version = "0.0.0"
edition = "2021"
[dependencies]
sled = "=$VERSION"
TOML
cat >src/main.rs <<'RUST'
fn main() {
    let db = sled::Config::new().path("db").flush_every_ms(None).open().unwrap();
    println!("opened");
    for number in 0..10u8 {
        db.insert([number], vec![number; 100]).unwrap();
        db.flush().unwrap();
    }
    std::process::exit(0);
}
RUST
cargo build --quiet --release
strace -f -o calls -e trace=fsync,fdatasync,sync_file_range,write ./target/release/flush >/dev/null
count() { sed '1,/"opened/d' calls | grep -c "$1(" || true; }
fsyncs=$(count fsync)
data=$(count fdatasync)
ranges=$(count sync_file_range)
echo "sled $VERSION: ten flushes: fsync $fsyncs, fdatasync $data, sync_file_range $ranges times"
if [ "$fsyncs" -ne 0 ] || [ "$data" -ne 0 ] || [ "$ranges" -lt 10 ]; then
    echo 'CHANGED: a flush calls fsync, or something else' >&2
    exit 1
fi
