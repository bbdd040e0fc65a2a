//! Training jobs: progress and callbacks, a time limit, data larger than memory, other objectives.
//!
//! [`fit`](crate::train::fit) is the short form of [`Training`](crate::train::Training), which takes the same three
//! arguments and has more settings.
//!
//! # See and stop
//!
//! A callback after each epoch gets the report of the epoch and the current model. A metric is a number that is computed
//! after each epoch. The report has the metrics, and becomes a CSV or a JSON file.
//!
//! ```
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::prelude::*;
//! use burn_flows::train::{Stop, Training};
//! use std::ops::ControlFlow;
//!
//! let device = Device::flex();
//! let mut noise = Noise::seeded(1);
//! let (x, test) = (noise.normal::<2>([500, 2], &device) * 3.0, noise.normal::<2>([100, 2], &device) * 3.0);
//! let flow = RealNvpConfig::new(2).with_layers(2).with_seed(1).init(&device);
//! let config = FitConfig::new().with_epochs(100).with_learning_rate(1e-2).with_time_limit(Some(600.0)); // seconds
//!
//! let (flow, report) = Training::new(flow, x, &config)
//!     .with_metric("test_nll", |flow| nll(flow, &test, 1024))
//!     .on_epoch(|epoch, _flow| match epoch.metrics["test_nll"] < 5.5 {
//!         true => ControlFlow::Break(()), // good enough
//!         false => ControlFlow::Continue(()),
//!     })
//!     .run()?;
//!
//! assert_eq!(report.stop, Stop::Callback);
//! assert!(report.to_csv().starts_with("epoch,train_loss,validation_loss,learning_rate,test_nll\n"));
//! # assert_eq!(flow.sample::<2>(3).dims(), [3, 2]);
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! [`on_step`](crate::train::Training::on_step) does the same after each optimizer step, with the loss and the norm of
//! the gradient. [`with_optimizer`](crate::train::Training::with_optimizer) takes any optimizer of burn.
//!
//! # Data larger than memory
//!
//! [`FitData::from_dataset`](crate::train::FitData::from_dataset) reads the items of a burn `Dataset` when they are
//! needed. A `Batcher` joins them to rows, with context and weights if there are any. Shuffling, validation rows and a
//! resume from a checkpoint work as for rows in memory. At any time, a few batches are in memory.
//!
//! ```
//! use burn_flows::burn::data::dataloader::batcher::Batcher;
//! use burn_flows::burn::data::dataset::{Dataset, DatasetError};
//! use burn_flows::burn::tensor::{Device, Tensor, TensorData};
//! use burn_flows::prelude::*;
//! use std::io::{Read, Seek, SeekFrom};
//!
//! /// A file of f32 numbers, three in a row.
//! struct File(std::path::PathBuf);
//!
//! impl Dataset<[f32; 3]> for File {
//!     fn get(&self, row: usize) -> Result<[f32; 3], DatasetError> {
//!         let read = || {
//!             let (mut file, mut bytes) = (std::fs::File::open(&self.0)?, [0; 12]);
//!             file.seek(SeekFrom::Start(12 * row as u64))?;
//!             file.read_exact(&mut bytes)?;
//!             Ok([0, 4, 8].map(|at| f32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))))
//!         };
//!         read().map_err(DatasetError::new::<std::io::Error>)
//!     }
//!
//!     fn len(&self) -> usize {
//!         std::fs::metadata(&self.0).map_or(0, |file| file.len() as usize / 12)
//!     }
//! }
//!
//! /// The first two numbers are the event, the third is the context.
//! struct ToRows;
//!
//! impl Batcher<[f32; 3], Batch<2>> for ToRows {
//!     fn batch(&self, items: Vec<[f32; 3]>, device: &Device) -> Batch<2> {
//!         let all = Tensor::<2>::from_data(TensorData::new(items.concat(), [items.len(), 3]), device);
//!         Batch::new(all.clone().narrow(1, 0, 2)).with_context(all.narrow(1, 2, 1))
//!     }
//! }
//!
//! # let path = std::env::temp_dir().join(format!("burn-flows-rows-{}", std::process::id()));
//! # let numbers = Noise::seeded(1).normal::<2>([300, 3], &Device::flex()).into_data().try_to_vec_as::<f32>().unwrap();
//! # std::fs::write(&path, numbers.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
//! let data = FitData::from_dataset(File(path.clone()), ToRows)?;
//! let flow = MafConfig::new(2).with_layers(1).with_context(1).init(&Device::flex());
//! let flow = flow.standardized(&data.rows().x)?; // from up to 10,000 rows
//! let (_, report) = fit(flow, data, &FitConfig::new().with_epochs(2))?;
//! assert_eq!(report.steps, 2 * 3); // 270 rows in batches of 128
//! # std::fs::remove_file(path).unwrap();
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! [`FitData::from_loader`](crate::train::FitData::from_loader) takes a `DataLoader` of burn, which decides the batches.
//! `cargo bench --bench stream` trains on 10 GiB of generated rows and measures its peak of memory.
//!
//! The batches bring their own context and weights: a batcher calls
//! [`Batch::with_weights`](crate::train::Batch::with_weights). A time limit is checked after each step. A resumed run
//! continues from its last checkpoint: see the chapter [`reproducibility`](super::reproducibility).
//!
//! # Other losses
//!
//! An [`Objective`](crate::train::Objective) is a loss for each row.
//! [`with_objective`](crate::train::Training::with_objective) takes [`ReverseKl`](crate::train::ReverseKl) for a target
//! without data (chapter [`without_data`](super::without_data)), [`Atomic`](crate::train::Atomic) for the later rounds
//! of sequential inference (chapter [`conditional`](super::conditional)), or an objective of your own. All settings of the
//! configuration work with every objective; [`reversible`](crate::train::FitConfig::reversible) needs the NLL.
