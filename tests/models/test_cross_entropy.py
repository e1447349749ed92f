"""Softmax and cross-entropy in one: against finite differences, against PyTorch, and on other devices than a CPU."""

import numpy as np
import pytest

from netsim.models.layers.cross_entropy import cross_entropy, cross_entropy_back

LABELS = np.random.default_rng(8).integers(5, size=(3, 4))


@pytest.mark.parametrize(("dtype", "limit"), [(np.float64, 1e-13), (np.float32, 1e-5)])
def test_cross_entropy_equals_pytorch(dtype, limit):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    logits = 3 * np.random.default_rng(0).standard_normal((3, 4, 5)).astype(dtype)
    loss, kept = cross_entropy(logits, LABELS)
    derivative = cross_entropy_back(kept)
    assert loss.dtype == derivative.dtype == dtype
    for i in range(3):
        leaf = torch.tensor(logits[i], requires_grad=True)
        value = torch.nn.functional.cross_entropy(leaf, torch.tensor(LABELS[i]))
        value.backward()
        assert loss[i] == pytest.approx(value.item(), rel=limit)
        np.testing.assert_allclose(derivative[i], leaf.grad.numpy(), rtol=10 * limit, atol=limit / 100)


def test_cross_entropy_derivative_equals_finite_differences():
    random = np.random.default_rng(0)
    logits, toward = random.standard_normal((2, 3, 4, 5))
    _, kept = cross_entropy(logits, LABELS)
    ahead, behind = (cross_entropy(logits + sign * 1e-5 * toward, LABELS)[0] for sign in (1, -1))
    np.testing.assert_allclose((cross_entropy_back(kept) * toward).sum(axis=(1, 2)), (ahead - behind) / 2e-5, rtol=1e-6)


def test_cross_entropy_on_a_device(elsewhere):
    logits = 3 * np.random.default_rng(0).standard_normal((3, 4, 5))
    loss, kept = cross_entropy(logits, LABELS)
    there, kept_there = cross_entropy(elsewhere.asarray(logits), elsewhere.asarray(LABELS))
    np.testing.assert_allclose(there.get(), loss, rtol=1e-13)
    derivative = cross_entropy_back(kept)
    np.testing.assert_allclose(cross_entropy_back(kept_there).get(), derivative, rtol=1e-13, atol=1e-15)


def test_cross_entropy_of_large_logits_is_finite():
    loss, kept = cross_entropy(np.array([[[1e4, 0.0], [0.0, 1e4]]]), np.array([[0, 0]]))
    assert loss[0] == pytest.approx(5e3)
    assert np.isfinite(cross_entropy_back(kept)).all()
