//! The five data sets of the MAF paper (Papamakarios, Pavlakou, Murray 2017, arXiv:1705.07057,
//! section 4 and supplement), and the networks that the paper trains on each.
//!
//! The data are not part of this crate. The paper's authors publish them as raw files in folders
//! `data/<name>`. The example reads one of these layouts:
//!
//! * `train.npy`, `val.npy` and `test.npy`: rows as the authors' loaders return them, split and
//!   standardised; with the added noise for POWER, without the dropped columns for GAS and HEPMASS.
//! * `data.npy`, for MINIBOONE only: all rows. The last tenth is the test set, the last tenth of
//!   the rest is the validation set. All rows are standardised by the mean and standard deviation
//!   of the training and validation rows together.

use std::path::Path;

use burn_flows::Error;
use clap::ValueEnum;

use super::table::Table;

/// A data set of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    Power,
    Gas,
    Hepmass,
    Miniboone,
    Bsds300,
}

/// The network that the authors train on a data set, from their `run_experiments.py`.
#[derive(Debug, PartialEq, Eq)]
pub struct Network {
    /// Units of each of the two hidden layers.
    pub hidden: usize,
    /// Whether the activation is tanh instead of ReLU.
    pub tanh: bool,
}

/// The training, validation and test rows of a data set.
#[derive(Debug)]
pub struct Parts {
    pub train: Table,
    pub validation: Table,
    pub test: Table,
    /// Whether the rows of the files are already standardised.
    pub standardised: bool,
}

impl Preset {
    /// The number of columns of the data set.
    pub fn columns(self) -> usize {
        match self {
            Self::Power => 6,
            Self::Gas => 8,
            Self::Hepmass => 21,
            Self::Miniboone => 43,
            Self::Bsds300 => 63,
        }
    }

    /// The network of every layer.
    pub fn network(self) -> Network {
        match self {
            Self::Power => Network { hidden: 100, tanh: false },
            Self::Gas => Network { hidden: 100, tanh: true },
            Self::Hepmass | Self::Miniboone | Self::Bsds300 => Network { hidden: 512, tanh: false },
        }
    }

    /// Reads the files of a folder.
    ///
    /// # Errors
    ///
    /// If a file is missing or has another number of columns. The message names the file and the
    /// expected layout.
    pub fn read(self, folder: &Path) -> Result<Parts, Error> {
        let whole = folder.join("data.npy");
        if self == Self::Miniboone && whole.is_file() {
            let (rest, test) = last_tenth(self.table(&whole)?, &whole)?;
            let (train, validation) = last_tenth(rest, &whole)?;
            return Ok(Parts { train, validation, test, standardised: false });
        }
        let part = |name: &str| self.table(&folder.join(name));
        let [train, validation, test] = ["train.npy", "val.npy", "test.npy"].map(part);
        Ok(Parts { train: train?, validation: validation?, test: test?, standardised: true })
    }

    fn table(self, path: &Path) -> Result<Table, Error> {
        let wrong = |reason| Error::data(path.display().to_string(), reason);
        if !path.is_file() {
            return Err(wrong(format!("is missing; expected {}", self.layout())));
        }
        let table = Table::read(path)?;
        let (expected, found) = (self.columns(), table.width);
        if found != expected {
            return Err(wrong(format!("expected {expected} columns for {self:?}, found {found}")));
        }
        Ok(table)
    }

    fn layout(self) -> String {
        let columns = self.columns();
        let parts = format!(
            "train.npy, val.npy and test.npy, split and standardised, of {columns} columns"
        );
        match self {
            Self::Miniboone => format!("{parts}, or one data.npy of all rows"),
            _ => parts,
        }
    }
}

/// Splits off the last tenth of the rows.
fn last_tenth(table: Table, path: &Path) -> Result<(Table, Table), Error> {
    let Table { width, mut values } = table;
    let rows = values.len() / width;
    let held = rows / 10;
    if held == 0 {
        let reason = format!("{rows} rows are too few; a tenth is split off");
        return Err(Error::data(path.display().to_string(), reason));
    }
    let last = values.split_off((rows - held) * width);
    Ok((Table { width, values }, Table { width, values: last }))
}
