//! probe
#[path = "common/cli.rs"]
mod cli;
use burn_flows::burn::{
    self,
    module::Module,
    tensor::{Device, Tensor, TensorData},
};
use burn_flows::prelude::*;
use burn_flows::{bijector::Logit, train::*};
use clap::Parser;
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    common: cli::Common,
    #[arg(long, default_value_t = 8)]
    layers: usize,
    #[arg(long, default_value_t = 0.2)]
    dropout: f64,
    #[arg(long, default_value_t = 0.995)]
    ema: f64,
    #[arg(long, default_value_t = 1e-3)]
    lr: f64,
    #[arg(long, default_value_t = 0.0)]
    wd: f64,
    #[arg(long, default_value_t = 128)]
    batch: usize,
    #[arg(long)]
    residual: bool,
    #[arg(long, default_value_t = 128)]
    width: usize,
    #[arg(long, default_value_t = 3)]
    depth: usize,
    #[arg(long, default_value_t = 10.0)]
    clip: f64,
}
fn csv(name: &str) -> Vec<f32> {
    std::fs::read_to_string(format!("examples/data/{name}"))
        .unwrap()
        .split(&[',', '\n'][..])
        .filter(|s| !s.is_empty())
        .map(|s| s.trim().parse().unwrap())
        .collect()
}
fn t(v: Vec<f32>, d: &Device) -> Tensor<2> {
    let n = v.len() / 64;
    Tensor::from_data(TensorData::new(v, [n, 64]), d)
}
fn npy(name: &str) -> Vec<f32> {
    let b = std::fs::read(format!("examples/data/{name}")).unwrap();
    npyz::NpyFile::new(&b[..])
        .unwrap()
        .into_vec::<f64>()
        .unwrap()
        .into_iter()
        .map(|v| v as f32)
        .collect()
}
fn main() {
    let a = Args::parse();
    let d = a.common.start().unwrap();
    let train = t(csv("digits_train_int.csv"), &d);
    let val = (t(csv("digits_val_int.csv"), &d) + t(npy("digits_val_u.npy"), &d)) / 17.0;
    let test = (t(csv("digits_test_int.csv"), &d) + t(npy("digits_test_u.npy"), &d)) / 17.0;
    let dq = Dequantize::new(17).unwrap();
    let logit = Logit::new(0.05).unwrap();
    let y = logit.forward(dq.apply(train.clone(), &mut Noise::seeded(9)), None).0;
    let st = Standardize::from_data(y).unwrap();
    let mut mlp = MlpConfig::new(vec![a.width; a.depth])
        .with_activation(ActivationConfig::Silu)
        .with_dropout(a.dropout);
    mlp.residual = a.residual;
    let nvp = RealNvpConfig::new(64)
        .with_layers(a.layers)
        .with_masks(Masks::Random(a.common.seed))
        .with_mlp(mlp)
        .init(&d);
    let (b, base) = nvp.into_parts();
    let flow = Flow::new((logit, st, b), base);
    println!("params {}", flow.num_params());
    let data = FitData::new(train).with_validation(val.clone(), None).with_dequantization(dq);
    let cfg = FitConfig::new()
        .with_epochs(a.common.epochs.unwrap_or(100))
        .with_batch_size(a.batch)
        .with_learning_rate(a.lr)
        .with_average(Some(a.ema))
        .with_seed(a.common.seed)
        .with_weight_decay(a.wd)
        .with_gradient_clip(Some(a.clip));
    let (flow, r) = fit(flow, data, &cfg).unwrap();
    let nl = nll(&flow, test.clone(), None, 512);
    for e in r.epochs.iter().step_by(10) {
        println!("{} {:.2} {:.2}", e.epoch, e.train_nll, e.validation_nll.unwrap());
    }
    let rt = (flow.decode(flow.encode(test.clone())) - test).abs().max().into_scalar::<f32>();
    println!(
        "best {} val {:.3} test {:.3} bpd {:.4} secs {:.1} rt {:.1e}",
        r.best_epoch,
        r.best_validation_nll.unwrap(),
        nl,
        bits_per_dim(nl, 64, 17),
        r.seconds,
        rt
    );
}
