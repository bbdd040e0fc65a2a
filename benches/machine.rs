//! What the machine gives: `machine/<operation>/<size>`, each on one core. With it the notes in
//! `benches/README.md` tell what a workload needs at the least.

use std::hint::black_box;

use burn_flows::Noise;
use burn_flows::burn::Tensor;
use burn_flows::burn::tensor::Device;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn draw(shape: [usize; 2]) -> Tensor<2> {
    Noise::seeded(1).normal(shape, &Device::flex())
}

/// Products as networks of 128 units have, small enough that `flex` stays on one core. The
/// throughput is in multiplications and additions.
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

/// One number read and one written: in the cache of a core, in that of all, in memory.
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
