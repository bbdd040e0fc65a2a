//! A cast changes the precision only, and a move changes the device only.

use burn_flows::burn::module::ParamId;
use burn_flows::model::{MafConfig, MafStep};
use burn_flows::{cast, to_device};

use super::*;

#[derive(Debug, Clone, PartialEq)]
struct State {
    id: ParamId,
    dtype: DType,
    trained: bool,
    graph: bool,
}

fn states<M: Module>(module: &M) -> Vec<State> {
    struct All(Vec<State>);
    impl ModuleVisitor for All {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            let (trained, graph) = (value.is_require_grad(), value.is_autodiff());
            self.0.push(State { id: param.id, dtype: value.dtype(), trained, graph });
        }
    }
    let mut all = All(vec![]);
    module.visit(&mut all);
    all.0
}

type Fixed = Flow<Vec<MafStep>, DiagNormal<2>>;

/// Trained layers with a base that is not trained.
fn flow() -> Fixed {
    let (layers, _) = moved(MafConfig::new(3).init(&device()), 4).into_parts();
    let base =
        DiagNormal::fixed(tensor(&[0.1, 0.2, 0.3], [1, 3]), tensor(&[1.0, 2.0, 3.0], [1, 3]));
    Flow::new(layers, base.unwrap())
}

/// Whether a parameter is trained is visible in training mode.
#[test]
fn a_cast_keeps_identities_graphs_and_what_is_trained() {
    let expected = |flow: &Fixed, dtype| {
        let before: Vec<State> = states(flow);
        before.into_iter().map(|state| State { dtype, ..state }).collect::<Vec<_>>()
    };
    for flow in [flow(), flow().valid(), flow().train()] {
        let single = expected(&flow, DType::F32);
        let trained = expected(&flow.clone().train(), DType::F32);
        assert!(trained.iter().any(|s| s.trained) && trained.iter().any(|s| !s.trained));
        let found = cast(flow, DType::F32);
        assert_eq!(states(&found), single);
        assert_eq!(states(&found.train()), trained);
    }
}

#[test]
fn a_cast_rounds_every_weight_and_nothing_else() {
    let flow = flow().valid();
    let rounded: Vec<Vec<f64>> = parameters(&flow)
        .into_iter()
        .map(|values| values.into_iter().map(|v| f64::from(v as f32)).collect())
        .collect();
    let single = cast(flow.clone(), DType::F32);
    assert_eq!(parameters(&single), rounded);
    let x = normal([20, 3], 1);
    let double = log_probs(&flow, x.clone());
    let found = single.log_prob(x.cast(DType::F32));
    assert_eq!(found.dtype(), DType::F32);
    let found: Vec<f64> = found.into_data().iter::<f64>().collect();
    assert_near(&found, &double, 1e-4);
}

#[test]
fn a_move_keeps_every_number_identity_and_what_is_trained() {
    for flow in [flow(), flow().valid(), flow().train()] {
        let x = normal([20, 3], 1);
        let (before, numbers) = (states(&flow), parameters(&flow));
        let trained = states(&flow.clone().train());
        let scores = log_probs(&flow.valid(), x.clone());
        let place = flow.devices()[0].clone();
        let there = to_device(flow, &place);
        assert_eq!((states(&there), parameters(&there)), (before, numbers));
        assert_eq!(log_probs(&there.valid(), x), scores);
        assert_eq!(states(&there.train()), trained);
    }
}
