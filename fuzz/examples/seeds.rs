//! Writes the seeds of every target to `corpus/`, in the place of those that are there: `cargo run --example seeds`.

use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    for (target, _) in oubliette_fuzz::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let seeds = oubliette_fuzz::seeds::of(target);
        let bytes: usize = seeds.values().map(Vec::len).sum();
        for (name, content) in &seeds {
            fs::write(folder.join(name), content)?;
        }
        println!("{target}: {} files, {bytes} bytes", seeds.len());
    }
    Ok(())
}
