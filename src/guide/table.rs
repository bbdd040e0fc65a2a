//! Densities of a table: from a CSV file to log-densities and new rows.
//!
//! A table is a `Tensor<2>` of shape `[rows, columns]`. A flow learns the joint density of all columns.
//!
//! # From a file to a flow
//!
//! The program below reads three CSV files without a header line: training, validation and test rows.
//!
//! ```
//! use burn_flows::burn::tensor::{Device, Tensor, TensorData};
//! use burn_flows::prelude::*;
//!
//! fn read(part: &str, device: &Device) -> Result<Tensor<2>, Box<dyn std::error::Error>> {
//!     let text = std::fs::read_to_string(format!("examples/data/wine_{part}_raw.csv"))?;
//!     let cells = text.lines().flat_map(|line| line.split(','));
//!     let values: Vec<f32> = cells.map(|cell| cell.trim().parse()).collect::<Result<_, _>>()?;
//!     let rows = text.lines().count();
//!     let shape = [rows, values.len() / rows];
//!     Ok(Tensor::from_data(TensorData::new(values, shape), device))
//! }
//!
//! let device = Device::flex();
//! let (train, validation, test) =
//!     (read("train", &device)?, read("val", &device)?, read("test", &device)?);
//! let columns = train.dims()[1];
//!
//! let network = MlpConfig::new(vec![32]).with_dropout(0.2);
//! let model = RealNvpConfig::new(columns).with_layers(4).with_mlp(network).with_seed(1).init(&device);
//! let flow = model.standardized(&train)?;
//!
//! let data = FitData::new(train).with_validation(validation);
//! let config = FitConfig::new().with_epochs(3).with_batch_size(32).with_seed(1);
//! let (flow, report) = fit(flow, data, &config)?;
//! assert_eq!(report.epochs.len(), 3);
//!
//! let log_prob = flow.log_prob(test.clone()); // nats, one number for each row
//! let new_rows = flow.sample_seeded::<2>(5, 42); // in the units of the file
//! assert_eq!((log_prob.dims(), new_rows.dims()), ([test.dims()[0]], [5, 13]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * [`Flow::standardized`](crate::Flow::standardized) makes [`Standardize`](crate::bijector::Standardize) the first
//!   layer. The mean and the deviation of a column come from the training rows. Both are saved with the flow and are not
//!   trained.
//! * [`Flow::standardized_within`](crate::Flow::standardized_within) also takes a bound for each column. Samples lie
//!   inside the bounds.
//! * [`FitData::with_validation`](crate::train::FitData::with_validation) sets the validation rows. Without validation
//!   rows, `fit` uses 10 % of the training rows for validation ([`validation_fraction`](crate::train::FitConfig)).
//! * [`fit`](crate::train::fit) returns the weights of the epoch with the lowest validation NLL (negative
//!   log-likelihood).
//! * `Flow::new(Standardize::from_data(train)?, model)` builds the same density. Its base is the whole model, so
//!   `encode` returns standardised rows. The `encode` of `model.standardized(&train)?` returns latents.
//! * The default of `FitConfig` is 100 epochs. In a clone of the repository,
//!   `cargo run --release -p examples --example tabular -- --data FILE` fits a CSV or NPY file from the command line.
//!
//! # Nats, bits and units
//!
//! A log-density is in nats and belongs to the units of the columns. A column in millimetres instead of metres lowers
//! the log-density by `ln 1000`. Two flows can be compared only if both score the same columns in the same units.
//!
//! ```
//! use burn_flows::bijector::Bijector;
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! let metres = Noise::seeded(1).normal::<2>([200, 2], &device);
//! let standard = Standardize::from_data(metres.clone() * 1000.0)?;
//! let flow = Flow::new(standard.clone(), StandardNormal::<2>::new([2], &device));
//!
//! // The mean negative log-likelihood of a row.
//! let nats = nll(&flow, metres.clone() * 1000.0, 1024);
//! let bits = nats / std::f64::consts::LN_2;
//! assert!(bits > nats);
//!
//! // NLL of the standardised columns = NLL of the raw columns
//! //                                  + the log-determinant of `Standardize`.
//! let (z, log_det) = standard.forward(metres * 1000.0, None);
//! let standardised = nll(flow.base(), z, 1024);
//! let difference = nats + log_det.mean().into_scalar::<f64>() - standardised;
//! assert!(difference.abs() < 1e-3);
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! # Weights of rows
//!
//! A weight says how often a row counts: an importance weight, a survey weight, or the balance of a class. A weight of
//! 2 has the effect of two equal rows, a weight of 0 the effect of no row. Weights apply to training, to the validation
//! NLL and to [`nll`](crate::train::nll); see [`Batch`](crate::train::Batch).
//!
//! ```
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! let mut noise = Noise::seeded(1);
//! let (x, held_out) = (noise.normal::<2>([300, 2], &device), noise.normal::<2>([50, 2], &device));
//! let weights = noise.uniform::<1>([300], &device); // one for each row
//! let validation = Batch::new(held_out).with_weights(noise.uniform([50], &device))?;
//! let flow = RealNvpConfig::new(2).with_layers(2).with_seed(1).init(&device);
//! let data = FitData::new(x).with_weights(weights)?.with_validation(validation.clone());
//! let (flow, report) = fit(flow, data, &FitConfig::new().with_epochs(2).with_seed(1))?;
//! let weighted = nll(&flow, validation, 1024); // nats
//! assert!((weighted - report.best_validation_loss.unwrap()).abs() < 1e-6);
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! # Discrete columns and ties
//!
//! If many rows share a value of a column, a narrower peak at that value has a higher likelihood. `fit` reports
//! such columns in [`Report::warnings`](crate::train::Report), and
//! [`FitConfig::strict`](crate::train::FitConfig) turns the first warning into an error. Uniform noise in
//! [0, 1) spreads an integer over an interval of length 1, and `floor` returns the integer.
//!
//! ```
//! use burn_flows::burn::tensor::{Device, Tensor};
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! let mut noise = Noise::seeded(1);
//! let size = noise.normal::<2>([300, 1], &device);
//! let count = (noise.uniform::<2>([300, 1], &device) * 5.0).floor(); // 0, 1, 2, 3 or 4
//! let rows = |count: &Tensor<2>| Tensor::cat(vec![size.clone(), count.clone()], 1);
//! assert_eq!(FitData::new(rows(&count)).warnings()[0].columns, [1]);
//!
//! let spread = count.clone() + noise.uniform([300, 1], &device);
//! assert!(FitData::new(rows(&spread)).warnings().is_empty());
//! assert_eq!(spread.floor().into_data(), count.into_data());
//! ```
//!
//! [`FitData::with_dequantization`](crate::train::FitData::with_dequantization) draws the noise anew in each epoch: of
//! all columns with [`Dequantize`](crate::train::Dequantize), of chosen columns with
//! [`DequantizeColumns`](crate::train::DequantizeColumns).
//!
//! # Columns of different kinds
//!
//! | column | what fits |
//! | --- | --- |
//! | real number | no bound ([`Bound::Free`](crate::bijector::Bound)) |
//! | positive number, number above or below a limit | [`Bound::Above`](crate::bijector::Bound), [`Bound::Below`](crate::bijector::Bound) |
//! | share, number in an interval | [`Bound::Between`](crate::bijector::Bound) |
//! | angle | a circular spline, on a [`Uniform`](crate::distribution::Uniform) in a [`Product`](crate::distribution::Product) of bases |
//! | ordered integer: a count, a grade | [`DequantizeColumns`](crate::train::DequantizeColumns), and `Bound::Between(0.0, 1.0)` |
//! | category that is known when the flow is used | the context, one-hot: see the chapter [`conditional`](super::conditional) |
//! | category to be modelled | [`CategoricalMade`](crate::distribution::CategoricalMade) in a [`Chained`](crate::distribution::Chained) |
//!
//! The program below models a class, a count, a share and a size, which all depend on each other. The class comes first.
//! The flow of the other columns has the one-hot class as its context.
//!
//! ```
//! use burn_flows::bijector::Bound;
//! use burn_flows::burn::tensor::{Device, Tensor};
//! use burn_flows::distribution::{CategoricalMadeConfig, Chained};
//! use burn_flows::prelude::*;
//! use burn_flows::train::DequantizeColumns;
//!
//! let device = Device::flex();
//! let mut noise = Noise::seeded(1);
//! let mut column = || noise.uniform::<2>([300, 1], &device);
//! // Column 0: a class 0, 1 or 2. Column 1: a count of 0 to 4. Column 2: a share. Column 3: a positive size.
//! let x = [(column() * 3.0).floor(), (column() * 5.0).floor(), column(), column().exp()];
//! let x = Tensor::cat(x.to_vec(), 1);
//!
//! // The count becomes a number in (0, 1).
//! let counts = DequantizeColumns::new(vec![(1, 5)])?;
//! let numbers = counts.apply(x.clone(), &mut Noise::seeded(2)).narrow(1, 1, 3); // columns 1 to 3
//! let unit = Bound::Between(0.0, 1.0);
//! let flow = RealNvpConfig::new(3).with_layers(2).with_context(3).with_seed(1).init(&device);
//! let flow = flow.standardized_within(vec![unit, unit, Bound::Above(0.0)], &numbers)?;
//!
//! let class = CategoricalMadeConfig::new(vec![3]).with_seed(1).init(&device);
//! let model = Chained::new(&Mask::Kept(vec![0]), 4, class, flow, &device)?.with_one_hot(vec![Some(3)])?;
//! let data = FitData::new(x).with_dequantization(counts.clone());
//! let (model, report) = fit(model, data, &FitConfig::new().with_epochs(2).with_seed(1))?;
//! assert!(report.warnings.is_empty());
//!
//! // The negative log-likelihood of classes, counts, shares and sizes is at most this number of nats.
//! let bound = report.best_validation_loss.unwrap() + counts.log_volume();
//! assert!(bound.is_finite());
//! let drawn = counts.restore(model.sample(10, None, &mut Noise::seeded(3), &device)); // whole classes and counts
//! assert_eq!(drawn.clone().narrow(1, 0, 2).floor().into_data(), drawn.narrow(1, 0, 2).into_data());
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! A category can also come last, given the numbers: the numbers are then the first distribution of the `Chained`.
//! Several categories are columns of one `CategoricalMade`.
//!
//! An angle beside a length needs a base on a circle and a line, because a normal base has mass outside the circle. A
//! network that sees the angle needs [`Periodic`](crate::conditioner::Periodic) inputs, or the density has a seam at the
//! ends of the circle. `standardized_within` standardises all columns: for an angle beside other columns, put
//! `Partial` with `Standardize` or `Bounded` for the other columns first.
//!
//! ```
//! use std::f64::consts::PI;
//!
//! use burn_flows::burn::tensor::{Device, Tensor};
//! use burn_flows::conditioner::Periodic;
//! use burn_flows::distribution::{Product, Uniform};
//! use burn_flows::prelude::*;
//! use burn_flows::univariate::{RationalQuadraticConfig, SplineDomain};
//!
//! let device = Device::flex();
//! let high = Tensor::<2>::full([1, 1], PI, &device);
//! let angle = Uniform::new(-high.clone(), high)?;
//! // Column 0 is the angle.
//! let base = Product::new(&Mask::Kept(vec![0]), 2, angle, StandardNormal::<2>::new([1], &device), &device)?;
//! let spline = |domain| RationalQuadraticConfig::new().with_domain(domain).init();
//! let coupling = |kept, periodic, spline| {
//!     let mlp = MlpConfig::new(vec![64, 64]).with_periodic(periodic);
//!     let mask = Mask::Kept(vec![kept]);
//!     CouplingConfig::new(2).with_mask(mask).with_mlp(mlp).with_seed(1).init(spline, &device)
//! };
//! let turn = Periodic { inputs: vec![0], period: 2.0 * PI }; // the angle is the only input
//! let layers = (
//!     coupling(1, None, spline(SplineDomain::Circular { bound: PI })), // moves the angle
//!     coupling(0, Some(turn), spline(SplineDomain::LinearTails { bound: 5.0 })), // moves the length
//! );
//! let flow = Flow::new(layers, base);
//! let x = flow.sample_seeded::<2>(1000, 1);
//! assert!(x.clone().narrow(1, 0, 1).abs().max().into_scalar::<f32>() <= PI as f32);
//! let (flow, _) = fit(flow, x, &FitConfig::new().with_epochs(2).with_seed(1))?;
//! // Both ends of the circle are one point.
//! let ends = flow.log_prob(Tensor::<2>::from_data([[-PI, 0.7], [PI, 0.7]], &device));
//! let seam = ends.clone().narrow(0, 0, 1) - ends.narrow(0, 1, 1);
//! assert!(seam.abs().into_scalar::<f32>() < 1e-4);
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! # Missing values
//!
//! A flow has no density for a row with a missing cell. [`FitData::check`](crate::train::FitData::check) and `fit`
//! return an error that names the row and the column. Remove incomplete rows, or impute the missing cells before
//! training.
//!
//! ```
//! use burn_flows::burn::tensor::{Device, Tensor, TensorData};
//! use burn_flows::prelude::*;
//!
//! let text = "1.5,2.0\n3.0,\n5.0,6.5";
//! let parse = |cell: &str| cell.trim().parse().unwrap_or(f32::NAN);
//! let rows: Vec<Vec<f32>> = text.lines().map(|line| line.split(',').map(parse).collect()).collect();
//! let tensor = |rows: &[Vec<f32>]| {
//!     Tensor::<2>::from_data(TensorData::new(rows.concat(), [rows.len(), 2]), &Device::flex())
//! };
//! let error = FitData::new(tensor(&rows)).check().unwrap_err();
//! assert_eq!(error.to_string(), "training data: row 1, column 1 holds NaN; remove or impute it");
//!
//! let complete: Vec<_> = rows.into_iter().filter(|row| row.iter().all(|cell| cell.is_finite())).collect();
//! assert!(FitData::new(tensor(&complete)).check().is_ok());
//! ```
