//! Tables of numbers from CSV and NPY files. An error names the line or row that is invalid.

use std::path::Path;

use burn_flows::Error;
use burn_flows::burn::tensor::{Device, Tensor, TensorData};

/// Rows of equal width.
#[derive(Debug)]
pub struct Table {
    pub width: usize,
    pub values: Vec<f64>,
}

impl Table {
    /// Reads a `.npy` file or a CSV file. An array has two axes in either order and holds floats,
    /// integers or booleans. If the first line of a CSV file holds no numbers, it is a header.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = path.display().to_string();
        let table = if path.extension().is_some_and(|e| e == "npy") {
            Self::npy(path, &text)?
        } else {
            Self::csv(path, &text)?
        };
        match table.values.iter().position(|v| !v.is_finite()) {
            Some(at) => {
                let reason = format!("row {} holds {}", at / table.width, table.values[at]);
                Err(Error::data(text, reason))
            }
            None => Ok(table),
        }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    /// The rows as a tensor.
    pub fn tensor(&self, device: &Device) -> Tensor<2> {
        let data = TensorData::new(self.values.clone(), [self.rows(), self.width]);
        Tensor::from_data(data, device)
    }

    fn csv(path: &Path, text: &str) -> Result<Self, Error> {
        let bad = |line: usize, reason: String| Error::data(text, format!("line {line}: {reason}"));
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_path(path)
            .map_err(|e| Error::data(text, e.to_string()))?;
        let mut table = Self { width: 0, values: vec![] };
        for (index, record) in reader.records().enumerate() {
            let line = index + 1;
            let record = record.map_err(|e| bad(line, e.to_string()))?;
            let numbers: Vec<_> = record.iter().map(str::parse::<f64>).collect();
            if line == 1 && numbers.iter().all(Result::is_err) {
                continue;
            }
            if table.width == 0 {
                table.width = numbers.len();
            }
            if numbers.len() != table.width {
                let reason = format!("{} columns, expected {}", numbers.len(), table.width);
                return Err(bad(line, reason));
            }
            for (column, number) in numbers.into_iter().enumerate() {
                let wrong =
                    |_| bad(line, format!("column {column}: not a number: {:?}", &record[column]));
                table.values.push(number.map_err(wrong)?);
            }
        }
        if table.values.is_empty() {
            return Err(Error::data(text, "holds no rows"));
        }
        Ok(table)
    }

    fn npy(path: &Path, text: &str) -> Result<Self, Error> {
        let bad = |reason: String| Error::data(text, reason);
        let bytes = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
        let file = npyz::NpyFile::new(&bytes[..]).map_err(|e| bad(e.to_string()))?;
        let shape = file.shape().to_vec();
        let &[rows, width] = &shape[..] else {
            let reason = format!("expected rows and columns, found an array of shape {shape:?}");
            return Err(bad(format!("{reason}; reshape it to two axes")));
        };
        if rows == 0 || width == 0 {
            return Err(bad("holds no rows".into()));
        }
        let (columns_first, dtype) = (file.order() == npyz::Order::Fortran, file.dtype());
        let values = numbers(file).map_err(|e| bad(e.to_string()))?;
        let Some(values) = values else {
            let reason = format!("holds {}, which is not a real number", dtype.descr());
            return Err(bad(format!("{reason}; save it as float64, float32 or integers")));
        };
        let (rows, width) = (rows as usize, width as usize);
        let values = match columns_first {
            false => values,
            true => (0..rows * width).map(|at| values[at % width * rows + at / width]).collect(),
        };
        Ok(Self { width, values })
    }
}

/// The values of a file in their stored order. Returns `None` if they are not real numbers of 1 to
/// 8 bytes.
fn numbers(file: npyz::NpyFile<&[u8]>) -> std::io::Result<Option<Vec<f64>>> {
    use npyz::TypeChar::{Bool, Float, Int, Uint};
    fn of<T: npyz::Deserialize>(
        file: npyz::NpyFile<&[u8]>,
        number: impl Fn(T) -> f64,
    ) -> std::io::Result<Option<Vec<f64>>> {
        Ok(Some(file.into_vec::<T>()?.into_iter().map(number).collect()))
    }
    let npyz::DType::Plain(kind) = file.dtype() else { return Ok(None) };
    match (kind.type_char(), kind.size_field()) {
        (Float, 8) => of::<f64>(file, |v| v),
        (Float, 4) => of::<f32>(file, f64::from),
        (Int, 1) => of::<i8>(file, f64::from),
        (Int, 2) => of::<i16>(file, f64::from),
        (Int, 4) => of::<i32>(file, f64::from),
        (Int, 8) => of::<i64>(file, |v| v as f64),
        (Uint, 1) => of::<u8>(file, f64::from),
        (Uint, 2) => of::<u16>(file, f64::from),
        (Uint, 4) => of::<u32>(file, f64::from),
        (Uint, 8) => of::<u64>(file, |v| v as f64),
        (Bool, 1) => of::<bool>(file, |v| f64::from(u8::from(v))),
        _ => Ok(None),
    }
}
