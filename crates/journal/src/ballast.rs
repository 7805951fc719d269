//! Disk kept in reserve, so that what is already paid still fits once the disk is full.

use std::fs;
use std::io;
use std::path::Path;

use crate::place;

/// Takes the reserve, if there is none and the disk has plenty of room; a full disk is no error.
///
/// # Errors
///
/// If the file cannot be made for another reason than room.
pub(crate) fn take(path: &Path, size: u64) -> io::Result<()> {
    let there = fs::metadata(path).is_ok_and(|found| found.len() >= size);
    if size == 0 || there || place::free_bytes(path).is_some_and(|free| free < size.saturating_mul(2)) {
        return Ok(());
    }
    let file = place::open_private(path)?;
    match allocate(&file, size) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            fs::remove_file(path)?;
            Ok(())
        }
        done => done,
    }
}

/// Gives the reserve back to the disk; whether there was one.
pub(crate) fn release(path: &Path) -> bool {
    fs::remove_file(path).is_ok()
}

#[cfg(target_os = "linux")]
fn allocate(file: &fs::File, size: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, size) {
        Err(rustix::io::Errno::OPNOTSUPP) => fill(file, size),
        done => Ok(done?),
    }
}

#[cfg(not(target_os = "linux"))]
fn allocate(file: &fs::File, size: u64) -> io::Result<()> {
    fill(file, size)
}

/// Writes zeros: for filesystems that cannot set room aside.
fn fill(mut file: &fs::File, size: u64) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0), size), &mut file).map(drop)
}
