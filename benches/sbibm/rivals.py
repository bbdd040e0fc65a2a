"""Neural posterior estimation with zuko and nflows, with the settings of the package sbi.

Both flows are neural spline flows of five layers with 50 hidden units and 10 bins. Training is Adam at 5e-4 with a
batch size of 200. It stops after 20 epochs without a lower loss on a validation tenth, and returns the best weights.
"""

import copy
import math
import time

import numpy as np
import torch

LAYERS, HIDDEN, BINS = 5, 50, 10
RATE, BATCH, PATIENCE, CLIP = 5e-4, 200, 20, 5.0


class Zuko:
    """Autoregressive spline layers."""

    def __init__(self, parameters, data):
        import zuko

        self.module = zuko.flows.NSF(parameters, data, bins=BINS, transforms=LAYERS, hidden_features=[HIDDEN] * 2)

    def log_prob(self, theta, x):
        return self.module(x).log_prob(theta)

    def sample(self, n, x):
        return self.module(x[0]).sample((n,))


class Nflows:
    """Spline couplings with linear maps between them."""

    def __init__(self, parameters, data):
        from nflows.distributions import StandardNormal
        from nflows.flows import Flow
        from nflows.nn.nets import ResidualNet
        from nflows.transforms import CompositeTransform, LULinear
        from nflows.transforms import PiecewiseRationalQuadraticCouplingTransform as Coupling
        from nflows.utils import create_alternating_binary_mask

        def network(inputs, outputs):
            return ResidualNet(inputs, outputs, hidden_features=HIDDEN, context_features=data, num_blocks=2)

        layers = []
        for layer in range(LAYERS):
            mask = create_alternating_binary_mask(parameters, even=layer % 2 == 0)
            layers.append(Coupling(mask, network, num_bins=BINS, tails="linear", tail_bound=3.0))
            layers.append(LULinear(parameters, identity_init=True))
        self.module = Flow(CompositeTransform(layers), StandardNormal([parameters]))

    def log_prob(self, theta, x):
        return self.module.log_prob(theta, context=x)

    def sample(self, n, x):
        return self.module.sample(n, context=x)[0]


METHODS = {"zuko": Zuko, "nflows": Nflows}


class Estimator:
    """A trained flow on standardised parameters and data."""

    def __init__(self, method, theta, x, seed):
        torch.manual_seed(seed)
        # Networks of this size are slower on more threads.
        torch.set_num_threads(1)
        start = time.process_time()
        self.means, self.stds = zip(*((a.mean(axis=0), a.std(axis=0)) for a in (theta, x)))
        theta, x = self.standardised(theta, 0), self.standardised(x, 1)
        self.flow = METHODS[method](theta.shape[1], x.shape[1])
        self.train(theta, x)
        self.train_cpu_s = time.process_time() - start

    def standardised(self, rows, part):
        return torch.as_tensor((rows - self.means[part]) / self.stds[part], dtype=torch.float32)

    def train(self, theta, x):
        module = self.flow.module
        order = torch.randperm(len(theta))
        held, kept = order[: len(order) // 10], order[len(order) // 10 :]
        optimizer = torch.optim.Adam(module.parameters(), lr=RATE)
        best, weights, waited = math.inf, None, 0
        while waited < PATIENCE:
            module.train()
            shuffled = kept[torch.randperm(len(kept))]
            # A last batch that is not full is left out.
            for rows in shuffled[: len(shuffled) // BATCH * BATCH].split(BATCH):
                loss = -self.flow.log_prob(theta[rows], x[rows]).mean()
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(module.parameters(), CLIP)
                optimizer.step()
            module.eval()
            with torch.no_grad():
                loss = -self.flow.log_prob(theta[held], x[held]).mean().item()
            waited += 1
            if loss < best:
                best, weights, waited = loss, copy.deepcopy(module.state_dict()), 0
        module.load_state_dict(weights)

    @torch.no_grad()
    def log_prob(self, theta, x):
        """Returns the log-density of one row of parameters for one observation."""
        rows = (self.standardised(np.atleast_2d(rows), part) for part, rows in enumerate((theta, x)))
        return self.flow.log_prob(*rows).item() - float(np.log(self.stds[0]).sum())

    @torch.no_grad()
    def sample(self, n, x):
        """Draws parameters for one observation."""
        z = self.flow.sample(n, self.standardised(np.atleast_2d(x), 1)).double().numpy()
        return z * self.stds[0] + self.means[0]
