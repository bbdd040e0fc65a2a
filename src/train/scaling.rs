//! Training on more than one device: a page, no code.
//!
//! [`fit`](super::fit) trains on one device and uses every core of it. To use several devices, train the flow in
//! burn-train's learner (feature `learner`, [`Trainee`](super::Trainee)) with the strategies of burn 0.22.1. This crate
//! adds no strategy of its own.
//!
//! ```sh
//! # One device:
//! cargo run --release -p examples --features learner --example learner
//! # Two workers on the CPU:
//! cargo run --release -p examples --features learner --example learner -- --strategy multi --devices 2
//! # One device of wgpu, then four devices of cuda with either strategy:
//! cargo run --release -p examples --features learner,wgpu --example learner -- --backend wgpu
//! cargo run --release -p examples --features learner,cuda --example learner -- \
//!     --backend cuda --strategy multi --devices 4
//! cargo run --release -p examples --features learner,cuda --example learner -- \
//!     --backend cuda --strategy ddp --devices 4
//! ```
//!
//! | strategy | what happens | where it runs |
//! | --- | --- | --- |
//! | `single` | one device makes every step | every backend |
//! | `multi` | every device takes a batch; the first device makes the step | every backend, devices of one kind |
//! | `ddp` | every device has a replica; all-reduce averages the gradients | CUDA with NCCL |
//!
//! # One device or two, the same curve
//!
//! `multi` gives every device a part of the rows. Every device gets batches of the size that a single device would get.
//! The first device adds the gradients of all devices and does not average them. It makes the step and sends the
//! weights to the other devices. Two devices therefore make the steps of one device that accumulates two batches
//! (`grads_accumulation(2)`). The crate's tests compare these two runs: the losses of all batches and the final weights
//! are the same, bit for bit. The factor of two does not change the steps of Adam. Halve the learning rate of an
//! optimizer whose steps it changes, such as SGD. An epoch has half as many steps.
//!
//! `ddp` averages the gradients (`ReduceOperation::Mean`), so the learning rate need not change.
//!
//! ```
//! use burn_flows::burn::module::Module;
//! use burn_flows::burn::optim::AdamWConfig;
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::burn::train::{
//!     ExecutionStrategy, Learner, MultiDeviceOptim, SupervisedTraining, TrainingStrategy,
//! };
//! use burn_flows::prelude::*;
//! use burn_flows::train::{FitData, NllMetric, Trainee};
//!
//! let device = Device::flex();
//! let flow = RealNvpConfig::new(2).with_layers(2).init(&device);
//! let data = FitData::new(Noise::seeded(1).normal::<2>([256, 2], &device));
//! let loader = |seed| data.batches(64, seed, &device);
//!
//! // On GPUs: Device::enumerate(DeviceType::Cuda).into_vec()
//! let devices = vec![device.clone(), device.clone()];
//! let multi = ExecutionStrategy::multi(devices, MultiDeviceOptim::OptimMainDevice);
//!
//! let folder = tempfile::tempdir()?;
//! let training = SupervisedTraining::new(folder.path(), loader(1), loader(2))
//!     .metrics((NllMetric::nats(),))
//!     .with_training_strategy(TrainingStrategy::Default(multi))
//!     .num_epochs(1);
//! let optimizer = AdamWConfig::new().init();
//! let result = training.launch(Learner::new(Trainee::new(flow.train()), optimizer, 1e-3));
//! assert!(result.error.is_none());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # All-reduce
//!
//! `ddp` requires the NCCL library (`libnccl.so.2`; Debian and Ubuntu: `libnccl2` from NVIDIA's repository) on the
//! search path of the dynamic loader:
//!
//! ```text
//! ExecutionStrategy::ddp(devices, DistributedConfig { all_reduce_op: ReduceOperation::Mean })
//! ```
//!
//! On any other backend burn 0.22 panics in the first step, in a worker thread. The example reports this before
//! training starts. With either strategy, a layer that mixes rows in training
//! ([`BatchNorm`](crate::bijector::BatchNorm)) uses only the rows of its own device.
//!
//! # Devices of another machine
//!
//! Burn reaches devices over the network. The machine with the devices runs a program with `burn = { version =
//! "0.22.1", features = ["cuda", "remote-server"] }`:
//!
//! ```text
//! use burn::server::{IrohIdentity, IrohTransport, RemoteServer, TokenAuthorizer};
//! use burn::tensor::{Device, DeviceType};
//!
//! let transport = IrohTransport::new(IrohIdentity::load_or_create("server.key")?);
//! println!("server id: {}", transport.id());
//! RemoteServer::new(Device::enumerate(DeviceType::Cuda).into_vec())
//!     .with_authorizer(TokenAuthorizer::new(token)?)
//!     .serve(transport)?;
//! ```
//!
//! The machine that trains depends on `burn = { version = "0.22.1", features = ["remote"] }` beside this crate:
//!
//! ```text
//! use burn::remote::RemoteHost;
//!
//! let host = RemoteHost::iroh(server_id).with_credential(token);
//! let devices = host.devices()?.into_vec();
//! let multi = ExecutionStrategy::multi(devices, MultiDeviceOptim::OptimMainDevice);
//! ```
//!
//! The feature `remote-websocket` on both machines is simpler in a trusted network: `WebSocketTransport::new(3000)`
//! serves, and `RemoteHost::websocket("ws://gpu:3000")` connects. A websocket connection is not encrypted. The code of
//! a flow does not change: its tensors are on the device that it was built on.
//!
//! # What burn 0.22 cannot do
//!
//! * No all-reduce outside CUDA: `flex`, `ndarray`, `wgpu` and `rocm` train by `multi` at most.
//! * No replicas over several machines: there is no rank and no world size. `ddp` takes the devices of one
//!   machine, or of one remote server; an all-reduce across two servers panics.
//! * `multi` over several servers works, and every gradient travels through the machine that trains.
//! * No model that is larger than a device: every device holds all weights.
//!   `MultiDeviceOptim::OptimSharded` shares out the work of the optimizer only.
//! * Checkpoints are per epoch.
//!
//! # What was run
//!
//! This crate's tests run `single` and `multi` on CPU devices. They do not run `ddp`, several GPUs or remote devices;
//! this page describes these from burn's source code.
