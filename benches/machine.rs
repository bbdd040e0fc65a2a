//! Benchmarks of the machine: `machine/<operation>/<size>`, each on one core. `benches/README.md`
//! derives from them a lower bound on the time of a workload.

use std::hint::black_box;

use burn_flows::Noise;
use burn_flows::burn::Tensor;
use burn_flows::burn::tensor::Device;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn draw(shape: [usize; 2]) -> Tensor<2> {
    Noise::seeded(1).normal(shape, &Device::flex())
}

/// Matrix products of the sizes that networks of 128 units have. They are small enough that `flex`
/// stays on one core. The throughput counts multiplications and additions.
fn products(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("machine");
    for [rows, inner, columns] in [[64, 128, 128], [256, 128, 128], [256, 32, 128], [256, 128, 64]]
    {
        let (x, w) = (draw([rows, inner]), draw([inner, columns]));
        group.throughput(Throughput::Elements((2 * rows * inner * columns) as u64));
        group.bench_function(format!("product/{rows}x{inner}x{columns}"), |b| {
            b.iter(|| black_box(x.clone().matmul(w.clone())));
        });
    }
    group.finish();
}

/// Reads and writes one number at a time, in the cache of one core, in the cache of all cores, and
/// in memory.
fn copies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("machine");
    for rows in [256, 4096, 262_144] {
        let x = draw([rows, 64]);
        group.throughput(Throughput::Bytes((2 * 4 * rows * 64) as u64));
        group.bench_function(format!("scale/{rows}x64"), |b| {
            b.iter(|| black_box(x.clone() * 2.0));
        });
    }
    group.finish();
}

criterion_group!(benches, products, copies);
criterion_main!(benches);
