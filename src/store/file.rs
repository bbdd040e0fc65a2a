//! Whole files: read within their size, and written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Reads a regular file. Allocates as much memory as the file is long, whatever its content claims.
pub(crate) fn read_whole(path: &Path) -> Result<Vec<u8>> {
    let read = || {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
        }
        let mut bytes = Vec::new();
        let size = usize::try_from(metadata.len()).map_err(|_| ErrorKind::OutOfMemory)?;
        bytes.try_reserve_exact(size)?;
        File::open(path)?.take(metadata.len()).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| Error::io(path, source))
}

/// Writes a file so that its name refers to the whole old content or to the whole new content. The content goes into a
/// temporary file in the same folder, which is synced and then renamed. Temporary files that killed processes have left
/// in the folder are removed.
///
/// A file that is marked read-only is not replaced. A replaced file keeps its permissions. A symbolic link is replaced,
/// not followed.
///
/// # Errors
///
/// [`Error::Io`] with the path. The temporary file is removed.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes).map_err(|source| Error::io(path, source))
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let old = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
    if old.as_ref().is_some_and(|old| old.permissions().readonly()) {
        // A rename does not check this permission.
        return Err(io::Error::new(ErrorKind::PermissionDenied, "the file is read-only"));
    }
    sweep(folder(path));
    let (mut file, temporary) = create_beside(path)?;
    // The file stays open, and therefore locked, until it is renamed.
    let renamed = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| old.map_or(Ok(()), |old| fs::set_permissions(&temporary, old.permissions())))
        .and_then(|()| fs::rename(&temporary, path));
    if renamed.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
        return renamed;
    }
    sync_folder(path);
    Ok(())
}

/// The start and the end of the name of a temporary file.
const TEMPORARY: (&str, &str) = (".burn-flows-", ".tmp");

/// Creates a file in the folder of `path`. The length of its name does not depend on `path`, whose name may be as long
/// as the file system allows.
///
/// The file is locked, so that [`sweep`] can tell it from abandoned files. On a file system without locks nothing is
/// swept.
fn create_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let count = NEXT.fetch_add(1, Ordering::Relaxed);
        let (start, end) = TEMPORARY;
        let temporary = path.with_file_name(format!("{start}{}-{count}{end}", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            // Another process may have removed the file before it was locked.
            Ok(file) if file.lock().is_err() || temporary.exists() => return Ok((file, temporary)),
            Ok(_) => {}
            // Left by a killed process of the same id.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Removes the temporary files of ended processes, whose locks are released: a training run that is killed repeatedly
/// must not fill the disk. Files that cannot be removed are left.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let ours = name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1);
        // Opening a pipe would block until it has a reader.
        if ours
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Ok(file) = OpenOptions::new().write(true).open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Makes the rename survive a power failure where the system supports it. Some file systems cannot sync folders. The
/// file is whole in either case, at worst with its old content.
fn sync_folder(path: &Path) {
    if cfg!(unix) {
        let _ = File::open(folder(path)).and_then(|folder| folder.sync_all());
    }
}
