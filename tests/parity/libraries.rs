//! How a file of each library is loaded through the public API.

use burn_flows::Flow;
use burn_flows::bijector::{ActNormConfig, AnyBijector, Bijector, RidgeActivation, Solver};
use burn_flows::burn::tensor::{Device, Tensor};
use burn_flows::conditioner::ActivationConfig;
use burn_flows::distribution::{DiagNormal, Uniform};
use burn_flows::interop::normflows::{self, GlowOptions, Layer, SplitMode};
use burn_flows::interop::{StateDict, flowjax, nflows, zuko};
use burn_flows::univariate::{ScaleMap, SplineDomain};

use crate::DEVICE;
use crate::compare::{self, VALUE, flatten, numbers};
use crate::one_way;
use crate::reference::Reference;
use crate::report::Report;

/// A single layer, whose file speaks of a standard normal base, as a flow of one row's shape.
fn on_standard<const D: usize, B: Bijector<D>>(
    layer: B,
    row: [usize; D],
) -> Flow<B, DiagNormal<D>> {
    let device = &*DEVICE;
    let base = DiagNormal::fixed(Tensor::zeros(row, device), Tensor::ones(row, device));
    Flow::new(layer, base.expect("zeros and ones"))
}

/// The shape of one row of a file's data.
fn row<const D: usize>(reference: &Reference) -> Result<[usize; D], String> {
    let shape = reference.shape("io.x")?;
    let mut row = <[usize; D]>::try_from(shape.as_slice())
        .map_err(|_| format!("`io.x` has shape {shape:?}, expected {D} axes"))?;
    row[0] = 1;
    Ok(row)
}

/// Whether the events of a file are images.
fn of_images(reference: &Reference) -> Result<bool, String> {
    Ok(reference.shape("io.x")?.len() == 4)
}

fn nflows_options(reference: &Reference) -> nflows::Options {
    let options = nflows::Options::new();
    let (epsilon, momentum) = (options.epsilon, options.momentum);
    let options = match reference.argument("tail_bound") {
        Some(bound) => options.with_spline_domain(SplineDomain::LinearTails { bound }),
        None => options,
    };
    let spline = [
        ("PiecewiseLinear", nflows::Spline::Linear),
        ("PiecewiseQuadratic", nflows::Spline::Quadratic),
        ("PiecewiseCubic", nflows::Spline::Cubic),
    ];
    let spline = spline.into_iter().find(|(name, _)| reference.constructor().contains(name));
    let options = options.with_spline(spline.map(|(_, spline)| spline).unwrap_or_default());
    let least = |key, default| reference.argument(key).unwrap_or(default);
    let (width, height, slope) = (options.min_width, options.min_height, options.min_slope);
    options
        .with_min_width(least("min_bin_width", width))
        .with_min_height(least("min_bin_height", height))
        .with_min_slope(least("min_derivative", slope))
        .with_epsilon(reference.argument("eps").unwrap_or(epsilon))
        .with_momentum(reference.argument("momentum").unwrap_or(momentum))
}

pub fn nflows_stack(reference: &Reference) -> Result<Report, String> {
    let options = nflows_options(reference);
    if reference.base().contains("uniform on [0,1]") {
        let row = row::<2>(reference)?;
        let base = Uniform::new(Tensor::zeros(row, &*DEVICE), Tensor::ones(row, &*DEVICE));
        let base = base.map_err(|error| error.to_string())?;
        return compare::flow::<2, _>(reference, |state, device| {
            Ok(Flow::new(nflows::transform(state, "", &options, device)?, base.clone()))
        });
    }
    compare::flow::<2, _>(reference, |state, device| nflows::flow(state, &options, device))
}

/// The one tensor of the layer decides its width, so that a wrong one fits itself.
pub fn nflows_householder(reference: &Reference) -> Result<Report, String> {
    let (features, shape) = (row::<2>(reference)?[1], reference.shape("q_vectors")?);
    if shape.last() != Some(&features) {
        return Err(format!("`q_vectors` has shape {shape:?}, of events of {features} features"));
    }
    nflows_stack(reference)
}

pub fn nflows_actnorm(reference: &Reference) -> Result<Report, String> {
    let mut report = if of_images(reference)? {
        let row = row(reference)?;
        compare::flow::<4, _>(reference, |state, device| {
            Ok(on_standard(nflows::act_norm(state, "", device)?, row))
        })?
    } else {
        nflows_stack(reference)?
    };
    if reference.tensors.contains("extra.data_init.x") {
        let log_scale = reference.floats("extra.data_init.log_scale")?;
        let shift = reference.floats("extra.data_init.shift")?;
        // nflows divides by the standard deviation alone, this crate by 1e-6 more.
        let std = || log_scale.iter().map(|s| (-s).exp());
        let floored = std().map(|std| -(std + 1e-6).ln()).collect();
        let shift = shift.iter().zip(std()).map(|(t, std)| t * std / (std + 1e-6)).collect();
        data_init(reference, floored, shift, &mut report)?;
    }
    Ok(report)
}

pub fn normflows_actnorm(reference: &Reference) -> Result<Report, String> {
    let mut report = if of_images(reference)? {
        let row = row(reference)?;
        compare::flow::<4, _>(reference, |state, device| {
            Ok(on_standard(normflows::act_norm(state, "", device)?, row))
        })?
    } else {
        normflows_layer(reference, Layer::ActNorm)?
    };
    // normflows scales and shifts latent to data: z = (x - t) exp(-s).
    let (s, t) = (reference.floats("extra.data_init.s")?, reference.floats("extra.data_init.t")?);
    let log_scale = s.iter().map(|s| -s).collect();
    let shift = s.iter().zip(t).map(|(s, t)| -t * (-s).exp()).collect();
    data_init(reference, log_scale, shift, &mut report)?;
    Ok(report)
}

/// An ActNorm that has seen the library's first batch, against the parameters it should have.
fn data_init(
    reference: &Reference,
    log_scale: Vec<f64>,
    shift: Vec<f64>,
    report: &mut Report,
) -> Result<(), String> {
    let x = "extra.data_init.x";
    let layer = ActNormConfig::new(log_scale.len()).init(&DEVICE);
    let layer = if reference.shape(x)?.len() == 4 {
        layer.init_from_data(reference.tensor::<4>(x, &DEVICE)?, None).0
    } else {
        layer.init_from_data(reference.tensor::<2>(x, &DEVICE)?, None).0
    };
    let found = flatten(&layer);
    let (found_scale, found_shift) = found.split_at(log_scale.len());
    report.values("initial log_scale", found_scale, &log_scale, VALUE);
    report.values("initial shift", found_shift, &shift, VALUE);
    Ok(())
}

/// One step in training mode: what comes out, and the running statistics it leaves.
pub fn nflows_train_step(reference: &Reference) -> Result<Report, String> {
    let mut report = nflows_stack(reference)?;
    let options = nflows_options(reference);
    let tracked = DEVICE.clone().autodiff();
    let read = |part: &str, device| {
        nflows::batch_norm(&reference.tensors, part, &options, device).map_err(|e| e.to_string())
    };
    let layer = read("extra.before", &tracked)?;
    let x = reference.tensor::<2>("extra.train.x", &DEVICE)?;
    let (z, log_det) = layer.forward(x, None);
    report.values("training z", &numbers(z), reference.floats("extra.train.z")?, VALUE);
    let expected = reference.floats("extra.train.logabsdet")?;
    report.values("training log_det", &numbers(log_det), expected, VALUE);
    let after = flatten(&read("extra.after", &DEVICE)?);
    report.values("weights and running statistics", &flatten(&layer), &after, VALUE);
    Ok(report)
}

fn zuko_options(reference: &Reference) -> zuko::Options {
    let options = zuko::Options::new();
    // As a keyword of the constructor, or in the dictionary of keywords.
    let slope = reference.argument("slope").or_else(|| reference.entry("slope"));
    let slope = slope.unwrap_or(options.slope);
    options.with_slope(slope).with_adjacency(reference.constructor().contains("adjacency"))
}

pub fn zuko_real_nvp(reference: &Reference) -> Result<Report, String> {
    let options = zuko_options(reference);
    compare::flow::<2, _>(reference, |state, device| zuko::real_nvp(state, &options, device))
}

pub fn zuko_maf(reference: &Reference) -> Result<Report, String> {
    let options = zuko_options(reference);
    compare::flow::<2, _>(reference, |state, device| zuko::maf(state, &options, device))
}

pub fn zuko_nsf(reference: &Reference) -> Result<Report, String> {
    let options = zuko_options(reference);
    compare::flow::<2, _>(reference, |state, device| zuko::nsf(state, &options, device))
}

pub fn zuko_ncsf(reference: &Reference) -> Result<Report, String> {
    let options = zuko_options(reference);
    compare::flow::<2, _>(reference, |state, device| zuko::ncsf(state, &options, device))
}

/// A scalar map with free parameters.
pub fn zuko_elementwise(reference: &Reference, map: zuko::Univariate) -> Result<Report, String> {
    let (options, row) = (zuko_options(reference), row::<2>(reference)?);
    // A single tensor decides the width of the layer, so that a wrong one fits itself.
    let state = reference.state();
    for name in state.names() {
        let shape = state.get(name).map_err(|error| error.to_string())?.shape();
        if shape.first() != Some(&row[1]) {
            return Err(format!("`{name}` has shape {shape:?}, of events of {} features", row[1]));
        }
    }
    compare::flow::<2, _>(reference, |state, device| {
        Ok(on_standard(zuko::elementwise(state, "", &map, &options, device)?, row))
    })
}

pub fn zuko_spline(reference: &Reference) -> Result<Report, String> {
    let bound = reference.argument("bound").unwrap_or(5.0);
    zuko_elementwise(reference, zuko::Univariate::Spline { bound })
}

pub fn zuko_bernstein(reference: &Reference) -> Result<Report, String> {
    let bound = reference.argument("bound").unwrap_or(5.0);
    zuko_elementwise(reference, zuko::Univariate::Bernstein { bound })
}

pub fn zuko_sum_of_squares(reference: &Reference) -> Result<Report, String> {
    let powers = *reference.shape("a")?.last().ok_or("`a` has no axes")?;
    zuko_elementwise(reference, zuko::Univariate::SumOfSquares { degree: powers - 1 })
}

pub fn zuko_bpf(reference: &Reference) -> Result<Report, String> {
    let options = zuko_options(reference);
    compare::flow::<2, _>(reference, |state, device| zuko::bpf(state, &options, device))
}

pub fn zuko_sospf(reference: &Reference) -> Result<Report, String> {
    let options = zuko_options(reference);
    let degree = reference.argument("degree").or_else(|| reference.entry("degree"));
    let degree = degree.unwrap_or(4.0) as usize;
    compare::flow::<2, _>(reference, |state, device| zuko::sospf(state, degree, &options, device))
}

pub fn zuko_naf(reference: &Reference) -> Result<Report, String> {
    let options = zuko_options(reference);
    compare::flow::<2, _>(reference, |state, device| zuko::naf(state, &options, device))
}

/// Unless it trains, zuko differentiates the integral in the signal but not in the weights of the
/// integrand: such files have part of a gradient there, by the log-determinant alone.
pub fn zuko_unaf(reference: &Reference) -> Result<Report, String> {
    let (options, weights) = (zuko_options(reference), "univariate.integrand");
    let compare = |reference: &Reference| {
        compare::flow::<2, _>(reference, |state, device| zuko::unaf(state, &options, device))
    };
    if reference.case.ends_with("training") {
        return compare(reference);
    }
    let mut report = compare(&reference.without_gradients_of(weights))?;
    report.note(format!("gradients of {weights} are those of an evaluation, not compared"));
    Ok(report)
}

pub fn zuko_gf(reference: &Reference) -> Result<Report, String> {
    let options = zuko_options(reference);
    compare::flow::<2, _>(reference, |state, device| zuko::gf(state, &options, device))
}

/// One layer whose tensors stand at the top of the file.
pub fn normflows_layer(reference: &Reference, layer: Layer) -> Result<Report, String> {
    let (relu, row) = (ActivationConfig::Relu, row(reference)?);
    compare::flow::<2, Flow<AnyBijector, _>>(reference, |state, device| {
        Ok(on_standard(normflows::layer(state, "", &layer, &relu, device)?, row))
    })
}

fn normflows_stack(reference: &Reference, layers: &[Layer]) -> Result<Report, String> {
    let relu = ActivationConfig::Relu;
    compare::flow::<2, _>(reference, |state, device| normflows::flow(state, layers, &relu, device))
}

pub fn normflows_masked(reference: &Reference) -> Result<Report, String> {
    let layers = vec![Layer::MaskedAffine; numbered_flows(&reference.state())];
    normflows_stack(reference, &layers)
}

/// The scale of a block, which is `default` where the case does not name one.
fn normflows_scale(reference: &Reference, default: ScaleMap) -> Option<ScaleMap> {
    let text = said(reference);
    match &text {
        text if text.contains("additive") || text.contains("scale=False") => None,
        text if text.contains("sigmoid_inv") => Some(normflows::SIGMOID_INV),
        text if text.contains("sigmoid") => Some(normflows::SIGMOID),
        text if text.contains("exp") => Some(ScaleMap::Exp),
        _ => Some(default),
    }
}

/// Everything a case says about how it was made.
fn said(reference: &Reference) -> String {
    format!("{} {}", reference.case, reference.constructor())
}

/// Blocks and swaps in turn. The swaps save nothing, so the file does not even say how many.
pub fn normflows_blocks(reference: &Reference) -> Result<Report, String> {
    let scale_map = normflows_scale(reference, ScaleMap::Exp);
    let inverted = said(reference).contains("channel_inv");
    normflows_swapped(reference, Layer::AffineCouplingBlock { scale_map, inverted })
}

pub fn normflows_maf(reference: &Reference) -> Result<Report, String> {
    normflows_swapped(reference, Layer::MaskedAutoregressive)
}

/// A layer and a swap in turn.
fn normflows_swapped(reference: &Reference, layer: Layer) -> Result<Report, String> {
    let features = row::<2>(reference)?[1];
    let pair = [layer, Layer::PermuteSwap { features }];
    let count = 2 * numbered_flows(&reference.state());
    let layers: Vec<Layer> = pair.into_iter().cycle().take(count).collect();
    normflows_stack(reference, &layers)
}

/// Spline layers, and what else their tensors say stands between them.
pub fn normflows_splines(reference: &Reference) -> Result<Report, String> {
    let state = reference.state();
    let bound = reference.argument("tail_bound").unwrap_or(3.0);
    let circular = reference.list("ind_circ");
    let domain = match &said(reference) {
        text if text.contains("tails='circular'") => SplineDomain::Circular { bound },
        text if text.contains("tails=None") => SplineDomain::Interval { low: 0.0, high: 1.0 },
        _ => SplineDomain::LinearTails { bound },
    };
    let layer = |index: usize| {
        let has = |part: &str| {
            let start = format!("flows.{index}.{part}.");
            state.names().any(|name| name.starts_with(&start))
        };
        match (has("prqct"), has("mprqat"), circular.clone()) {
            (true, _, Some(circular)) => Layer::CircularCoupledSpline { circular, bound },
            (true, _, None) => Layer::CoupledSpline { domain },
            (_, true, Some(circular)) => Layer::CircularAutoregressiveSpline { circular, bound },
            (_, true, None) => Layer::AutoregressiveSpline { bound },
            _ => Layer::LuLinearPermute,
        }
    };
    let layers: Vec<Layer> = (0..numbered_flows(&state)).map(layer).collect();
    normflows_stack(reference, &layers)
}

pub fn normflows_swap(reference: &Reference) -> Result<Report, String> {
    let features = row::<2>(reference)?[1];
    normflows_layer(reference, Layer::PermuteSwap { features })
}

/// How many different `flows.k` have tensors.
fn numbered_flows(state: &StateDict) -> usize {
    let number = |name: &str| name.strip_prefix("flows.")?.split('.').next()?.parse::<usize>().ok();
    state.names().filter_map(number).collect::<std::collections::BTreeSet<_>>().len()
}

fn glow_options(reference: &Reference) -> Result<GlowOptions, String> {
    let [_, _, height, width] = row(reference)?;
    let text = said(reference);
    let split_mode = match &text {
        text if text.contains("checkerboard_inv") => SplitMode::CheckerboardInv,
        text if text.contains("checkerboard") => SplitMode::Checkerboard,
        text if text.contains("channel_inv") => SplitMode::ChannelInv,
        _ => SplitMode::Channel,
    };
    let scale_map = normflows_scale(reference, normflows::SIGMOID);
    Ok(GlowOptions::new([height, width]).with_scale_map(scale_map).with_split_mode(split_mode))
}

pub fn normflows_glow_block(reference: &Reference) -> Result<Report, String> {
    let (options, row) = (glow_options(reference)?, row(reference)?);
    compare::flow::<4, _>(reference, |state, device| {
        Ok(on_standard(normflows::glow_block(state, "", &options, device)?, row))
    })
}

pub fn normflows_glow(reference: &Reference) -> Result<Report, String> {
    let options = glow_options(reference)?;
    compare::flow::<4, _>(reference, |state, device| normflows::multiscale(state, &options, device))
}

pub fn nflows_conv(reference: &Reference) -> Result<Report, String> {
    let row = row(reference)?;
    compare::flow::<4, _>(reference, |state, device| {
        Ok(on_standard(nflows::one_by_one_convolution(state, "", device)?, row))
    })
}

pub fn normflows_conv(reference: &Reference) -> Result<Report, String> {
    let row = row(reference)?;
    compare::flow::<4, _>(reference, |state, device| {
        Ok(on_standard(normflows::invertible_conv(state, "", device)?, row))
    })
}

pub fn nflows_glow(reference: &Reference) -> Result<Report, String> {
    let (options, [_, _, height, width]) = (nflows_options(reference), row(reference)?);
    compare::flow::<4, _>(reference, |state, device| {
        nflows::glow(state, [height, width], &options, device)
    })
}

fn flowjax_options(reference: &Reference) -> flowjax::Options {
    let options = flowjax::Options::new();
    let (width, slope) = (options.min_width, options.min_slope);
    let symmetric = reference.argument("interval").map(|end| [-end, end]);
    let interval = reference.pair("interval").or(symmetric);
    options
        .with_interval(interval)
        .with_min_width(reference.argument("min_width").unwrap_or(width))
        .with_min_slope(reference.argument("min_derivative").unwrap_or(slope))
}

pub fn flowjax_coupling(reference: &Reference) -> Result<Report, String> {
    let options = flowjax_options(reference);
    compare::flow::<2, _>(reference, |state, device| {
        flowjax::coupling_flow(state, &options, device)
    })
}

pub fn flowjax_triangular(reference: &Reference) -> Result<Report, String> {
    let (options, turn) = (flowjax_options(reference), reference.argument("tanh_max_val"));
    let turn = turn.unwrap_or(3.0);
    compare::flow::<2, _>(reference, |state, device| {
        flowjax::triangular_spline_flow(state, turn, &options, device)
    })
}

pub fn flowjax_maf(reference: &Reference) -> Result<Report, String> {
    let options = flowjax_options(reference);
    compare::flow::<2, _>(reference, |state, device| {
        flowjax::masked_autoregressive_flow(state, &options, device)
    })
}

/// `Planar`, one after the other, with the activation that the case names.
pub fn normflows_planar(reference: &Reference) -> Result<Report, String> {
    let text = said(reference);
    let activation = match text.contains("leaky_relu") {
        true => RidgeActivation::LeakyRelu { slope: 0.2 },
        false => RidgeActivation::Tanh,
    };
    normflows_equal(reference, Layer::Planar { activation })
}

pub fn normflows_radial(reference: &Reference) -> Result<Report, String> {
    normflows_equal(reference, Layer::Radial)
}

pub fn normflows_residual(reference: &Reference) -> Result<Report, String> {
    let lipschitz = reference.argument("lipschitz_const").unwrap_or(0.97);
    let reverse = !said(reference).contains("reverse=False");
    normflows_equal(reference, Layer::Residual { lipschitz, reverse })
}

/// As many layers of a kind as the file numbers.
fn normflows_equal(reference: &Reference, layer: Layer) -> Result<Report, String> {
    let layers = vec![layer; numbered_flows(&reference.state()).max(1)];
    let build = |state: &StateDict, device: &Device| {
        normflows::flow(state, &layers, &ActivationConfig::Relu, device)
    };
    // Where the library has one direction only, the file has.
    match reference.tensors.contains("io.x") {
        true => compare::flow::<2, _>(reference, build),
        false => one_way::generator::<2, _>(reference, build),
    }
}

pub fn flowjax_planar(reference: &Reference) -> Result<Report, String> {
    let slope = reference.argument("negative_slope");
    let options = flowjax::Options::new().with_negative_slope(slope);
    compare::flow::<2, _>(reference, |state, device| flowjax::planar_flow(state, &options, device))
}

pub fn flowjax_block_autoregressive(reference: &Reference) -> Result<Report, String> {
    compare::flow::<2, _>(reference, flowjax::block_neural_autoregressive_flow)
}

/// A differential equation, solved far better here than there: the tolerance is what they miss.
pub fn zuko_cnf(reference: &Reference) -> Result<Report, String> {
    let solver = Solver::DormandPrince { atol: 1e-11, rtol: 1e-11, limit: 10_000 };
    let options = zuko::CnfOptions::new().with_solver(solver);
    compare::solution::<2, _>(reference, |state, device| zuko::cnf(state, &options, device))
}
