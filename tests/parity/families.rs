//! The families of reference files, and how each is compared.

use burn_flows::interop::normflows::Layer;
use burn_flows::interop::zuko;

use crate::libraries::*;
use crate::reference::Reference;
use crate::report::{Ratio, Report};

/// The result for one file.
pub enum Outcome {
    /// All comparisons passed: the errors, and the errors in single precision with those of the
    /// library.
    Passed(String, Vec<Ratio>),
    /// A comparison failed: the reason.
    Failed(String),
    /// The docs exclude an option of this file: the error that names the option.
    NotSupported(String),
}

type Check = fn(&Reference) -> Result<Report, String>;

/// The compared families: library, family, function. A case belongs to a family if it has the
/// family's name, alone or followed by `_` and more. `*` matches any beginning.
const COMPARED: &[(&str, &str, Check)] = &[
    ("nflows", "realnvp_affine_coupling", nflows_stack),
    ("nflows", "nice_additive_coupling", nflows_stack),
    ("nflows", "rqs_coupling", nflows_stack),
    ("nflows", "rqs_autoregressive", nflows_stack),
    ("nflows", "linear_spline_coupling", nflows_stack),
    ("nflows", "quadratic_spline_coupling", nflows_stack),
    ("nflows", "cubic_spline_coupling", nflows_stack),
    ("nflows", "lulinear", nflows_stack),
    ("nflows", "householder", nflows_householder),
    ("nflows", "naive_linear", nflows_stack),
    ("nflows", "qr_linear", nflows_stack),
    ("nflows", "svd_linear", nflows_stack),
    ("nflows", "*_permutation", nflows_stack),
    ("nflows", "batchnorm_eval", nflows_stack),
    ("nflows", "batchnorm_train_step", nflows_train_step),
    ("nflows", "actnorm", nflows_actnorm),
    ("nflows", "onebyoneconv", nflows_conv),
    ("nflows", "glow_multiscale_image", nflows_glow),
    ("nflows", "maf", nflows_stack),
    ("zuko", "nice", zuko_real_nvp),
    ("zuko", "realnvp", zuko_real_nvp),
    ("zuko", "univariate_affine", |r| zuko_elementwise(r, zuko::Univariate::Affine)),
    ("zuko", "univariate_rqs", zuko_spline),
    ("zuko", "univariate_bernstein", zuko_bernstein),
    ("zuko", "univariate_sos", zuko_sum_of_squares),
    ("zuko", "univariate_gaussianization", |r| {
        zuko_elementwise(r, zuko::Univariate::Gaussianization)
    }),
    ("zuko", "maf", zuko_maf),
    ("zuko", "bpf", zuko_bpf),
    ("zuko", "sospf", zuko_sospf),
    ("zuko", "naf", zuko_naf),
    ("zuko", "unaf", zuko_unaf),
    ("zuko", "gf", zuko_gf),
    ("zuko", "nsf", zuko_nsf),
    ("zuko", "ncsf", zuko_ncsf),
    ("normflows", "realnvp_masked_affine", normflows_masked),
    ("normflows", "nice_masked_affine", normflows_masked),
    ("normflows", "affine_coupling_block", normflows_blocks),
    ("normflows", "permute_shuffle", |r| normflows_layer(r, Layer::PermuteShuffle)),
    ("normflows", "permute_swap", normflows_swap),
    ("normflows", "lu_linear_permute", |r| normflows_layer(r, Layer::LuLinearPermute)),
    ("normflows", "invertible_affine", |r| normflows_layer(r, Layer::InvertibleAffine)),
    ("normflows", "actnorm_data_init", normflows_actnorm),
    ("normflows", "actnorm", |r| normflows_layer(r, Layer::ActNorm)),
    ("normflows", "invertible_1x1conv", normflows_conv),
    ("normflows", "glow_block", normflows_glow_block),
    ("normflows", "glow_multiscale", normflows_glow),
    ("normflows", "maf", normflows_maf),
    ("normflows", "ar_rqs", normflows_splines),
    ("normflows", "coupled_rqs", normflows_splines),
    ("normflows", "circular_ar_rqs", normflows_splines),
    ("normflows", "circular_coupled_rqs", normflows_splines),
    ("zuko", "cnf", zuko_cnf),
    ("normflows", "planar", normflows_planar),
    ("normflows", "radial", normflows_radial),
    ("normflows", "residual", normflows_residual),
    ("flowjax", "planar", flowjax_planar),
    ("flowjax", "bnaf", flowjax_block_autoregressive),
    ("flowjax", "coupling_affine", flowjax_coupling),
    ("flowjax", "coupling_rqs", flowjax_coupling),
    ("flowjax", "maf_affine", flowjax_maf),
    ("flowjax", "maf_rqs", flowjax_maf),
    ("flowjax", "triangular_spline", flowjax_triangular),
];

/// Options that the docs of `interop` exclude: library, text of the constructor, and text of the
/// error.
const EXCLUDED: &[(&str, &str, &str)] = &[
    ("zuko", "'normalize': True", "normalize=True"),
    ("zuko", "'bias': False", "bias` of shape"),
    ("zuko", "PReLU", "needs 2 axes"),
    ("zuko", "'adjacency'", "must not mask an input of the context"),
    ("zuko", "'network': {'hidden_features': ()", "must be a network of at least 2 layers"),
    ("zuko", "'degree': 0", "SumOfSquaresConfig.degree"),
    ("zuko", "'activation'", "is not one of burn's"),
    ("nflows", "use_batch_norm=True", "batch_norm"),
    ("nflows", "mask=", "initial_layer.weight`: is empty"),
    ("nflows", "activation=", "is not one of burn's"),
    ("normflows", "use_batch_norm=True", "batch_norm"),
    ("normflows", "num_bins=1", "`num_bins=1`"),
    ("normflows", "MaskedAffineFlow", "Coupling.mask"),
    ("normflows", "output_scale=", "`output_fn`"),
    ("flowjax", "use_bias=False", "bias` of shape"),
    ("flowjax", "use_final_bias=False", "bias` of shape"),
    ("flowjax", "coupling_flow", "is empty"),
    ("flowjax", "negative_slope=", "RidgeActivation.slope"),
];

/// Compares a file, or returns why it is excluded. A file of a family that is not in the list
/// fails.
pub fn check(reference: &Reference) -> Outcome {
    let is = |library: &str, family: &str| {
        library == reference.library && belongs(&reference.case, family)
    };
    match COMPARED.iter().find(|(library, family, _)| is(library, family)) {
        Some((_, _, compare)) => match compare(reference).and_then(Report::conclude) {
            Ok((detail, ratios)) => Outcome::Passed(detail, ratios),
            Err(reason) if is_excluded(reference, &reason) => Outcome::NotSupported(reason),
            Err(reason) => Outcome::Failed(reason),
        },
        None => Outcome::Failed("is of a family that is not in the list".into()),
    }
}

fn is_excluded(reference: &Reference, reason: &str) -> bool {
    EXCLUDED.iter().any(|(library, option, refusal)| {
        *library == reference.library
            && reference.constructor().contains(option)
            && reason.contains(refusal)
    })
}

fn belongs(case: &str, family: &str) -> bool {
    let rest = match family.strip_prefix('*') {
        Some(end) => case.split_once(end).map(|(_, rest)| rest),
        None => case.strip_prefix(family),
    };
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}
