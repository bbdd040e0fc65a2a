//! The precision of f32: every model maps data to latents and back, and latents to data and back.
//!
//! Each model runs four times: with its initial weights; with a random last layer of its networks,
//! which is initially zero; with this last layer times 3; and with every weight of the networks
//! times 3, where the maps are nearly singular. Nothing panics and no result is NaN. If a round
//! trip fails, a certificate names the layer that loses precision.
//!
//! `cargo run --release -p examples --example round_trip`

use burn_flows::MultiScale;
use burn_flows::bijector::Bijector;
use burn_flows::burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn_flows::burn::tensor::{Device, Tensor};
use burn_flows::conditioner::{ConvNetConfig, MadeConfig};
use burn_flows::distribution::{Distribution, LevelBase};

use burn_flows::model::*;
use burn_flows::prelude::*;
use burn_flows::testing::{Certificate, certify};

const ROWS: usize = 256;

/// A round trip with a larger error has failed.
const LOST: f64 = 1e-3;

/// Draws the last layer of networks if it is zero, then multiplies the weights of networks. In a
/// model without networks, it multiplies all weights.
struct Weights {
    networks: bool,
    path: Vec<String>,
    last: f64,
    all: f64,
    noise: Noise,
}

impl ModuleMapper for Weights {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let within = |part: &str| self.path.iter().any(|name| name == part);
        if self.networks && !within(NETWORK) {
            return param;
        }
        let (is_output, is_weight) = (within("output"), D > 1);
        let factor = if is_output { self.last * self.all } else { self.all };
        param.map(|value| {
            if !value.is_require_grad() {
                return value;
            }
            let value = value.without_autodiff();
            let empty = value.clone().abs().max().into_scalar::<f64>() == 0.0;
            let dims = value.dims();
            // A dense weight is [in, out], a convolution weight [out, in, height, width].
            let inputs = if D == 2 { dims[0] } else { dims[1..].iter().product() };
            let drawn = match empty && is_output && is_weight {
                true => {
                    let uniform = self.noise.uniform(dims, &value.device());
                    (uniform * 2.0 - 1.0) * (inputs as f64).sqrt().recip()
                }
                false => value,
            };
            (drawn * factor).autodiff().require_grad()
        })
    }
}

/// The field in which couplings and masked layers hold their networks.
const NETWORK: &str = "conditioner";

/// Whether a module has networks.
fn has_networks<M: Module>(module: &M) -> bool {
    struct Look(bool);
    impl ModuleVisitor for Look {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.0 |= name == NETWORK;
        }
    }
    let mut look = Look(false);
    module.visit(&mut look);
    look.0
}

/// A model with an inverse in both directions.
trait Model<const D: usize>: Distribution<D> {
    /// The largest errors of `x -> z -> x` and `z -> x -> z`, and the `x` of the second round trip.
    fn round_trips(&self, x: Tensor<D>, noise: &mut Noise) -> ([f64; 2], Tensor<D>);
}

fn largest<const D: usize>(found: Tensor<D>, wanted: Tensor<D>) -> f64 {
    let errors = (found - wanted).abs().into_data();
    errors.iter::<f64>().fold(0.0, |most, e| if e.is_nan() { f64::INFINITY } else { most.max(e) })
}

impl<const D: usize, B: Bijector<D>, P: Distribution<D>> Model<D> for Flow<B, P> {
    fn round_trips(&self, x: Tensor<D>, noise: &mut Noise) -> ([f64; 2], Tensor<D>) {
        let there = largest(self.decode(self.encode(x.clone())), x.clone());
        let z = noise.normal(x.dims(), &x.device());
        let data = self.decode(z.clone());
        ([there, largest(self.encode(data.clone()), z)], data)
    }
}

impl<B: Bijector<4>, P: LevelBase> Model<4> for MultiScale<B, P> {
    fn round_trips(&self, x: Tensor<4>, noise: &mut Noise) -> ([f64; 2], Tensor<4>) {
        let latents = self.encode(x.clone());
        let there = largest(self.decode(latents.clone()), x);
        let draw = |z: &Tensor<4>| noise.normal(z.dims(), &z.device());
        let latents: Vec<_> = latents.iter().map(draw).collect();
        let data = self.decode(latents.clone());
        let back = self.encode(data.clone());
        let errors = back.into_iter().zip(latents).map(|(found, wanted)| largest(found, wanted));
        ([there, errors.fold(0.0, f64::max)], data)
    }
}

/// Prints one line of the table for each kind of weights.
fn table<const D: usize, M: Model<D>>(name: &str, event: [usize; D], model: M) {
    let device = Device::flex();
    let mut event = event;
    event[0] = ROWS;
    let x = Noise::seeded(1).normal(event, &device);
    let model = model.init_from_data(x.clone(), None).valid().train();
    let networks = has_networks(&model);
    let weights =
        |last, all| Weights { networks, path: vec![], last, all, noise: Noise::seeded(2) };
    for (kind, model) in [
        ("initial", model.clone()),
        ("random last layer", model.clone().map(&mut weights(1.0, 1.0))),
        ("last layer x3", model.clone().map(&mut weights(3.0, 1.0))),
        ("all weights x3", model.map(&mut weights(1.0, 3.0))),
    ] {
        let model = model.valid();
        let ([there, back], data) = model.round_trips(x.clone(), &mut Noise::seeded(3));
        let verdict = match there.max(back) > LOST {
            false => "every layer passed".to_string(),
            true => {
                let found = [certify(&model, &x, None), certify(&model, &data, None)];
                let layers = found.iter().flat_map(Certificate::layers);
                let worst = layers.max_by(|a, b| a.round_trip.total_cmp(&b.round_trip));
                let layer = worst.expect("a model has layers");
                format!("{} ({}) loses {:.0e}", layer.path, layer.name, layer.round_trip)
            }
        };
        println!("{name:23} {kind:17} {there:8.0e} {back:8.0e}  {verdict}");
    }
}

fn main() {
    let device = Device::flex();
    let masked = |features: usize| MadeConfig::new(vec![features.max(64); 2]);
    println!("{:23} {:17} {:>8} {:>8}", "model (f32)", "weights", "x->z->x", "z->x->z");
    table("nice 64-D", [0, 64], NiceConfig::new(64).init(&device));
    table("real_nvp 64-D", [0, 64], RealNvpConfig::new(64).init(&device));
    let maf = MafConfig::new(16).with_made(masked(16));
    table("maf 16-D", [0, 16], maf.init(&device));
    table("maf_mog 16-D", [0, 16], MafMogConfig::new(maf, 4).init(&device));
    table("iaf 16-D", [0, 16], IafConfig::new(16).with_made(masked(16)).init(&device));
    table("nsf 64-D", [0, 64], NsfConfig::new(64).with_layers(5).init(&device));
    table(
        "nsf autoregressive 16-D",
        [0, 16],
        AutoregressiveNsfConfig::new(16).with_layers(5).init(&device),
    );
    table("nsf circular 6-D", [0, 6], CircularNsfConfig::new(6).init(&device));
    table("naf 6-D", [0, 6], NeuralAutoregressiveFlowConfig::new(6).init(&device));
    table("unaf 6-D", [0, 6], UnconstrainedAutoregressiveFlowConfig::new(6).init(&device));
    table("bpf 6-D", [0, 6], BernsteinFlowConfig::new(6).init(&device));
    table("sospf 6-D", [0, 6], SumOfSquaresFlowConfig::new(6).init(&device));
    table("gf 6-D", [0, 6], GaussianizationFlowConfig::new(6).init(&device));
    table("planar 6-D", [0, 6], PlanarFlowConfig::new(6).init(&device));
    table("residual 6-D", [0, 6], ResidualFlowConfig::new(6).init(&device));
    let network = ConvNetConfig::new(32);
    let glow = GlowConfig::new([3, 8, 8], 2).with_steps(4).with_network(network);
    table("glow 3x8x8", [0, 3, 8, 8], glow.init(&device));
    let real_nvp = RealNvpImageConfig::new([3, 8, 8], 2).init(&device);
    table("real_nvp_image 3x8x8", [0, 3, 8, 8], real_nvp);
}
