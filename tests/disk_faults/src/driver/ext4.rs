//! Power cuts of a real file system: ext4 on a loop device, shut down at a call. Needs root.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A small ext4 of its own; unmounted when dropped.
pub struct Volume {
    image: PathBuf,
    pub mount: PathBuf,
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

impl Volume {
    /// Makes and mounts one.
    ///
    /// # Errors
    /// Says why not: no root, no loop device, no `mkfs.ext4`.
    pub fn new(scratch: &Path) -> Result<Self, String> {
        let (image, mount) = (scratch.join("ext4.img"), scratch.join("ext4"));
        std::fs::create_dir_all(&mount).map_err(|error| error.to_string())?;
        run(Command::new("truncate").args(["-s", "64M"]).arg(&image))?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        let volume = Self { image, mount };
        volume.mount()?;
        Ok(volume)
    }

    fn mount(&self) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.mount))
    }

    fn unmount(&self) -> Result<(), String> {
        let mut tried = Ok(());
        for _ in 0..100 {
            tried = run(Command::new("umount").arg(&self.mount));
            if tried.is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        tried
    }

    /// The power comes back: the journal is replayed.
    ///
    /// # Errors
    /// If it cannot be mounted again.
    pub fn power_up(&self) -> Result<(), String> {
        self.unmount()?;
        self.mount()
    }

    /// All that was written so far is on the disk.
    pub fn sync(&self) {
        let _ = run(Command::new("sync").arg("-f").arg(&self.mount));
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = self.unmount();
        let _ = std::fs::remove_file(&self.image);
    }
}
