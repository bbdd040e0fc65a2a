//! Tables of numbers in `.npy` files.

use std::io::Result;
use std::path::Path;

use npyz::WriterBuilder;

/// Reads a matrix of f64, one `Vec` for each row.
pub fn read(path: &Path) -> Result<Vec<Vec<f64>>> {
    let file = npyz::NpyFile::new(std::io::BufReader::new(std::fs::File::open(path)?))?;
    let width = file.shape()[1] as usize;
    let values: Vec<f64> = file.into_vec()?;
    Ok(values.chunks(width).map(<[f64]>::to_vec).collect())
}

/// Writes a matrix of f64.
pub fn write(path: &Path, rows: &[Vec<f64>]) -> Result<()> {
    let file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let shape = [rows.len() as u64, rows[0].len() as u64];
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(&shape).writer(file).begin_nd()?;
    writer.extend(rows.iter().flatten())?;
    writer.finish()
}
