//! temp
use crate::error::{Error, Result};
use std::path::Path;
pub(crate) fn blank_seal() -> (String, String) {
    ("seal".into(), "x".into())
}
pub(crate) fn write_sealed(path: &Path, bytes: Vec<u8>) -> Result<()> {
    let tmp = path.with_extension("tmp");
    std::fs::write(&tmp, bytes)
        .and_then(|_| std::fs::rename(&tmp, path))
        .map_err(|e| Error::io(path, e))
}
pub(crate) fn read_sealed(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::io(path, e))
}
