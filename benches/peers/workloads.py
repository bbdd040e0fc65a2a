"""The workloads in the Python libraries, built as the documentation of each library does.

Networks have two hidden layers of 128 units with ReLU. Splines have 8 bins on [-5, 5]. ../README.md lists the
differences between the libraries.
"""

import functools
import itertools
import re

HIDDEN = 128
CONTEXT = 8
BINS = 8
BOUND = 5.0

LOG_PROB, SAMPLE, TRAIN, FIT = "log_prob", "sample", "train", "fit"
ALL = (LOG_PROB, SAMPLE, TRAIN)


def table():
    """Returns rows of name, kind, number of layers, shape of a batch, and operations."""
    rows = [
        ("realnvp_D64_K8_B1024", "coupling", 8, (1024, 64), ALL),
        ("realnvp_D64_K8_B64", "coupling", 8, (64, 64), ALL),
        ("maf_D64_K5_B1024", "masked", 5, (1024, 64), ALL),
        ("maf_D16_K5_B1024", "masked", 5, (1024, 16), ALL),
        ("nsf_coupling_D64_K5_B1024", "spline_coupling", 5, (1024, 64), ALL),
        ("nsf_ar_D16_K5_B1024", "spline_masked", 5, (1024, 16), ALL),
        ("nsf_ar_D10_K3_4x10000", "spline_posterior", 3, (10_000, 10), (SAMPLE,)),
        ("nsf_ar_D16_K5_context_B1024", "spline_context", 5, (1024, 16), ALL),
        ("realnvp_D256_K8_B1024", "coupling", 8, (1024, 256), ALL),
        ("glow_L2_K8_h64_3x16x16_B32", "glow", 8, (32, 3, 16, 16), ALL),
    ]
    # Large batches.
    rows += [
        ("realnvp_D64_K8_B8192", "coupling", 8, (8192, 64), ALL),
        ("maf_D64_K5_B8192", "masked", 5, (8192, 64), (LOG_PROB, TRAIN)),
        ("realnvp_D64_K8_B100000", "coupling", 8, (100_000, 64), (SAMPLE,)),
    ]
    for batch in (1024, 8192, 65536):
        rows.append((f"affine_coupling_1layer_D64_B{batch}", "coupling", 1, (batch, 64), (LOG_PROB,)))
    # A service that scores single events, and small batches.
    for batch in (1, 8):
        rows.append((f"realnvp_D64_K8_B{batch}", "coupling", 8, (batch, 64), (LOG_PROB, SAMPLE)))
    for batch in (1, 8, 64):
        rows.append((f"maf_D64_K5_B{batch}", "masked", 5, (batch, 64), (LOG_PROB, SAMPLE)))
    # One epoch of 100 batches: loader, validation, clipping, moving average.
    rows += [
        ("realnvp_D16_K5_B128", "coupling", 5, (128, 16), (FIT,)),
        ("maf_D16_K5_B128", "masked", 5, (128, 16), (FIT,)),
        ("nsf_ar_D16_K5_B128", "spline_masked", 5, (128, 16), (FIT,)),
    ]
    return rows


BATCHES = 100
VALIDATION = 0.1
CLIP = 10.0
AVERAGE = 0.99
RATE = 1e-4


# The goal for the speedup over the fastest library: pattern of workloads, operations, speedup.
# `fit` has the goal 5 over PyTorch and 2 over FlowJAX; the goal for the fastest of them is 2.
GOALS = [
    (r"", (FIT,), 2.0),
    (r"realnvp_D64_K8_B1$", (LOG_PROB, SAMPLE), 8.0),
    (r"maf_D64_K5_B1$", (LOG_PROB,), 8.0),
    (r"maf_D64_K5_B1$", (SAMPLE,), 5.0),
    (r"maf_D64_K5_B8$", (SAMPLE,), 8.0),
    (r"realnvp_D64_K8_B64$", (LOG_PROB,), 5.0),
    (r"realnvp_D64_K8_B64$", (SAMPLE,), 6.0),
    (r"realnvp_D64_K8_B1024$", (LOG_PROB, SAMPLE), 3.0),
    (r"maf_D64_K5_B1024$", (LOG_PROB,), 3.5),
    (r"maf_D64_K5_B1024$", (SAMPLE,), 40.0),
    (r"maf_D16_K5_B1024$", (LOG_PROB,), 4.0),
    (r"maf_D16_K5_B1024$", (SAMPLE,), 20.0),
    (r"realnvp_D64_K8_B(64|1024)$|maf_D(16|64)_K5_B1024$", (TRAIN,), 2.5),
    (r"nsf_coupling", ALL, 5.0),
    (r"nsf_ar_D16_K5_B1024$", (LOG_PROB,), 6.0),
    (r"nsf_ar_D16_K5_B1024$", (SAMPLE,), 50.0),
    (r"nsf_ar_D16_K5_B1024$", (TRAIN,), 5.0),
    (r"nsf_ar_D10_K3_4x10000", (SAMPLE,), 14.0),
    (r"glow", (LOG_PROB, SAMPLE), 4.0),
    (r"glow", (TRAIN,), 3.5),
    (r"affine.*B65536", ALL, 3.0),
]


def goal(name, operation):
    return next((g for pattern, ops, g in GOALS if re.match(pattern, name) and operation in ops), None)


# ---------------------------------------------------------------- PyTorch


class TorchModel:
    """A module with its functions for the log-density and for samples."""

    def __init__(self, module, log_prob, sample):
        self.module, self.log_prob, self.sample = module, log_prob, sample


def dense(inputs, outputs):
    from torch import nn

    class Dense(nn.Sequential):
        # nflows passes a second argument, and divides by the square root of this number.
        hidden_features = HIDDEN

        def forward(self, x, context=None):
            return super().forward(x)

    return Dense(
        nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs)
    )


def convolutions(inputs, outputs, hidden=64):
    from torch import nn

    class Convolutions(nn.Sequential):
        hidden_channels = hidden

        def forward(self, x, context=None):
            return super().forward(x)

    same = dict(kernel_size=3, padding=1)
    return Convolutions(
        nn.Conv2d(inputs, hidden, **same), nn.ReLU(), nn.Conv2d(hidden, hidden, 1), nn.ReLU(),
        nn.Conv2d(hidden, outputs, **same),
    )


def zuko_model(kind, layers, shape):
    import zuko

    common = dict(transforms=layers, hidden_features=(HIDDEN, HIDDEN))
    spline = zuko.transforms.MonotonicRQSTransform
    widths = [(BINS,), (BINS,), (BINS - 1,)]
    makers = {
        "coupling": lambda d: zuko.flows.RealNVP(d, **common),
        "masked": lambda d: zuko.flows.MAF(d, **common),
        "spline_coupling": lambda d: zuko.flows.NICE(d, univariate=spline, shapes=widths, **common),
        "spline_masked": lambda d: zuko.flows.NSF(d, bins=BINS, **common),
    }
    if kind == "spline_posterior":
        # Draws of a posterior for each of 4 observations. The time of a draw does not depend on their number.
        import torch

        flow = zuko.flows.NSF(shape[1], shape[1], bins=BINS, **common)
        context = torch.randn(4, shape[1])
        return TorchModel(flow, lambda x: flow(context[0]).log_prob(x), lambda n: flow(context).sample((n,)))
    if kind == "spline_context":
        import torch

        flow = zuko.flows.NSF(shape[1], CONTEXT, bins=BINS, **common)
        context = torch.randn(shape[0], CONTEXT)
        return TorchModel(flow, lambda x: flow(context).log_prob(x), lambda n: flow(context).sample())
    if kind not in makers:
        return None
    flow = makers[kind](shape[1])
    return TorchModel(flow, lambda x: flow().log_prob(x), lambda n: flow().sample((n,)))


def nflows_model(kind, layers, shape):
    import torch
    from nflows import distributions, flows, transforms as t

    tails = dict(num_bins=BINS, tails="linear", tail_bound=BOUND)
    masked = dict(num_blocks=1, use_residual_blocks=False)

    def alternating(k):
        return (torch.arange(shape[1]) + k) % 2

    def glow():
        channels, side = shape[1], shape[2]
        whole = t.MultiscaleCompositeTransform(num_transforms=2)
        for _ in range(2):
            channels, side = 4 * channels, side // 2
            half = (torch.arange(channels) >= channels // 2).int()
            level = [t.SqueezeTransform()]
            for _ in range(layers):
                coupling = t.AffineCouplingTransform(half, convolutions)
                level += [t.ActNorm(channels), t.OneByOneConvolution(channels), coupling]
            rest = whole.add_transform(t.CompositeTransform(level), (channels, side, side))
            if rest is not None:
                channels = rest[0]
        return whole

    def stack(layer, permuted):
        chain = []
        for k in range(layers):
            chain.append(layer(k))
            if permuted:
                chain.append(t.ReversePermutation(shape[1]))
        return t.CompositeTransform(chain)

    def spline_masked(_, **more):
        return t.MaskedPiecewiseRationalQuadraticAutoregressiveTransform(
            shape[1], HIDDEN, **tails, **masked, **more
        )

    makers = {
        "coupling": lambda: stack(lambda k: t.AffineCouplingTransform(alternating(k), dense), False),
        "masked": lambda: stack(
            lambda _: t.MaskedAffineAutoregressiveTransform(shape[1], HIDDEN, **masked), True
        ),
        "spline_coupling": lambda: stack(
            lambda k: t.PiecewiseRationalQuadraticCouplingTransform(alternating(k), dense, **tails), False
        ),
        "spline_masked": lambda: stack(spline_masked, True),
        "spline_context": lambda: stack(lambda k: spline_masked(k, context_features=CONTEXT), True),
        "glow": glow,
    }
    if kind not in makers:
        return None
    size = 1
    for axis in shape[1:]:
        size *= axis
    flow = flows.Flow(makers[kind](), distributions.StandardNormal([size]))
    if kind == "spline_context":
        context = torch.randn(shape[0], CONTEXT)
        return TorchModel(flow, lambda x: flow.log_prob(x, context), lambda n: flow.sample(1, context))
    return TorchModel(flow, flow.log_prob, flow.sample)


def normflows_model(kind, layers, shape):
    import normflows as nf

    features = shape[1]
    if kind == "glow":
        bases, merges, levels = [], [], []
        for level in range(2):
            channels = 3 * 2 ** (3 - level)
            steps = [nf.flows.GlowBlock(channels, 64, split_mode="channel", scale=True) for _ in range(layers)]
            levels.append(steps + [nf.flows.Squeeze()])
            # The list starts at the latents: the deepest level first.
            latent, side = (24, 4) if level == 0 else (6, 2)
            bases.append(nf.distributions.GlowBase((latent, shape[2] // side, shape[3] // side)))
            if level > 0:
                merges.append(nf.flows.Merge())
        flow = nf.MultiscaleFlow(bases, levels, merges, class_cond=False)
        return TorchModel(flow, lambda x: flow.log_prob(x, None), lambda n: flow.sample(n)[0])

    bound = dict(num_bins=BINS, tail_bound=BOUND)

    def swapped(layer):
        return [part for _ in range(layers) for part in (layer(), nf.flows.Permute(features, "swap"))]

    makers = {
        "coupling": lambda: swapped(
            lambda: nf.flows.AffineCouplingBlock(
                nf.nets.MLP([features // 2, HIDDEN, HIDDEN, features]), scale_map="sigmoid"
            )
        ),
        # "masked" is left out: in normflows its density is the slow direction.
        "spline_coupling": lambda: [
            nf.flows.CoupledRationalQuadraticSpline(features, 1, HIDDEN, reverse_mask=k % 2 == 1, **bound)
            for k in range(layers)
        ],
        "spline_masked": lambda: swapped(
            lambda: nf.flows.AutoregressiveRationalQuadraticSpline(features, 1, HIDDEN, **bound)
        ),
    }
    if kind not in makers:
        return None
    base = nf.distributions.DiagGaussian(features, trainable=False)
    flow = nf.NormalizingFlow(base, makers[kind]())
    return TorchModel(flow, flow.log_prob, lambda n: flow.sample(n)[0])


TORCH = {"zuko": zuko_model, "nflows": nflows_model, "normflows": normflows_model}


def torch_operations(library, kind, layers, shape, mode):
    """`mode` is that of `torch.compile`, or None."""
    import torch

    torch.manual_seed(0)
    model = TORCH[library](kind, layers, shape)
    if model is None:
        return None
    x = torch.randn(shape)
    model.log_prob(x)  # initialises layers that depend on data
    if mode:
        compiled = [torch.compile(call, mode=mode) for call in (model.log_prob, model.sample)]
        model = TorchModel(model.module, *compiled)
    parameters = [p for p in model.module.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=1e-4)

    def train():
        optimizer.zero_grad()
        (-model.log_prob(x).mean()).backward()
        optimizer.step()

    @torch.no_grad()
    def log_prob():
        model.log_prob(x)

    @torch.no_grad()
    def sample():
        model.sample(shape[0])

    def fit():
        rows = torch.randn((BATCHES * shape[0], *shape[1:]))
        held = int(VALIDATION * len(rows))
        rows, validation = rows[held:], rows[:held]
        loader = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(rows), batch_size=shape[0], shuffle=True
        )
        optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(loader))
        swa = torch.optim.swa_utils
        average = swa.AveragedModel(model.module, multi_avg_fn=swa.get_ema_multi_avg_fn(AVERAGE))
        total = 0.0
        for (batch,) in loader:
            optimizer.zero_grad()
            loss = -model.log_prob(batch).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, CLIP)
            optimizer.step()
            schedule.step()
            average.update_parameters(model.module)
            total += loss.item()
        with torch.no_grad():
            return total, -average.module().log_prob(validation).mean().item()

    calls = {LOG_PROB: log_prob, SAMPLE: sample, TRAIN: train}
    if library == "zuko":
        calls[FIT] = fit
    return calls


# ---------------------------------------------------------------- JAX


def jax_operations(kind, layers, shape):
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import optax
    import paramax
    from flowjax import bijections, flows, train as train_flows
    from flowjax.distributions import Normal

    makers = {
        "coupling": (flows.coupling_flow, None),
        "masked": (flows.masked_autoregressive_flow, None),
        "spline_coupling": (flows.coupling_flow, BINS),
        "spline_masked": (flows.masked_autoregressive_flow, BINS),
        "spline_context": (flows.masked_autoregressive_flow, BINS),
    }
    if kind not in makers:
        return None
    maker, knots = makers[kind]
    given = kind == "spline_context"
    more = {"cond_dim": CONTEXT} if given else {}
    if knots:
        more["transformer"] = bijections.RationalQuadraticSpline(knots=knots, interval=BOUND)
    flow = maker(
        jax.random.key(0), base_dist=Normal(jnp.zeros(shape[1])), flow_layers=layers, nn_width=HIDDEN,
        nn_depth=2, **more,
    )
    x = jax.random.normal(jax.random.key(1), shape)
    condition = jax.random.normal(jax.random.key(5), (shape[0], CONTEXT)) if given else None
    density = eqx.filter_jit(lambda flow, x: flow.log_prob(x, condition))
    draws = () if given else (shape[0],)
    sampler = eqx.filter_jit(lambda flow, key: flow.sample(key, draws, condition))
    frozen = dict(is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable))
    weights, rest = eqx.partition(flow, eqx.is_inexact_array, **frozen)
    optimizer = optax.adam(1e-4)

    def loss(weights):
        return -paramax.unwrap(eqx.combine(weights, rest)).log_prob(x, condition).mean()

    # The whole step is one program, which reuses the memory of the weights and moments.
    @functools.partial(eqx.filter_jit, donate="all")
    def step(weights, state):
        _, gradients = eqx.filter_value_and_grad(loss)(weights)
        updates, state = optimizer.update(gradients, state)
        return eqx.apply_updates(weights, updates), state

    # The step takes the memory of its arguments, and the flow keeps its weights.
    own = jax.tree.map(lambda leaf: leaf.copy() if eqx.is_array(leaf) else leaf, weights)
    held = [own, optimizer.init(weights)]

    def train():
        held[:] = step(*held)
        jax.block_until_ready(held[0])

    # Compiled once: another loss or optimizer would be compiled again in every call.
    likelihood = train_flows.losses.MaximumLikelihoodLoss()
    fit_optimizer = optax.chain(optax.clip_by_global_norm(CLIP), optax.adamw(RATE, weight_decay=0.0))

    def fit():
        rows = jax.random.normal(jax.random.key(3), (BATCHES * shape[0], *shape[1:]))
        more = dict(batch_size=shape[0], val_prop=VALIDATION, optimizer=fit_optimizer, loss_fn=likelihood)
        train_flows.fit_to_data(
            jax.random.key(4), flow, rows, max_epochs=1, show_progress=False, **more
        )

    return {
        FIT: fit,
        LOG_PROB: lambda: density(flow, x).block_until_ready(),
        SAMPLE: lambda: sampler(flow, jax.random.key(2)).block_until_ready(),
        TRAIN: train,
    }


def operations(kind, layers, shape, modes):
    """Returns the operations of every library that has the model, also compiled by `torch.compile` in these modes."""
    made = {library: torch_operations(library, kind, layers, shape, None) for library in TORCH}
    for library, mode in itertools.product(TORCH, modes):
        made[f"{library}, {mode}"] = torch_operations(library, kind, layers, shape, mode)
    made["flowjax"] = jax_operations(kind, layers, shape)
    return {library: made for library, made in made.items() if made is not None}
