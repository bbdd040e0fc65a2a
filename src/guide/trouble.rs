//! When training goes wrong, and how to test a trained density.
//!
//! # Read the report first
//!
//! [`fit`](crate::train::fit) returns a [`Report`](crate::train::Report).
//!
//! | observation | cause | remedy |
//! | --- | --- | --- |
//! | error: non-finite loss or gradient, column named | scale of the column | [`Flow::standardized`](crate::Flow::standardized) |
//! | error: non-finite loss or gradient, layer named | learning rate or layer | lower `learning_rate`, `warmup_steps` |
//! | `skipped_steps` above 0 | a few bad batches | look for outliers; lower `learning_rate` |
//! | error: a validation row is named | row outside of the support | another first layer, or remove the row |
//! | `train_loss` falls, `validation_loss` rises | overfitting | dropout, `patience`, `average`, fewer layers |
//! | both fall until the last epoch | too few epochs | more `epochs`, or a higher `learning_rate` |
//! | the NLL falls without limit | ties in a column | `warnings`: see the chapter [`table`](super::table) |
//!
//! # The scale of the data
//!
//! The initial weights suit columns with mean 0 and standard deviation 1. A column with a mean far from 0 or a
//! deviation far from 1 can stop the training. The error names the column.
//!
//! ```
//! use burn_flows::burn::tensor::{Device, Tensor};
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! let scale = Tensor::<2>::from_data([[1.0, 1e30]], &device);
//! let x = Noise::seeded(1).normal::<2>([200, 2], &device) * scale;
//! let model = || RealNvpConfig::new(2).with_layers(2).with_seed(1).init(&device);
//! let config = FitConfig::new().with_epochs(1);
//! let error = fit(model(), x.clone(), &config).unwrap_err().to_string();
//! assert!(error.starts_with("training data: column 1 has mean "), "{error}");
//!
//! let flow = model().standardized(&x)?;
//! assert!(fit(flow, x, &config).is_ok());
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! # A value that is not finite
//!
//! [`Distribution::first_non_finite`](crate::distribution::Distribution::first_non_finite) names the first layer that
//! returns a value that is not finite.
//!
//! ```
//! use burn_flows::bijector::Logit;
//! use burn_flows::burn::tensor::{Device, Tensor};
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! let (layers, base) = RealNvpConfig::new(2).with_layers(2).with_seed(1).init(&device).into_parts();
//! let flow = Flow::new((Logit::new(0.0)?, layers), base);
//! let x = Tensor::<2>::from_data([[0.5, 1.5]], &device); // 1.5 is outside of (0, 1)
//! assert_eq!(flow.log_prob(x.clone()).into_scalar::<f32>(), f32::NEG_INFINITY);
//! let layer = flow.first_non_finite(x, None).unwrap();
//! assert!(layer.contains("Logit"), "{layer}");
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! # Overfitting
//!
//! A flow with many weights reproduces few training rows: the training NLL falls while the validation NLL rises. The
//! program below uses dropout in the networks, random masks, an average of the weights, and early stopping.
//!
//! ```
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::prelude::*;
//! use burn_flows::train::Stop;
//!
//! let device = Device::flex();
//! let x = Noise::seeded(1).normal::<2>([60, 4], &device); // few rows
//! let network = MlpConfig::new(vec![32]).with_dropout(0.3);
//! let model = RealNvpConfig::new(4).with_layers(2).with_mlp(network).with_masks(Masks::Random(1));
//! let config = FitConfig::new()
//!     .with_epochs(100)
//!     .with_learning_rate(1e-2)
//!     .with_validation_fraction(0.3)
//!     .with_average(Some(0.9))
//!     .with_patience(Some(2));
//! let (_, report) = fit(model.with_seed(1).init(&device), x, &config)?;
//! assert_eq!(report.stop, Stop::EarlyStopping);
//! assert!(report.best_epoch < report.epochs.len());
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! # Coverage: is the density calibrated?
//!
//! The latents of test rows are standard normal if the flow is right. The probability integral transform
//! `u = (1 + erf(z / sqrt 2)) / 2` of a latent is then uniform. Compare the share of each of ten bins with one tenth. A
//! U-shaped histogram means a density that is too narrow. A histogram with a peak in the middle means a density
//! that is too wide.
//!
//! ```
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! let mut noise = Noise::seeded(1);
//! let mut draw = |rows| noise.normal::<2>([rows, 2], &device) * 2.0 + 1.0;
//! let (train, held_out) = (draw(1000), draw(2000));
//! let network = MlpConfig::new(vec![16]);
//! let model = RealNvpConfig::new(2).with_layers(2).with_mlp(network).with_seed(1).init(&device);
//! let flow = model.standardized(&train)?;
//! let (flow, _) = fit(flow, train, &FitConfig::new().with_epochs(2).with_seed(1))?;
//!
//! let z = flow.encode(held_out);
//! let u = ((z / 2f64.sqrt()).erf() + 1.0) * 0.5;
//! let mut shares = [0.0; 10];
//! for u in u.into_data().iter::<f64>() {
//!     shares[(u * 10.0).min(9.0) as usize] += 1.0 / 4000.0; // 2000 rows of 2 latents
//! }
//! assert!(shares.iter().all(|share: &f64| (share - 0.1).abs() < 0.03), "{shares:?}");
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! For a posterior, use `flow.given(&observations).encode(parameters)` with held-out pairs. The check needs a flow
//! whose base is a standard normal. The check does not find a dependence between two latents.
//!
//! # Do density and samples belong together?
//!
//! `testing::certify` (feature `testing`) sends data through each layer and back, and compares log-determinants with
//! the Jacobian. `lost` returns a layer whose inverse is inaccurate because of rounding. `wrong` returns a layer whose
//! log-determinant is wrong. `cargo add burn-flows --features testing` enables the feature.
//!
//! ```
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::prelude::*;
//! use burn_flows::testing::certify;
//!
//! let device = Device::flex();
//! let flow = RealNvpConfig::new(2).with_layers(2).with_seed(1).init(&device);
//! let x = Noise::seeded(1).normal::<2>([100, 2], &device);
//! let certificate = certify(&flow, &x, None);
//! assert!(certificate.lost().is_none() && certificate.wrong().is_none());
//! ```
