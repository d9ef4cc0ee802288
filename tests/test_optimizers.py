"""Optimizers against PyTorch's, in float64, and on vectors longer than a block."""

import numpy as np
import pytest

from portnn import SGD, Adam, ArgumentError, get_backend

CASES = {
    "sgd": (SGD(0.1), lambda t, p: t.optim.SGD(p, lr=0.1)),
    "momentum": (SGD(0.1, momentum=0.9), lambda t, p: t.optim.SGD(p, lr=0.1, momentum=0.9)),
    "adam": (Adam(0.01), lambda t, p: t.optim.Adam(p, lr=0.01)),
}


def run(backend, optimizer, start, gradients):
    adapter = get_backend(backend)
    chain = optimizer.chain()
    size = len(start)
    run = adapter.elementwise(chain.stretches(size, size), donate=(0, *range(2, 2 + len(chain.slots))))
    parameters, *slots = (
        adapter.asarray(np.array(a), "float64") for a in (start, *[np.zeros_like(start)] * len(chain.slots))
    )
    with adapter.scope():
        for step, gradient in enumerate(gradients, start=1):
            gradient = adapter.asarray(gradient, "float64")
            parameters, slots = chain.update(run, adapter.xp, parameters, gradient, slots, chain.dials(step))
    return adapter.to_numpy(parameters)


@pytest.mark.parametrize("case", CASES)
def test_against_torch(case):
    torch = pytest.importorskip("torch")
    optimizer, make = CASES[case]
    rng = np.random.default_rng(0)
    start, gradients = rng.standard_normal(50), rng.standard_normal((200, 50))
    p = torch.tensor(start.copy(), requires_grad=True)
    theirs = make(torch, [p])
    for gradient in gradients:
        p.grad = torch.tensor(gradient)
        theirs.step()
    # 200 steps of about ten roundings each, on values of order ten.
    np.testing.assert_allclose(run("numpy", optimizer, start, gradients), p.detach().numpy(), rtol=0, atol=1e-12)


def by_the_paper(start, gradients, rate, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Kingma and Ba 2015, algorithm 1, as it stands there."""
    parameters, m, v = start, np.zeros_like(start), np.zeros_like(start)
    for t, g in enumerate(gradients, start=1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        parameters = parameters - rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + epsilon)
    return parameters


def test_adam_by_the_paper(backend):
    rng = np.random.default_rng(1)
    start, gradients = rng.standard_normal(20), rng.standard_normal((30, 20))
    expected = by_the_paper(start, gradients, 0.01)
    np.testing.assert_allclose(run(backend, Adam(0.01), start, gradients), expected, rtol=0, atol=1e-13)
    first = run(backend, Adam(0.01), start, gradients[:1])  # corrected, the first step is the gradient's sign
    np.testing.assert_allclose(first, start - 0.01 * np.sign(gradients[0]), rtol=0, atol=1e-7)


@pytest.mark.parametrize("case", CASES)
def test_backends_and_blocks(backend, case):
    optimizer, _ = CASES[case]
    rng = np.random.default_rng(0)
    size = 40_001  # NumPy's blocks: two whole and one begun
    start, gradients = rng.standard_normal(size), rng.standard_normal((5, size))
    whole = run(backend, optimizer, start, gradients)
    parts = [run("numpy", optimizer, start[i::7], gradients[:, i::7]) for i in range(7)]
    for i, part in enumerate(parts):
        np.testing.assert_allclose(whole[i::7], part, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "bad", [lambda: SGD(-1), lambda: SGD(0.1, momentum=1), lambda: Adam(beta2=2), lambda: Adam("x")]
)
def test_bad_settings(bad):
    with pytest.raises(ArgumentError, match="expected a number"):
        bad()
