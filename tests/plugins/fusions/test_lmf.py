from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions import lmf, tfn
from torch.nn import functional as F

COMPONENT = lmf.component
X, Y, Z = (torch.randn(5, width, generator=torch.Generator().manual_seed(width)) for width in (7, 3, 2))
SOME = torch.tensor([[True, False, True]] * 5)


def _factor(module, place):
    """F_m of the paper: (rank, width of the result, width of the input + 1), the 1 first."""
    layer = module.factors[place]
    return torch.cat([layer.bias.unsqueeze(1), layer.weight], 1).unflatten(0, module.sizes)


def _ones(x):
    return F.pad(x, (1, 0), value=1.0)


@pytest.mark.parametrize("rank_weights", ["learned", "ones"])
def test_it_is_the_tensor_of_rank_r_contracted(build, rank_weights):
    module = build(COMPONENT, X, Y, Z, width=11, rank=3, rank_weights=rank_weights)
    with torch.no_grad():
        module.bias_w.normal_()
    weights = torch.ones(3) if rank_weights == "ones" else module.rank_weights_r
    tensor = torch.einsum("r,roa,rob,roc->oabc", weights, *(_factor(module, m) for m in range(3)))
    wanted = torch.einsum("oabc,na,nb,nc->no", tensor, _ones(X), _ones(Y), _ones(Z)) + module.bias_w
    torch.testing.assert_close(module(X, Y, Z), wanted, rtol=1e-4, atol=1e-5)


def test_it_is_tensor_fusion_with_that_tensor(build):
    """The two components agree, the tensor of the one flattened to the layer of the other."""
    low, full = build(COMPONENT, X, Y, Z, width=11, rank=2), build(tfn.component, X, Y, Z, width=11)
    tensor = torch.einsum("r,roa,rob,roc->oabc", low.rank_weights_r, *(_factor(low, m) for m in range(3)))
    with torch.no_grad():
        full.project.weight.copy_(tensor.flatten(1))
    torch.testing.assert_close(low(X, Y, Z, present=SOME), full(X, Y, Z, present=SOME), rtol=1e-4, atol=1e-5)


def test_without_an_input_only_its_interactions_go(build):
    module = build(COMPONENT, X, Y, Z, width=11)
    found = module(X, torch.full_like(Y, float("inf")), Z, present=SOME)
    torch.testing.assert_close(found, module(X, torch.zeros_like(Y), Z))
    alone = _factor(module, 1)[..., 0]
    one, other = (torch.einsum("roc,nc->nro", _factor(module, m), _ones(x)) for m, x in ((0, X), (2, Z)))
    torch.testing.assert_close(found, torch.einsum("r,nro,ro,nro->no", module.rank_weights_r, one, alone, other))


@pytest.mark.parametrize("rank_weights", ["learned", "ones"])
@pytest.mark.parametrize("inputs", [2, 3, 4])
def test_the_variance_is_kept_however_many_inputs(build, inputs, rank_weights):
    """Starting each factor as one matrix of its rank, width and inputs would make this 1e-3 and far less."""
    x = torch.randn(inputs, 499, 64).unbind(0)
    found = build(COMPONENT, *x, width=97, rank_weights=rank_weights)(*x)
    assert 0.3 < found.var(0).mean().item() < 3


def test_size_and_start(build, count):
    module = build(COMPONENT, X, Y, Z, width=11, rank=4)
    assert count(module) == 4 * 11 * (12 + 3) + 4 + 11
    assert sum(tensor.numel() for tensor in module.state_dict().values()) == count(module)
    assert module.rank_weights_r.tolist() == [0.5] * 4
    assert not module.bias_w.any()
    wide = build(COMPONENT, torch.zeros(1, 96), width=101)
    assert wide.factors[0].weight.var().item() == pytest.approx(1 / 97, rel=0.05)


@pytest.mark.parametrize("sizes", [(5, 3), (3, 5), (2, 3, 5)])
def test_positions_stand_on_their_own(build, sizes):
    tokens = len(sizes) == 2 and sizes[0] == 5
    x, y = (torch.randn(2, *((sizes[0], c) if tokens else (c, *sizes[1:], 3))) for c in (7, 2))
    there, vectors = build(COMPONENT, x, y, width=11), build(COMPONENT, X, Z, width=11)
    vectors.load_state_dict({name: value.flatten(1) if value.dim() > 2 else value
                             for name, value in there.state_dict().items()})
    at = (lambda v: v[:, 1]) if tokens else (lambda v: v.flatten(2)[:, :, 4])
    torch.testing.assert_close(at(there(x, y)), vectors(at(x), at(y)))
