//! The five tables that the MAF paper (Papamakarios, Pavlakou, Murray 2017, arXiv:1705.07057,
//! section 4 and its supplement) compares density models on, and what it trained on each.
//!
//! Their files are not part of this crate. `data/<name>` folders of the paper's authors hold them
//! raw; what is read here is one of
//!
//! * `train.npy`, `val.npy` and `test.npy`: rows as the authors' loaders return them, split and
//!   standardised; for POWER with their noise, for GAS and HEPMASS without the columns they drop
//! * `data.npy`, for MINIBOONE alone, which needs nothing else: the last tenth of its rows is the
//!   test part, the last tenth of the rest the validation part, and all are standardised by the mean
//!   and spread of training and validation rows together

use std::path::Path;

use burn_flows::Error;
use clap::ValueEnum;

use super::table::Table;

/// A table of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    Power,
    Gas,
    Hepmass,
    Miniboone,
    Bsds300,
}

/// What the authors' experiments train on a table: the numbers of their `run_experiments.py`.
#[derive(Debug, PartialEq, Eq)]
pub struct Network {
    /// Units of each of the two hidden layers.
    pub hidden: usize,
    /// Whether they pass a hyperbolic tangent instead of a rectifier.
    pub tanh: bool,
}

/// The rows of a table, before any standardisation that is still due.
#[derive(Debug)]
pub struct Parts {
    pub train: Table,
    pub validation: Table,
    pub test: Table,
    /// Whether the files hold rows that were standardised before.
    pub standardised: bool,
}

impl Preset {
    /// The columns of its files.
    pub fn columns(self) -> usize {
        match self {
            Self::Power => 6,
            Self::Gas => 8,
            Self::Hepmass => 21,
            Self::Miniboone => 43,
            Self::Bsds300 => 63,
        }
    }

    /// The networks of every layer.
    pub fn network(self) -> Network {
        match self {
            Self::Power => Network { hidden: 100, tanh: false },
            Self::Gas => Network { hidden: 100, tanh: true },
            Self::Hepmass | Self::Miniboone | Self::Bsds300 => Network { hidden: 512, tanh: false },
        }
    }

    /// The rows that a folder holds.
    ///
    /// An `Err` names the file that is missing, or has another number of columns, and the layout
    /// that is expected.
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

/// The first rows, and the last tenth.
fn last_tenth(table: Table, path: &Path) -> Result<(Table, Table), Error> {
    let Table { width, mut values } = table;
    let rows = values.len() / width;
    let held = rows / 10;
    if held == 0 {
        let reason = format!("a tenth of its {rows} rows is none");
        return Err(Error::data(path.display().to_string(), reason));
    }
    let last = values.split_off((rows - held) * width);
    Ok((Table { width, values }, Table { width, values: last }))
}
