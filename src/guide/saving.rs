//! Saving and serving: files, threads, and one row at a time.
//!
//! # Save, open, load
//!
//! | function | use |
//! | --- | --- |
//! | [`store::save`](crate::store::save) | writes the weights and all settings of a flow |
//! | [`store::open`](crate::store::open) | builds the flow from the file; you give its Rust type |
//! | [`store::load`](crate::store::load) | puts the weights into a flow that the program built |
//! | [`store::save_with_config`](crate::store::save_with_config) | also writes a configuration as JSON |
//!
//! The extension of the path chooses the format: `.safetensors` or `.bpk` (burnpack, the format of burn).
//!
//! ```
//! use burn_flows::bijector::Coupling;
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::conditioner::Mlp;
//! use burn_flows::prelude::*;
//!
//! # let folder = std::env::temp_dir().join(format!("burn-flows-guide-saving-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! # let path = folder.join("flow.safetensors");
//! // The type of the whole flow. `RealNvp` is `Flow<Vec<Coupling<Affine, Mlp>>, StandardNormal<2>>`.
//! type Model = Flow<(Standardize<2>, Vec<Coupling<Affine, Mlp>>), StandardNormal<2>>;
//!
//! let device = Device::flex();
//! let x = Noise::seeded(1).normal::<2>([100, 3], &device) * 5.0;
//! let config = RealNvpConfig::new(3).with_layers(2).with_seed(1);
//! let flow: Model = config.init(&device).standardized(&x)?;
//! store::save(&flow, &path)?;
//!
//! let opened: Model = store::open(&path, &device)?;
//! assert_eq!(opened.log_prob(x.clone()).into_data(), flow.log_prob(x).into_data());
//!
//! let other = config.with_layers(3).init(&device); // not the saved model
//! assert!(store::load(other, &path).is_err());
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! * A file that was damaged, truncated or written by another program is an [`Error`](crate::Error).
//! * If model and file differ, `load` returns an error that names the layer and the setting.
//! * A stack that is known at run time only has the type `Vec<AnyBijector>`: see the chapter
//!   [`layers`](super::layers).
//! * A training run that must survive an interruption needs a checkpoint: see the chapter
//!   [`reproducibility`](super::reproducibility).
//!
//! # Threads
//!
//! A flow is shared by reference. Threads can call one flow at the same time. On the backend `flex` the rows of a batch
//! are divided among all cores. [`set_threads`](crate::set_threads) limits the number of threads. The result does not
//! depend on the number of threads.
//!
//! ```
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::prelude::*;
//! use burn_flows::set_threads;
//!
//! let device = Device::flex();
//! let flow = RealNvpConfig::new(3).with_layers(2).with_seed(1).init(&device);
//! let x = Noise::seeded(1).normal::<2>([600, 3], &device);
//! let expected = flow.log_prob(x.clone()).into_data();
//!
//! set_threads(1); // for a server that has one thread for each request
//! let results: Vec<_> = std::thread::scope(|scope| {
//!     let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| flow.log_prob(x.clone()).into_data())).collect();
//!     workers.into_iter().map(|worker| worker.join().unwrap()).collect()
//! });
//! assert!(results.iter().all(|result| *result == expected));
//! ```
//!
//! * `set_threads(1)` suits many small requests at once. The default, 0, suits few large batches.
//! * A flow moves to another device by [`to_device`](crate::to_device). The function also moves a flow between
//!   backends.
//! * [`set_threads`](crate::set_threads) describes calls from a rayon pool, and one lock that must not be held.
//!
//! # One row at a time
//!
//! On `flex`, in f32 and f64, the log-density of a row does not depend on the other rows of the batch. A server may
//! therefore collect requests into a batch or evaluate each request alone.
//!
//! ```
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! let flow = RealNvpConfig::new(3).with_layers(2).with_seed(1).init(&device);
//! let x = Noise::seeded(1).normal::<2>([50, 3], &device);
//! let batch: Vec<f32> = flow.log_prob(x.clone()).into_data().iter().collect();
//! for (row, expected) in batch.iter().enumerate() {
//!     let alone = flow.log_prob(x.clone().narrow(0, row, 1)).into_scalar::<f32>();
//!     assert_eq!(alone, *expected);
//! }
//!
//! // A table that does not fit into memory as one batch: 16 rows at a time.
//! let chunks: Vec<f32> = flow.log_prob_batched(x, 16).into_data().iter().collect();
//! assert_eq!(chunks, batch);
//! ```
//!
//! * `sample_seeded(n, seed)` returns the same draws for one seed. A server that must not repeat draws uses `sample`,
//!   which takes its seed from the operating system.
//! * A flow in the middle of training records a graph. `flow.valid()` of burn's `Module` returns the flow without a
//!   graph. The flow that `fit` returns has no graph.
//! * A row with NaN has a log-density of NaN or minus infinity. Check the input before the flow, or check the output.
