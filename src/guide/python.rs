//! Weights from Python: flows of zuko, nflows, normflows and FlowJAX.
//!
//! The feature `interop` reads the weights of a flow that was trained in Python:
//! `cargo add burn-flows --features interop`. The loaded flow is an ordinary [`Flow`](crate::Flow) with all
//! methods of a flow.
//!
//! # Save in Python
//!
//! | library | in Python |
//! | --- | --- |
//! | zuko, nflows, normflows | `torch.save(flow.state_dict(), "flow.pt")` |
//! | zuko, nflows, normflows, without pickle | `safetensors.torch.save_file(flow.state_dict(), "flow.safetensors")` |
//! | FlowJAX | the leaves of the tree under their paths: see the documentation of `interop::flowjax` |
//!
//! Save a few rows and their log-densities beside the weights. The last section compares these numbers.
//!
//! # Load in Rust
//!
//! `StateDict::load("flow.pt")` reads a file. The content of the file decides the format. No code of a pickle is run.
//! The program below builds the tensors in code, and needs no file. The tensors are those of
//! `zuko.flows.MAF(features=2, transforms=1, hidden_features=(1,))`.
//!
//! ```
//! use burn_flows::burn::tensor::{Device, Tensor};
//! use burn_flows::interop::{HostTensor, StateDict, zuko};
//!
//! let mut dict = StateDict::new(); // in a program of yours: StateDict::load("flow.pt")?
//! let mut insert = |name: &str, tensor| dict.insert(format!("transform.transforms.0.{name}"), tensor);
//! insert("order", HostTensor::ints([0, 1], [2]));
//! insert("hyper.0.weight", HostTensor::floats([2.0, 0.3], [1, 2]));
//! insert("hyper.0.bias", HostTensor::floats([0.0], [1]));
//! insert("hyper.0.mask", HostTensor::bools([true, false], [1, 2]));
//! insert("hyper.2.weight", HostTensor::floats([0.1, 0.2, 0.25, 0.0], [4, 1]));
//! insert("hyper.2.bias", HostTensor::floats([0.0; 4], [4]));
//! insert("hyper.2.mask", HostTensor::bools([false, false, true, true], [4, 1]));
//!
//! let device = Device::flex();
//! let flow = zuko::maf(&dict, &zuko::Options::new(), &device)?;
//! let x = Tensor::<2>::from_data([[1.0, 3.0]], &device);
//!
//! // The second feature is shifted by 0.25 * relu(2 * 1.0).
//! let z = flow.encode(x.clone());
//! assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [1.0, 3.5]);
//! let expected = -0.5 * (1.0 + 3.5f32 * 3.5) - (2.0 * std::f32::consts::PI).ln();
//! assert!((flow.log_prob(x).into_scalar::<f32>() - expected).abs() < 1e-5);
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! # Which function
//!
//! | library | whole flows |
//! | --- | --- |
//! | zuko 1.6 | `zuko::real_nvp`, `maf`, `nsf`, `ncsf`, `bpf`, `sospf`, `naf`, `unaf`, `gf`, `cnf` |
//! | nflows 0.14 | `nflows::flow`, `nflows::glow` |
//! | normflows 1.7 | `normflows::flow`, `normflows::multiscale` |
//! | FlowJAX 19 | `flowjax::coupling_flow`, `masked_autoregressive_flow`, `triangular_spline_flow`, and others |
//!
//! Each module also loads single layers. The documentation of a module ends its table with the options that the module
//! does not support.
//!
//! The sizes come from the tensors: features, hidden widths, number of layers. Some settings are not in the file, such
//! as the activation or the bound of a spline. These settings are fields of `Options`, with the defaults of the
//! library. A setting that differs from the default in Python must also be set in `Options`. A wrong value in
//! `Options` gives wrong densities without an error, because the file does not contain the setting.
//!
//! # Part of a checkpoint
//!
//! A trainer often saves a model under a name, beside the optimizer. `below` selects the model.
//!
//! ```
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::interop::{HostTensor, StateDict, nflows};
//!
//! let mut checkpoint = StateDict::new();
//! checkpoint.insert("model._transforms.0._permutation", HostTensor::ints([1, 0], [2]));
//! checkpoint.insert("optimizer.step", HostTensor::floats([100.0], []));
//!
//! let (device, options) = (Device::flex(), nflows::Options::new());
//! let flow = nflows::flow(&checkpoint.below("model"), &options, &device)?;
//! assert_eq!(flow.sample::<2>(3).dims(), [3, 2]);
//!
//! // A tensor without a place is an error that names the tensor.
//! assert!(nflows::flow(&checkpoint, &options, &device).is_err());
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! # Compare, save, train
//!
//! 1. Compare: evaluate the saved rows in f64, after `device.configure(burn_flows::burn::tensor::FloatDType::F64)`.
//!    Log-densities agree to 1e-9, relative to their magnitude. The documentation of `interop` lists the exceptions.
//! 2. Save: [`store::save`](crate::store::save) writes a file that needs neither Python nor `interop` afterwards.
//! 3. Train: `train::fit` continues from the loaded weights.
//!
//! The direction of a loaded flow is the direction of this crate: `encode` maps data to latent. normflows and FlowJAX
//! call the other direction forward.
