//! All readers of files, as functions of bytes. The tests here call them, and the fuzz targets of
//! `fuzz/` include this file as their library.

use std::path::Path;

use burn_flows::bijector::{AnyBijectorConfig, Bijector, RidgeActivation, Solver};
use burn_flows::burn::tensor::{Device, Tensor};
use burn_flows::conditioner::ActivationConfig;
use burn_flows::distribution::Distribution;
use burn_flows::interop::normflows::{GlowOptions, Layer};
use burn_flows::interop::{StateDict, flowjax, nflows, normflows, zuko};
use burn_flows::model::{GlowConfig, MafConfig, RealNvp, RealNvpConfig};
use burn_flows::univariate::SplineDomain;
use burn_flows::{Result, store};
use sha2::{Digest, Sha256};

/// The density of a loaded model, as a function of data and context.
pub type Read<const D: usize> = Box<dyn Fn(Tensor<D>, Option<&Tensor<2>>) -> Tensor<1>>;

/// A loaded model of vectors or of images.
pub enum Loaded {
    Rows(Read<2>),
    Images(Read<4>),
}

pub type Reader = fn(&StateDict, &Device) -> Result<Loaded>;

fn rows(density: impl Distribution<2> + 'static) -> Loaded {
    Loaded::Rows(Box::new(move |x, context| density.log_prob(x, context)))
}

fn images(density: impl Distribution<4> + 'static) -> Loaded {
    Loaded::Images(Box::new(move |x, context| density.log_prob(x, context)))
}

fn layer(layer: impl Bijector<2> + 'static) -> Loaded {
    Loaded::Rows(Box::new(move |x, context| layer.forward(x, context).1))
}

fn image_layer(layer: impl Bijector<4> + 'static) -> Loaded {
    Loaded::Images(Box::new(move |x, context| layer.forward(x, context).1))
}

fn normflows_flow(dict: &StateDict, device: &Device, layers: &[Layer]) -> Result<Loaded> {
    normflows::flow(dict, layers, &ActivationConfig::Relu, device).map(rows)
}

const TAILS: SplineDomain = SplineDomain::LinearTails { bound: 3.0 };

/// The readers of files of other libraries. The first entry is the start of the names of such files
/// below `tests/fixtures`.
pub const READERS: &[(&str, Reader)] = &[
    ("nflows/actnorm_4d", |d, on| nflows::act_norm(d, "", on).map(image_layer)),
    ("nflows/onebyoneconv", |d, on| nflows::one_by_one_convolution(d, "", on).map(image_layer)),
    ("nflows/glow", |d, on| nflows::glow(d, [4, 4], &nflows::Options::new(), on).map(images)),
    ("nflows/", |d, on| nflows::transform(d, "", &nflows::Options::new(), on).map(layer)),
    ("nflows/", |d, on| nflows::flow(d, &nflows::Options::new(), on).map(rows)),
    ("zuko/nice", |d, on| zuko::real_nvp(d, &zuko::Options::new(), on).map(rows)),
    ("zuko/realnvp", |d, on| zuko::real_nvp(d, &zuko::Options::new(), on).map(rows)),
    ("zuko/maf", |d, on| zuko::maf(d, &zuko::Options::new(), on).map(rows)),
    ("zuko/nsf", |d, on| zuko::nsf(d, &zuko::Options::new(), on).map(rows)),
    ("zuko/ncsf", |d, on| zuko::ncsf(d, &zuko::Options::new(), on).map(rows)),
    ("zuko/bpf", |d, on| zuko::bpf(d, &zuko::Options::new(), on).map(rows)),
    ("zuko/sospf", |d, on| zuko::sospf(d, 4, &zuko::Options::new(), on).map(rows)),
    ("zuko/naf", |d, on| zuko::naf(d, &zuko::Options::new(), on).map(rows)),
    ("zuko/unaf", |d, on| zuko::unaf(d, &zuko::Options::new(), on).map(rows)),
    ("zuko/gf", |d, on| zuko::gf(d, &zuko::Options::new(), on).map(rows)),
    ("zuko/cnf", |d, on| {
        let solver = Solver::Rk4 { steps: 5 };
        zuko::cnf(d, &zuko::CnfOptions::new().with_solver(solver), on).map(rows)
    }),
    ("zuko/univariate_affine", |d, on| {
        let map = zuko::Univariate::Affine;
        zuko::elementwise(d, "", &map, &zuko::Options::new(), on).map(layer)
    }),
    ("zuko/univariate_rqs", |d, on| {
        let map = zuko::Univariate::Spline { bound: 5.0 };
        zuko::elementwise(d, "", &map, &zuko::Options::new(), on).map(layer)
    }),
    ("normflows/actnorm", |d, on| normflows::act_norm(d, "", on).map(image_layer)),
    ("normflows/invertible_1x1conv", |d, on| {
        normflows::invertible_conv(d, "", on).map(image_layer)
    }),
    ("normflows/glow_block", |d, on| {
        normflows::glow_block(d, "", &GlowOptions::new([4, 4]), on).map(image_layer)
    }),
    ("normflows/glow_multiscale", |d, on| {
        normflows::multiscale(d, &GlowOptions::new([8, 8]), on).map(images)
    }),
    ("normflows/lu_linear", |d, on| {
        let relu = ActivationConfig::Relu;
        normflows::layer(d, "", &Layer::LuLinearPermute, &relu, on).map(layer)
    }),
    ("normflows/invertible_affine", |d, on| {
        let relu = ActivationConfig::Relu;
        normflows::layer(d, "", &Layer::InvertibleAffine, &relu, on).map(layer)
    }),
    ("normflows/permute_shuffle", |d, on| {
        let relu = ActivationConfig::Relu;
        normflows::layer(d, "", &Layer::PermuteShuffle, &relu, on).map(layer)
    }),
    ("normflows/nice", |d, on| normflows_flow(d, on, &vec![Layer::MaskedAffine; 4])),
    ("normflows/realnvp", |d, on| normflows_flow(d, on, &vec![Layer::MaskedAffine; 4])),
    ("normflows/planar_tanh", |d, on| {
        normflows_flow(d, on, &vec![Layer::Planar { activation: RidgeActivation::Tanh }; 3])
    }),
    ("normflows/radial", |d, on| normflows_flow(d, on, &vec![Layer::Radial; 3])),
    ("normflows/residual", |d, on| {
        normflows_flow(d, on, &[Layer::Residual { lipschitz: 0.97, reverse: true }])
    }),
    ("normflows/maf", |d, on| normflows_flow(d, on, &[Layer::MaskedAutoregressive])),
    ("normflows/coupled_rqs", |d, on| {
        normflows_flow(d, on, &[Layer::CoupledSpline { domain: TAILS }, Layer::LuLinearPermute])
    }),
    ("normflows/ar_rqs", |d, on| {
        normflows_flow(d, on, &[Layer::AutoregressiveSpline { bound: 3.0 }, Layer::LuLinearPermute])
    }),
    ("flowjax/coupling", |d, on| flowjax::coupling_flow(d, &flowjax::Options::new(), on).map(rows)),
    ("flowjax/maf", |d, on| {
        flowjax::masked_autoregressive_flow(d, &flowjax::Options::new(), on).map(rows)
    }),
    ("flowjax/triangular", |d, on| {
        flowjax::triangular_spline_flow(d, 3.0, &flowjax::Options::new(), on).map(rows)
    }),
    ("flowjax/planar", |d, on| {
        let options = flowjax::Options::new().with_negative_slope(Some(0.1));
        flowjax::planar_flow(d, &options, on).map(rows)
    }),
    ("flowjax/bnaf", |d, on| flowjax::block_neural_autoregressive_flow(d, on).map(rows)),
];

/// Reads the bytes as a file of another library, with every reader.
pub fn foreign(bytes: &[u8]) {
    let Ok(dict) = StateDict::from_bytes(bytes) else { return };
    for (_, read) in READERS {
        drop(read(&dict, &Device::flex()));
    }
}

/// Reads the bytes as a file of weights in both formats, unchanged and with a corrected checksum.
pub fn weights(bytes: &[u8], folder: &Path) {
    let config = RealNvpConfig::new(2).with_layers(1);
    for extension in ["safetensors", "bpk"] {
        let path = folder.join(format!("weights.{extension}"));
        for bytes in [Some(bytes.to_vec()), resealed(bytes)].into_iter().flatten() {
            std::fs::write(&path, bytes).expect("a folder to write to");
            drop(store::load(config.init(&Device::flex()), &path));
            drop(store::open::<RealNvp>(&path, &Device::flex()));
        }
    }
}

/// Reads the bytes as configurations, with the label of this crate and without it.
pub fn configuration(bytes: &[u8], folder: &Path) {
    let path = folder.join("config.json");
    for bytes in [Some(bytes.to_vec()), resealed(bytes)].into_iter().flatten() {
        std::fs::write(&path, bytes).expect("a folder to write to");
        if let Ok(config) = store::load_config::<RealNvpConfig>(&path) {
            drop(config.validate());
        }
    }
    drop(serde_json::from_slice::<AnyBijectorConfig>(bytes));
    if let Ok(config) = serde_json::from_slice::<MafConfig>(bytes) {
        drop(config.validate());
    }
    if let Ok(config) = serde_json::from_slice::<GlowConfig>(bytes) {
        drop(config.validate());
    }
}

/// The bytes with a corrected checksum, if they contain a checksum. A checksum does not protect
/// against forgery.
pub fn resealed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mark = b"burn-flows-sha256:";
    let at = bytes.windows(mark.len()).position(|w| w == mark)? + mark.len();
    let mut file = bytes.to_vec();
    file.get_mut(at..at + 64)?.fill(b'0');
    let digits: String = Sha256::digest(&file).iter().map(|b| format!("{b:02x}")).collect();
    file[at..at + 64].copy_from_slice(digits.as_bytes());
    Some(file)
}
