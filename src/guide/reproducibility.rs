//! Reproducibility: seeds, threads and checkpoints.
//!
//! # Three seeds
//!
//! | seed | decides |
//! | --- | --- |
//! | `with_seed` of the configuration of a model, or [`seeded`](crate::seeded) | the initial weights |
//! | `seed` of [`FitConfig`](crate::train::FitConfig) | the split, the order of the rows, dequantization and dropout |
//! | `sample_seeded`, or [`Noise::seeded`](crate::Noise::seeded) | the draws |
//!
//! A model without a seed starts from fresh random weights. `FitConfig` has the default seed 0. `sample` takes its seed
//! from the operating system.
//!
//! ```
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! let run = || {
//!     let x = Noise::seeded(1).normal::<2>([200, 2], &device) * 2.0;
//!     let network = MlpConfig::new(vec![16]);
//!     let flow = RealNvpConfig::new(2).with_layers(2).with_mlp(network).with_seed(2).init(&device);
//!     let (flow, _) = fit(flow, x, &FitConfig::new().with_epochs(2).with_seed(3))?;
//!     Ok::<_, Error>(flow.sample_seeded::<2>(10, 4).into_data())
//! };
//! assert_eq!(run()?, run()?); // equal in all bits
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! # What equal seeds give
//!
//! | result | equal on |
//! | --- | --- |
//! | initial weights | all backends, threads and processes, bit for bit |
//! | numbers of `Noise` | all backends, up to the rounding of the precision |
//! | a trained flow | the same backend |
//! | draws of `sample_seeded` | all backends, up to rounding |
//!
//! The number of threads on `flex` changes no result. Backends round differently, so trained flows of two backends
//! differ.
//!
//! # Layers that are composed by hand
//!
//! [`seeded`](crate::seeded) sets the seed of all layers that its closure builds. The layers inside differ from each
//! other.
//!
//! ```
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::prelude::*;
//! use burn_flows::seeded;
//!
//! let device = Device::flex();
//! let network = MlpConfig::new(vec![8]).with_zero_last(false); // random in the last layer, too
//! let build = || {
//!     seeded(7, || {
//!         let coupling = || CouplingConfig::new(4).with_mlp(network.clone()).init(Affine::default(), &device);
//!         Flow::new((coupling(), coupling()), StandardNormal::<2>::new([4], &device))
//!     })
//! };
//! let draws = |flow: Flow<_, _>| flow.sample_seeded::<2>(5, 1).into_data();
//! assert_eq!(draws(build()), draws(build()));
//! ```
//!
//! Modules of burn, such as `burn::nn::Linear`, draw their weights from the generator of the device. Call
//! `device.seed(..)` before such modules are built.
//!
//! # Checkpoints
//!
//! [`FitConfig::checkpoint`](crate::train::FitConfig) names a folder. `fit` writes the state of the training into the
//! folder after each epoch. The next `fit` with the same folder continues after the last saved epoch. The result of a
//! run in two parts equals the result of a run in one part, bit for bit.
//!
//! ```
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::prelude::*;
//! use burn_flows::train::Schedule;
//!
//! # let folder = std::env::temp_dir().join(format!("burn-flows-guide-checkpoint-{}", std::process::id()));
//! let device = Device::flex();
//! let x = Noise::seeded(1).normal::<2>([200, 2], &device) * 2.0;
//! let train = |epochs, folder| {
//!     let network = MlpConfig::new(vec![16]);
//!     let flow = RealNvpConfig::new(2).with_layers(2).with_mlp(network).with_seed(1).init(&device);
//!     // A constant rate: the cosine follows the number of epochs, which differs between the runs.
//!     let config = FitConfig::new().with_schedule(Schedule::Constant).with_epochs(epochs).with_checkpoint(folder);
//!     fit(flow, x.clone(), &config)
//! };
//! train(1, Some(folder.clone()))?; // interrupted after one epoch
//! let (resumed, report) = train(3, Some(folder.clone()))?;
//! assert_eq!(report.resumed_from, Some(1));
//!
//! let (whole, _) = train(3, None)?;
//! assert_eq!(resumed.log_prob(x.clone()).into_data(), whole.log_prob(x.clone()).into_data());
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! * A checkpoint belongs to its data, model, optimizer and configuration. `fit` refuses a checkpoint of another run.
//!   The number of epochs may grow.
//! * `checkpoint_every` sets the number of epochs between two checkpoints.
//! * A process that is killed while it writes leaves the previous checkpoint intact.
//! * A checkpoint is not a file of [`store`](crate::store). Save the returned flow for use.
//!
//! # What to record with a result
//!
//! Record the three seeds, the version of `burn-flows`, the backend and the precision. `report.epochs` holds the NLL of
//! each epoch, and `report` derives serde's `Serialize`.
