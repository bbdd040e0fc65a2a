//! Spline layers, coupled and autoregressive, for real features, angles or both.

use burn::tensor::Device;

use super::autoregressive::network_in;
use crate::bijector::{AnyBijector, Coupling, Elementwise, Mask, MaskedAutoregressive, Partial};
use crate::conditioner::{ActivationConfig, Mlp, PeriodicFeatures};
use crate::error::Result;
use crate::interop::dense::{Dense, NO_ACTIVATION, ascending};
use crate::interop::nflows::{residual_blocks, split_in};
use crate::interop::scope::Scope;
use crate::math::from_f64;
use crate::univariate::{
    AnyUnivariate, KnotMap, PerElement, RationalQuadraticConfig, SplineDomain, Univariate,
};

/// The error message for splines with one bin.
const ONE_BIN: &str = "gives splines of one bin (`num_bins=1`), which are not supported";

/// The behaviour at the ends of the splines of a layer.
pub(super) enum Tails<'a> {
    /// All features have this domain.
    All(SplineDomain),
    /// These features are angles, and the others have linear tails.
    Circular(&'a [usize], f64),
}

impl Tails<'_> {
    /// The domains of these features, with the bounds of the file if the file holds bounds.
    fn domains(&self, scope: &Scope<'_>, features: &[usize]) -> Result<Vec<SplineDomain>> {
        let saved = scope.has("tail_bound");
        let saved = saved.then(|| scope.floats("tail_bound", &[features.len()])).transpose()?;
        let domain = |(place, feature): (usize, &usize)| {
            let bound = |default| saved.map_or(default, |bounds| bounds[place]);
            let domain = match *self {
                Self::All(SplineDomain::LinearTails { bound: default }) => {
                    SplineDomain::LinearTails { bound: bound(default) }
                }
                Self::All(SplineDomain::Circular { bound: default }) => {
                    SplineDomain::Circular { bound: bound(default) }
                }
                Self::All(interval @ SplineDomain::Interval { .. }) => interval,
                Self::Circular(circular, default) if circular.contains(feature) => {
                    SplineDomain::Circular { bound: bound(default) }
                }
                Self::Circular(_, default) => SplineDomain::LinearTails { bound: bound(default) },
            };
            domain.validate().map(|()| domain)
        };
        features.iter().enumerate().map(domain).collect()
    }
}

/// The splines of some features, and the positions of their parameters in normflows.
struct Splines {
    map: AnyUnivariate,
    bins: usize,
    /// The number of parameters of one feature in normflows.
    per_feature: usize,
    domains: Vec<SplineDomain>,
    /// Whether the file holds slopes at both ends for each feature, of which the feature may use fewer.
    listed: bool,
}

impl Splines {
    /// The splines with `per_feature` parameters per feature; `name` is the tensor that holds them.
    fn new(
        scope: &Scope<'_>,
        name: &str,
        tails: &Tails<'_>,
        domains: Vec<SplineDomain>,
        per_feature: usize,
        logit_scale: f64,
    ) -> Result<Self> {
        let slopes = match tails {
            Tails::All(SplineDomain::LinearTails { .. }) => -1,
            Tails::All(SplineDomain::Circular { .. }) => 0,
            Tails::All(SplineDomain::Interval { .. }) | Tails::Circular(..) => 1,
        };
        let bins = per_feature.saturating_add_signed(-slopes) / 3;
        let config = |domain| {
            RationalQuadraticConfig::new()
                .with_bins(bins)
                .with_domain(domain)
                .with_knot_map(KnotMap::Softmax { logit_scale, slope_offset: Some(0.0) })
        };
        if (3 * bins).checked_add_signed(slopes) != Some(per_feature) {
            let reason = format!("gives {per_feature} parameters per feature, which fit no spline");
            return Err(scope.wrong(name, reason));
        }
        if bins == 1 {
            return Err(scope.wrong(name, ONE_BIN.into()));
        }
        let mut kinds: Vec<SplineDomain> = vec![];
        for domain in &domains {
            if !kinds.contains(domain) {
                scope.named(name, config(*domain).validate())?;
                kinds.push(*domain);
            }
        }
        let kind = |domain| kinds.iter().position(|kind| kind == domain).unwrap_or_default();
        let map = |domain: &SplineDomain| AnyUnivariate::RationalQuadratic(config(*domain).init());
        let mut maps: Vec<AnyUnivariate> = kinds.iter().map(map).collect();
        let map = match maps.len() {
            1 => maps.swap_remove(0),
            _ => {
                let which = domains.iter().map(kind).collect();
                AnyUnivariate::PerElement(PerElement::new(maps, which)?)
            }
        };
        let listed = matches!(tails, Tails::Circular(..));
        Ok(Self { map, bins, per_feature, domains, listed })
    }

    /// The position of parameter `p` of the feature at `place` among all parameters in normflows.
    fn row(&self, p: usize, place: usize) -> usize {
        let slope = p.checked_sub(2 * self.bins);
        let within = match (slope, self.domains[place]) {
            // After the slopes between bins comes a slope that no map uses; any unused slope of the file can fill it.
            (Some(slope), SplineDomain::LinearTails { .. }) if self.listed => {
                2 * self.bins + if slope + 1 < self.bins { slope + 1 } else { 0 }
            }
            _ => p,
        };
        place * self.per_feature + within
    }

    /// The rows of all parameters, `p * features + place`, for features in this order of places.
    fn rows(&self, order: &[usize]) -> Vec<usize> {
        let params = 0..self.map.params_per_element();
        params.flat_map(|p| order.iter().map(move |place| self.row(p, *place))).collect()
    }

    /// The map of the features in this order of places.
    fn map(&self, order: &[usize]) -> AnyUnivariate {
        self.map.of_elements(order).unwrap_or_else(|| self.map.clone())
    }
}

/// An `AutoregressiveRationalQuadraticSpline` or its circular variant, and its number of features.
pub(super) fn autoregressive_spline_in(
    scope: &Scope<'_>,
    tails: &Tails<'_>,
    activation: &ActivationConfig,
    device: &Device,
) -> Result<(MaskedAutoregressive<AnyUnivariate>, usize)> {
    let part = scope.within("mprqat");
    let net = part.within("autoregressive_net");
    let network = network_in(&net)?;
    let features = network.input.inputs();
    let natural: Vec<usize> = (0..features).collect();
    let domains = tails.domains(&part, &natural)?;
    let periodic = periodic_in(&net, &domains, device)?;
    let (outputs, last) = (network.output.outputs(), "final_layer.weight");
    // normflows does not rescale the logits of this network.
    let splines = Splines::new(&net, last, tails, domains, outputs / features, 1.0)?;
    let made = network.made(features, &splines.rows(&natural), activation, device)?;
    Ok((MaskedAutoregressive::new(splines.map, made.with_periodic(periodic)), features))
}

/// A `CoupledRationalQuadraticSpline` or its circular variant, and its number of features. It is a coupling followed by
/// the splines of the kept features. The network of the coupling reads the kept features before their splines.
pub(super) fn coupled_spline_in(
    scope: &Scope<'_>,
    tails: &Tails<'_>,
    activation: &ActivationConfig,
    device: &Device,
) -> Result<(AnyBijector, usize)> {
    let part = scope.within("prqct");
    let (kept, moved) = split_in(&part, device)?;
    let features = kept.len() + moved.len();
    let net = part.within("transform_net");
    let input = Dense::read(&net, "initial_layer")?;
    let output = Dense::read(&net, "final_layer")?;
    let (width, context) = (input.outputs(), input.context_behind(kept.len())?);

    let free = part.within("unconditional_transform");
    let domains = tails.domains(&free, &kept)?;
    let order = ascending(&kept);
    let periodic = match tails {
        Tails::Circular(..) => periodic_in(&net, &domains, device)?,
        Tails::All(_) => None,
    };
    let free = elementwise_in(&free, tails, domains, &order, device)?;

    let (domains, per_feature) = (tails.domains(&part, &moved)?, output.outputs() / moved.len());
    let logit_scale = (width as f64).sqrt().recip();
    let last = "final_layer.weight";
    let splines = Splines::new(&net, last, tails, domains, per_feature, logit_scale)?;
    output.expect(per_feature * moved.len(), width)?;
    let served = ascending(&moved);
    // In this crate, the indices of the parts are ascending; normflows keeps the order of its buffers.
    let columns: Vec<usize> = order.iter().copied().chain(kept.len()..input.inputs()).collect();
    let blocks = residual_blocks(&net, width, context, device)?;
    // A `ResidualNet` has activations only inside its blocks.
    let activation = if blocks.is_empty() { &NO_ACTIVATION } else { activation };
    let mlp = Mlp::from_layers(
        input.pick_inputs(&columns).linear(device),
        vec![],
        blocks,
        output.pick_outputs(&splines.rows(&served)).linear(device),
        activation.init(device),
        context,
    );
    let mlp = mlp.with_periodic(periodic.map(|periodic| periodic.reordered(&order)));
    let map = splines.map(&served);
    let coupling = Coupling::new(&Mask::Kept(kept), &[features], map, |_, _| mlp, device);
    let coupling = part.named("identity_features", coupling)?;
    let free = vec![AnyBijector::Elementwise(free)];
    let free = Partial::new(&Mask::Kept(moved), &[features], free, device)?;
    let layers = vec![AnyBijector::Coupling(coupling), AnyBijector::Partial(free)];
    Ok((AnyBijector::Stack(layers), features))
}

/// A `PiecewiseRationalQuadraticCDF` of features in this order of places.
fn elementwise_in(
    scope: &Scope<'_>,
    tails: &Tails<'_>,
    domains: Vec<SplineDomain>,
    order: &[usize],
    device: &Device,
) -> Result<Elementwise<AnyUnivariate>> {
    let first = "unnormalized_widths";
    let (_, [_, bins]) = scope.floats_of_rank(first)?;
    if bins == 1 {
        return Err(scope.wrong(first, ONE_BIN.into()));
    }
    let widths = scope.floats(first, &[order.len(), bins])?;
    let heights = scope.floats("unnormalized_heights", &[order.len(), bins])?;
    let slopes = "unnormalized_derivatives";
    let (_, [_, knots]) = scope.floats_of_rank(slopes)?;
    let derivatives = scope.floats(slopes, &[order.len(), knots])?;
    let splines = Splines::new(scope, slopes, tails, domains, 2 * bins + knots, 1.0)?;
    if splines.bins != bins {
        let reason = format!("holds {bins} bins, expected {}", splines.bins);
        return Err(scope.wrong(first, reason));
    }
    let row = |i: usize| {
        let widths = widths[i * bins..][..bins].iter().chain(&heights[i * bins..][..bins]);
        widths.chain(&derivatives[i * knots..][..knots])
    };
    let all: Vec<f64> = (0..order.len()).flat_map(row).copied().collect();
    let params = splines.rows(order).into_iter().map(|row| all[row]).collect();
    let map = splines.map(order);
    let params = from_f64(params, [map.params_per_element(), order.len()], device);
    Ok(Elementwise::from_weights(map, params))
}

/// The layer that encodes the angles among the inputs of a network; `None` if the network has no such layer. `domains`
/// are the domains of the inputs.
fn periodic_in(
    net: &Scope<'_>,
    domains: &[SplineDomain],
    device: &Device,
) -> Result<Option<PeriodicFeatures>> {
    if !net.has_part("preprocessing") {
        return Ok(None);
    }
    let part = net.within("preprocessing");
    let (inputs, rest) = (part.indices("ind")?, part.indices("ind_")?);
    let order = [inputs.clone(), rest].concat();
    let back = part.indices("inv_perm")?;
    part.expect_inverse("inv_perm", &order, &back)?;
    let circles = domains.iter().enumerate().filter_map(|(place, domain)| match domain {
        SplineDomain::Circular { bound } => Some((place, *bound)),
        _ => None,
    });
    let (mut angles, bounds): (Vec<usize>, Vec<f64>) = circles.unzip();
    let place = |input: &usize| angles.iter().position(|angle| angle == input);
    let places: Option<Vec<usize>> = inputs.iter().map(place).collect();
    let places =
        places.filter(|places| places.len() == angles.len() && order.len() == domains.len());
    let Some(places) = places else {
        angles.sort_unstable();
        let reason = format!("must list the circular inputs {angles:?}, found {inputs:?}");
        return Err(part.wrong("ind", reason));
    };
    let weights = part.floats("weights", &[inputs.len(), 2])?;
    let mut frequency: Vec<f64> =
        places.into_iter().map(|place| std::f64::consts::PI / bounds[place]).collect();
    if part.has("scale") {
        frequency = part.floats("scale", &[inputs.len()])?.to_vec();
    }
    if inputs.is_empty() {
        return Ok(None);
    }
    let transposed =
        [0, 1].map(|row| weights[row..].iter().step_by(2).copied().collect::<Vec<_>>());
    let weights = from_f64(transposed.concat(), [2, inputs.len()], device);
    Ok(Some(PeriodicFeatures::new(inputs, frequency, weights, device)))
}
