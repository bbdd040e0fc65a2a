//! Backends, devices and precision.
//!
//! burn 0.22 has no backend type parameter: where older code says `Flow<B: Backend>`, this crate says `Flow`, and
//! the `Device` of a tensor decides. One compiled flow runs on every backend that is enabled.
//!
//! # Features
//!
//! `cargo add burn-flows --features wgpu` enables a backend. `Device::wgpu(Default::default())` is its device. The
//! constructors of the other devices have the names of their features, such as `Device::cuda(0)`.
//!
//! | feature | what it enables |
//! | --- | --- |
//! | `flex` (default) | pure Rust on the CPU, with this crate's fused kernels |
//! | `ndarray` | CPU |
//! | `wgpu` | WebGPU, with burn's fused kernels |
//! | `wgpu-unfused` | WebGPU without fused kernels: compiles and starts sooner, runs slower |
//! | `vulkan`, `metal`, `webgpu` | WebGPU with fused kernels, for one graphics interface |
//! | `cuda`, `rocm` | NVIDIA and AMD GPUs |
//! | none (`default-features = false`) | the library builds without a backend |
//!
//! # Precision
//!
//! All layers work in f32. On `flex` and `ndarray` all layers also work in f64: call
//! `device.configure(burn::tensor::FloatDType::F64)` before the first tensor, or [`cast`](crate::cast) a module. On
//! `flex` all layers also work in f16 and bf16, with log-determinants, log-densities, scalar maps and matrices in f32:
//! the documentation of [`cast`](crate::cast) says what is lost. [`to_device`](crate::to_device) moves a flow between
//! backends; burn's own `to_device` moves a flow between devices of one backend.
//!
//! # What was compared
//!
//! `cargo test --release --test backends` runs on every enabled backend whose hardware is there. `BURN_DEVICE=cuda`
//! selects one backend. The test compares latents, log-determinants, inverses and gradients of the layers with `flex`
//! in f64. The tolerance is 1e-9 in f64 and 1e-4 in f32. The test also sends each layer to the backend and back as a
//! record. `--features ndarray,wgpu-unfused` adds these two backends. Debian's `libvulkan1` and `mesa-vulkan-drivers`
//! provide Vulkan without a GPU.
//!
//! | | `flex` f64, f32 | `flex` f16, bf16 | `ndarray` f64, f32 | `wgpu` f32 | `cuda` |
//! | --- | --- | --- | --- | --- | --- |
//! | linear layers, normalization, permutations | run | run | run | run | types checked |
//! | fixed scalar maps (`Exp`, `Logit`, ..) | run | run | run | run | types checked |
//! | couplings and masked layers of affine and additive maps | run | run | run | run | types checked |
//! | splines, in couplings, masked and elementwise | run | run | run | run | types checked |
//! | maps inverted by a search | run | run | run | run | types checked |
//! | image layers: convolutions, squeezes, Glow, Real NVP | run | run | run | run | types checked |
//! | planar, radial, Sylvester | run | run | run | run | types checked |
//! | residual, block autoregressive, continuous | run | run | run | run | types checked |
//! | stacks and models | run | run | run | run | types checked |
//! | distributions: densities, seeded draws, weights in files | run | | run | run | types checked |
//! | training by `fit` | run | bf16 run, f16 is refused | f32 run | run | types checked |
//!
//! CI runs the columns of `flex`, `ndarray` and `wgpu`. `wgpu` runs on Mesa's software Vulkan without fused kernels.
//! With fused kernels (`--features wgpu`), 190 of the 427 tests were run and passed: distributions, elementwise maps,
//! couplings, images, linear and masked layers. The kernels of the other layers take too long to compile for a CPU. On
//! Mesa's driver `wgpu` claims f64, but shaders have no f64 exponential and return zero: a flow there panics and says
//! so. A Real NVP in f16 on Mesa's driver is within 2e-2 of f64; other layers were not compared in f16. `cuda` is
//! type-checked, neither linked nor run. `vulkan`, `metal`, `webgpu` and `rocm` are not tested.
