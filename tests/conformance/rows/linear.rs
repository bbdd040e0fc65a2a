//! Rows of linear maps and permutations, of features and of channels.

use burn::tensor::Tensor;
use burn_flows::Noise;
use burn_flows::bijector::*;
use burn_flows::testing::{Check, Suite};

use crate::layers::*;
use crate::{DEVICE, built};

rows! {
    lu_size_1: lu(1), Suite::new([3, 1]).without(Check::Gradients); // no entries off the diagonal
    lu_size_2: lu(2), [3, 2];
    lu_size_3: lu(3), [3, 3];
    lu_size_8: lu(8), [3, 8];
    lu_signed: signed_lu(), [4, 3];
    triangular_size_1: TriangularLinearConfig::new(1).init(&DEVICE), Suite::new([3, 1]).without(Check::Gradients); // one direction, and no entries below the diagonal
    triangular_size_4: TriangularLinearConfig::new(4).init(&DEVICE), [3, 4];
    triangular_image: LinearMap::new(TriangularMatrix::identity(3, &DEVICE)), [2, 3, 2, 1];
    lu_context: lu(3).with_context(Noise::seeded(1).normal([2, 3], &DEVICE)), Suite::new([3, 3]).with_context(2);
    lu_context_image: LinearMap::new(LuFactors::identity(2, &DEVICE)).with_context(Noise::seeded(1).normal([1, 2], &DEVICE)), Suite::new([3, 2, 2, 1]).with_context(1);
    lu_image: lu(3), [2, 3, 2, 1];
    lu_permuted: LinearMap::new(LuFactors::identity(4, &DEVICE).transposed().permuted(Permutation::random(4, 1, &DEVICE).unwrap())), [3, 4];
    dense_size_1: DenseLinearConfig::new(1).init(&DEVICE), [3, 1];
    dense_size_4: DenseLinearConfig::new(4).init(&DEVICE), [3, 4];
    dense_size_7: DenseLinearConfig::new(7).with_seed(2).init(&DEVICE), [3, 7];
    dense_image: LinearMap::new(DenseMatrix::from_weights(Tensor::from_data([[2.0, 1.0], [-1.0, 3.0]], &*DEVICE)).unwrap()), [2, 2, 3, 2];
    householder_one: HouseholderConfig::new(3, 1).init(&DEVICE), [3, 3];
    householder_full: HouseholderConfig::new(4, 4).init(&DEVICE), [3, 4];
    householder_more: HouseholderConfig::new(2, 5).init(&DEVICE), [3, 2];
    householder_image: LinearMap::new(Reflections::from_weights(Tensor::from_data([[1.0, 2.0, 0.0], [1.0, 2.0, 0.0]], &*DEVICE))), [2, 3, 2, 1];
    rotation_size_1: RotationConfig::new(1).init(&DEVICE), Suite::new([3, 1]).without(Check::Gradients); // one direction
    rotation_size_2: RotationConfig::new(2).init(&DEVICE), [3, 2];
    rotation_size_5: RotationConfig::new(5).with_seed(3).init(&DEVICE), [3, 5];
    rotation_small: LinearMap::new(RotationMatrix::from_weights(Tensor::zeros([3, 3], &*DEVICE))), [3, 3];
    rotation_image: RotationConfig::new(3).init(&DEVICE), [2, 3, 2, 1];
    rotation_any: any(r#"{"Stack": [{"Rotation": {"features": 3, "seed": 1}}, {"Softclip": {"bound": 9.0}}]}"#), near([3, 3]);
    qr_size_1: QrLinearConfig::new(1, 1).init(&DEVICE), Suite::new([3, 1]).without(Check::Gradients); // one direction, and no entries above the diagonal
    qr_size_4: QrLinearConfig::new(4, 2).init(&DEVICE), [3, 4];
    qr_size_7: QrLinearConfig::new(7, 7).with_seed(3).init(&DEVICE), [3, 7];
    qr_image: QrLinearConfig::new(3, 3).init(&DEVICE), [2, 3, 1, 2];
    svd_size_1: SvdLinearConfig::new(1, 2).init(&DEVICE), Suite::new([3, 1]).without(Check::Gradients); // one direction
    svd_size_4: SvdLinearConfig::new(4, 2).init(&DEVICE), [3, 4];
    svd_size_7: SvdLinearConfig::new(7, 7).with_seed(3).init(&DEVICE), [3, 7];
    svd_image: SvdLinearConfig::new(3, 3).init(&DEVICE), [2, 3, 1, 2];
    permutation_reverse: Permutation::reverse(5, &DEVICE).unwrap(), [3, 5];
    permutation_random: Permutation::random(8, 4, &DEVICE).unwrap(), [3, 8];
    permutation_given: Permutation::given(&[2, 0, 1], &DEVICE).unwrap(), [3, 3];
    permutation_image: Permutation::given(&[1, 2, 0], &DEVICE).unwrap(), [2, 3, 2, 1];
    conv1x1_permuted_last: permuted_last(), [2, 3, 2, 2];
    conv1x1: InvertibleConv1x1Config::new(4).init(&DEVICE), [2, 4, 2, 1];
    conv1x1_odd: mixing(3, Conv1x1Matrix::Lu), [2, 3, 2, 1];
    conv1x1_one: mixing(1, Conv1x1Matrix::Lu), Suite::new([2, 1, 2, 2]).without(Check::Gradients);
    conv1x1_plain: mixing(4, Conv1x1Matrix::Plain), [2, 4, 2, 1];
    conv1x1_plain_one: mixing(1, Conv1x1Matrix::Plain), [2, 1, 2, 2];
    conv1x1_householder: mixing(4, Conv1x1Matrix::Householder), [2, 4, 1, 2];
    conv1x1_householder_odd: mixing(3, Conv1x1Matrix::Householder), [2, 3, 2, 2];
    conv1x1_qr: mixing(4, Conv1x1Matrix::Qr), [2, 4, 2, 1];
    conv1x1_qr_odd: mixing(3, Conv1x1Matrix::Qr), [2, 3, 1, 2];
    conv1x1_svd: mixing(4, Conv1x1Matrix::Svd), [2, 4, 2, 1];
    conv1x1_svd_odd: mixing(3, Conv1x1Matrix::Svd), [2, 3, 1, 2];
}
