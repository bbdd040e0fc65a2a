//! Tables of numbers from CSV and NPY files; a bad file is an error that says which line.

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
    /// Reads a `.npy` file of two axes, or else a CSV file; a first line without numbers is a header.
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

    /// How many rows there are.
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
                    |_| bad(line, format!("column {column} is no number: {:?}", &record[column]));
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
        let (&[rows, width], npyz::Order::C) = (&shape[..], file.order()) else {
            return Err(bad(format!("expected two axes in C order, found shape {shape:?}")));
        };
        if rows == 0 || width == 0 {
            return Err(bad("holds no rows".into()));
        }
        let single = file.dtype().descr().contains("f4");
        let values = if single {
            let singles = file.into_vec::<f32>().map_err(|e| bad(e.to_string()))?;
            singles.into_iter().map(f64::from).collect()
        } else {
            file.into_vec::<f64>().map_err(|e| bad(e.to_string()))?
        };
        Ok(Self { width: width as usize, values })
    }
}
