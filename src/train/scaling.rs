//! Training on more than one device: a page, no code.
//!
//! [`fit`](super::fit) trains on one device, of which it uses every core. For several, a flow trains in
//! burn-train's learner (feature `learner`, [`Trainee`](super::Trainee)) by the strategies that burn 0.22.1
//! has; nothing here is of this crate's own making.
//!
//! ```sh
//! cargo run --release -p examples --features learner --example learner                                     # one device
//! cargo run --release -p examples --features learner --example learner -- --strategy multi --devices 2     # two workers on the CPU
//! cargo run --release -p examples --features learner,wgpu --example learner -- --backend wgpu
//! cargo run --release -p examples --features learner,cuda --example learner -- --backend cuda --strategy multi --devices 4
//! cargo run --release -p examples --features learner,cuda --example learner -- --backend cuda --strategy ddp --devices 4
//! ```
//!
//! | strategy | what happens | where it runs |
//! | --- | --- | --- |
//! | `single` | one device does everything | every backend |
//! | `multi` | a batch for every device; the first adds the gradients up, steps, and hands out the weights | every backend, devices of one kind |
//! | `ddp` | a replica on every device, gradients averaged by all-reduce | CUDA with NCCL |
//!
//! # One device or two, the same curve
//!
//! `multi` gives every device a part of the rows and a batch of the size that one device would get. It adds
//! the gradients up; it does not average them. So two devices take the steps of one device that
//! accumulates two batches (`grads_accumulation(2)`), and the crate's tests compare just that: the losses of
//! all batches and the final weights are the same, bit for bit. Adam does not see the factor of two;
//! halve the rate of an optimizer that does, as SGD. An epoch has half as many steps.
//!
//! `ddp` averages (`ReduceOperation::Mean`), so its rate stays what it is.
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
//! `ddp` needs the library of NCCL (`libnccl.so.2`; Debian and Ubuntu: `libnccl2` of NVIDIA's repository) where
//! the loader finds it:
//!
//! ```text
//! ExecutionStrategy::ddp(devices, DistributedConfig { all_reduce_op: ReduceOperation::Mean })
//! ```
//!
//! On any other backend burn 0.22 panics in the first step, in a worker's thread; the example says so
//! before it starts. A layer that mixes rows in training ([`BatchNorm`](crate::bijector::BatchNorm)) sees
//! the rows of its own device only, with either strategy.
//!
//! # Devices of another machine
//!
//! Burn reaches devices over the network. On the machine that has them, a program with
//! `burn = { version = "0.22.1", features = ["cuda", "remote-server"] }`:
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
//! and on the machine that trains, beside this crate, `burn = { version = "0.22.1", features = ["remote"] }`:
//!
//! ```text
//! use burn::remote::RemoteHost;
//!
//! let host = RemoteHost::iroh(server_id).with_credential(token);
//! let devices = host.devices()?.into_vec();
//! let multi = ExecutionStrategy::multi(devices, MultiDeviceOptim::OptimMainDevice);
//! ```
//!
//! The feature `remote-websocket` on both sides is simpler on a trusted network: `WebSocketTransport::new(3000)`
//! serves, `RemoteHost::websocket("ws://gpu:3000")` connects, nothing is encrypted. A flow needs no change: its
//! tensors live where its device is.
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
//! `single` and `multi` on CPU devices, by this crate's tests. `ddp`, several GPUs and remote devices are
//! compiled by burn and described here from its sources; this crate's tests do not run them.
