//! Tests of the harness: a wrong number in a file must cause a failure, a damaged file an error.

use std::path::{Path, PathBuf};

use burn_flows::interop::{HostTensor, StateDict, zuko};

use crate::DEVICE;
use crate::families::{self, Outcome};
use crate::reference::Reference;

fn fixture(name: &str) -> Reference {
    Reference::load(&path(name)).expect("a whole fixture")
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The outcome after one number of a tensor was changed by the factor `1 + share`.
fn moved(file: &str, tensor: &str, share: f64) -> Outcome {
    let mut reference = fixture(file);
    let (mut values, shape) = {
        let tensor = reference.tensors.get(tensor).expect("a tensor of the fixture");
        (tensor.as_floats().expect("floats").to_vec(), tensor.shape().to_vec())
    };
    let at = (0..values.len()).max_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs()));
    values[at.expect("not empty")] *= 1.0 + share;
    reference.tensors.insert(tensor, HostTensor::floats(values, shape));
    families::check(&reference)
}

#[test]
fn a_wrong_number_anywhere_fails() {
    let layers = "_transforms.0.transform_net";
    let net = "grad.bijection.bijection.bijection.bijections[0].conditioner.layers[1].weight";
    for (file, tensor, share, named) in [
        ("nflows/realnvp_affine_coupling.safetensors", "io.z", 1e-7, "z "),
        ("nflows/realnvp_affine_coupling.safetensors", "io.logabsdet", 1e-7, "log_det "),
        ("nflows/realnvp_affine_coupling.safetensors", "io.log_prob", 1e-7, "log_prob "),
        ("nflows/realnvp_affine_coupling.safetensors", "io.x2", 1e-5, "x2 "),
        ("nflows/realnvp_affine_coupling.safetensors", "io.logabsdet2", 1e-5, "log_det2 "),
        (
            "nflows/realnvp_affine_coupling.safetensors",
            &format!("grad.{layers}.blocks.1.linear_layers.0.weight"),
            1e-4,
            "blocks.1.linear_layers.0.weight",
        ),
        (
            "nflows/realnvp_affine_coupling.safetensors",
            &format!("grad.{layers}.final_layer.bias"),
            1e-5,
            "final_layer.bias",
        ),
        ("nflows/realnvp_affine_coupling.safetensors", "grad_io.x", 1e-5, "gradient of x"),
        ("nflows/batchnorm_train_step.safetensors", "extra.train.z", 1e-7, "training z"),
        ("nflows/batchnorm_train_step.safetensors", "extra.after.running_var", 1e-7, "running"),
        ("nflows/naive_linear.safetensors", "grad._weight", 1e-5, "gradient of _weight"),
        ("nflows/svd_linear.safetensors", "grad.orthogonal_2.q_vectors", 1e-4, "orthogonal_2"),
        ("nflows/actnorm_4d.safetensors", "extra.data_init.shift", 1e-7, "shift"),
        ("normflows/actnorm_data_init.safetensors", "extra.data_init.s", 1e-7, "log_scale"),
        ("normflows/glow_multiscale_classcond.safetensors", "io.z.1", 1e-7, "z "),
        ("normflows/glow_multiscale_classcond.safetensors", "io.x2", 1e-5, "x2 "),
        (
            "normflows/glow_multiscale_classcond.safetensors",
            "grad.q0.0.log_scale_cc",
            1e-4,
            "q0.0.log_scale_cc",
        ),
        ("normflows/glow_block_checkerboard.safetensors", "io.logabsdet", 1e-7, "log_det "),
        ("nflows/glow_multiscale_image.safetensors", "io.z", 1e-7, "z "),
        ("nflows/maf_res_context.safetensors", "io.x2", 1e-5, "x2 "),
        (
            "nflows/maf_ff_random_mask.safetensors",
            "grad._transforms.1.autoregressive_net.blocks.0.linear.weight",
            1e-4,
            "blocks.0.linear.weight",
        ),
        ("zuko/maf_residual.safetensors", "io.z", 1e-7, "z "),
        ("zuko/gf.safetensors", "grad.transform.transforms.1.A", 1e-4, "transforms.1.A"),
        ("zuko/gf_context.safetensors", "io.z", 1e-7, "z "),
        ("zuko/bpf.safetensors", "io.logabsdet", 1e-7, "log_det "),
        ("zuko/sospf.safetensors", "io.x2", 1e-5, "x2 "),
        (
            "zuko/naf.safetensors",
            "grad.transform.transforms.2.univariate.network.2.weight",
            1e-4,
            "network.2.weight",
        ),
        ("zuko/unaf.safetensors", "grad_io.x", 1e-5, "gradient of x"),
        (
            "zuko/unaf_training.safetensors",
            "grad.transform.transforms.0.univariate.integrand.2.weight",
            1e-4,
            "integrand.2.weight",
        ),
        ("zuko/ncsf.safetensors", "grad_io.x", 1e-5, "gradient of x"),
        ("normflows/maf.safetensors", "io.logabsdet2", 1e-5, "log_det2 "),
        ("flowjax/maf_affine_context.safetensors", "io.log_prob", 1e-7, "log_prob "),
        ("flowjax/planar_leaky.safetensors", "io.x2", 1e-5, "x2 "),
        ("flowjax/bnaf.safetensors", "io.logabsdet", 1e-7, "log_det "),
        ("flowjax/bnaf.safetensors", "io.x2", 1e-2, "z of its x2 "),
        ("normflows/planar_tanh.safetensors", "io.x2", 1e-7, "x2 "),
        ("normflows/radial.safetensors", "io.logabsdet2", 1e-7, "log_det2 "),
        ("normflows/residual_2d.safetensors", "io.logabsdet", 1e-7, "log_det "),
        (
            "normflows/residual_2d.safetensors",
            "grad.flows.0.iresblock.nnet.net.3.weight",
            1e-4,
            "nnet.net.3.weight",
        ),
        ("zuko/cnf.safetensors", "io.z", 1e-3, "z "),
        ("zuko/cnf.safetensors", "grad_io.x", 1e-1, "gradient of x"),
        ("flowjax/coupling_affine.safetensors", net, 1e-4, "layers[1].weight"),
        (
            "flowjax/coupling_affine.safetensors",
            "grad.base_dist.bijection.scale.args[0]",
            1e-5,
            "scale.args[0]",
        ),
    ] {
        match moved(file, tensor, share) {
            Outcome::Failed(reason) => {
                assert!(reason.contains(named), "{file}, {tensor} moved: {reason}");
            }
            _ => panic!("{file} passes with a wrong {tensor}"),
        }
    }
}

#[test]
fn a_wrong_weight_or_a_spare_one_fails() {
    let weight = "transform.transforms.1.hyper.2.weight";
    assert!(matches!(moved("zuko/nice.safetensors", weight, 1e-2), Outcome::Failed(_)));
    let mut reference = fixture("zuko/nice.safetensors");
    reference.tensors.insert("transform.transforms.0.hyper.9", HostTensor::floats([1.0], [1]));
    assert!(matches!(families::check(&reference), Outcome::Failed(_)));
}

/// zuko's normalization has no weights and only shifts the numbers of the layers, so a network
/// without it could pass as one with it.
#[test]
fn a_normalized_network_is_refused_by_name() {
    let (state, mut moved) = (fixture("zuko/nice.safetensors").state(), StateDict::new());
    for name in state.names() {
        let to = name.replace(".hyper.4.", ".hyper.6.").replace(".hyper.2.", ".hyper.3.");
        moved.insert(to, state.get(name).expect("listed").clone());
    }
    let error = zuko::real_nvp(&moved, &zuko::Options::new(), &DEVICE).unwrap_err().to_string();
    assert!(error.contains("hyper.3") && error.contains("normalize=True"), "{error}");
}

/// Options that the docs of `interop::normflows` exclude, in modified copies of valid files.
#[test]
fn excluded_options_of_normflows_are_refused_by_name() {
    let ones = |shape: &[usize]| HostTensor::floats(vec![1.0; shape.iter().product()], shape);
    for (file, tensor, shape, named) in [
        ("realnvp_masked_affine", "flows.1.b", &[1, 5][..], "must move at least 1 index"),
        ("realnvp_masked_affine", "flows.0.t.net.5.scale", &[], "`output_fn`"),
        ("affine_coupling_block_exp", "flows.0.flows.1.param_map.net.5.scale", &[], "`output_fn`"),
        (
            "coupled_rqs",
            "flows.0.prqct.unconditional_transform.unnormalized_widths",
            &[3, 1],
            "`num_bins=1`",
        ),
        (
            "maf",
            "flows.0.autoregressive_net.blocks.0.batch_norm_layers.0.bias",
            &[16],
            "batch_norm",
        ),
        (
            "maf_feed_forward",
            "flows.0.autoregressive_net.blocks.0.batch_norm.bias",
            &[4],
            "batch_norm",
        ),
    ] {
        let mut reference = fixture(&format!("normflows/{file}.safetensors"));
        reference.tensors.insert(tensor, ones(shape));
        match families::check(&reference) {
            Outcome::Failed(reason) | Outcome::NotSupported(reason) => {
                assert!(reason.contains(tensor) && reason.contains(named), "{file}: {reason}");
            }
            Outcome::Passed(..) => panic!("{file} passes with {tensor}"),
        }
    }
}

#[test]
fn a_family_in_no_list_fails() {
    let mut reference = fixture("zuko/nice.safetensors");
    for (case, passes) in [("nice_d9_seed3", true), ("nicer", false), ("unheard_of", false)] {
        reference.case = case.into();
        let outcome = families::check(&reference);
        assert_eq!(matches!(outcome, Outcome::Passed(..)), passes, "{case}");
        assert_eq!(matches!(outcome, Outcome::Failed(_)), !passes, "{case}");
    }
}

#[test]
fn a_truncated_file_is_a_failure_and_no_panic() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = folder.path().join("nice.safetensors");
    let bytes = std::fs::read(path("zuko/nice.safetensors")).expect("a readable fixture");
    std::fs::write(&copy, &bytes[..bytes.len() - 1]).expect("a writable folder");
    assert!(Reference::load(&copy).is_err());
}

#[test]
fn a_damaged_tensor_is_an_error_and_no_panic() {
    for file in crate::files_below(&path("")) {
        let reference = || Reference::load(&file).expect("a whole fixture");
        let state = reference().state();
        for name in state.names() {
            let tensor = state.get(name).expect("listed");
            let shape = tensor.shape().to_vec();
            let mut damages = vec![
                ("another kind", HostTensor::bools(vec![true; 7], [7])),
                ("empty", HostTensor::floats([], [0])),
                ("a longer axis", HostTensor::floats(vec![0.5; 11 * 13], [11, 13])),
            ];
            if let Some(values) = tensor.as_floats() {
                let nan = vec![f64::NAN; values.len()];
                damages.push(("NaN", HostTensor::floats(nan, shape.clone())));
                let turned: Vec<usize> = [1].into_iter().chain(shape.clone()).collect();
                damages.push(("one more axis", HostTensor::floats(values, turned)));
            }
            if let Some(values) = tensor.as_ints() {
                let beyond = values.iter().map(|v| v + 1).collect::<Vec<_>>();
                damages.push(("an index too large", HostTensor::ints(beyond, shape.clone())));
                let negative = vec![-1; values.len()];
                damages.push(("negative indices", HostTensor::ints(negative, shape.clone())));
            }
            for (damage, tensor) in damages {
                let mut reference = reference();
                reference.tensors.insert(name, tensor);
                let outcome = families::check(&reference);
                assert!(
                    matches!(outcome, Outcome::Failed(_)),
                    "{}: {name}: {damage}",
                    file.display()
                );
            }
            let mut reference = reference();
            reference.tensors = reference.without(name);
            let outcome = families::check(&reference);
            assert!(matches!(outcome, Outcome::Failed(_)), "{}: no {name}", file.display());
        }
    }
}
