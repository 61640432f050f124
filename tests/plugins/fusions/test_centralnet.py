"""CentralNet: the sums of every level by hand, rescaling, and sizes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from fusionkit_plugins.fusions.centralnet import component, rescaling

MAPS = [torch.randn(3, *sizes) for sizes in ((5, 11, 13), (7, 5, 7), (5, 11, 13), (4, 5, 7))]


def central(module, first, second):
    """The two layers, from what each reads of the modalities; the second also reads the first."""
    found = module.layers[0](first)
    return module.layers[1](module.central[0] * found + second).mean((2, 3))


def test_every_level_reads_itself_and_the_encoders(build):
    module = build(component, *MAPS)
    with torch.no_grad():
        for weights in (*module.weights, *module.central):
            weights.copy_(torch.rand(weights.shape) + 0.5)
    a, b = module.weights
    projected = F.conv2d(MAPS[3], module.project[1][1].weight, module.project[1][1].bias)
    wanted = central(module, a[0] * MAPS[0] + a[1] * MAPS[2], b[0] * MAPS[1] + b[1] * projected)
    torch.testing.assert_close(module(*MAPS), wanted)
    assert wanted.shape == (3, 7)


def test_a_layer_is_a_convolution_to_the_next_grid(build):
    layer = build(component, *MAPS).layers[0]
    convolution, pooled = layer.reduce
    assert convolution.stride == (2, 2)
    wanted = F.batch_norm(F.adaptive_max_pool2d(convolution(MAPS[0]), (5, 7)), layer.norm.norm.running_mean,
                          layer.norm.norm.running_var, layer.norm.norm.weight, layer.norm.norm.bias).relu()
    torch.testing.assert_close(layer(MAPS[0]), wanted)
    assert pooled(convolution(MAPS[0])).shape == (3, 7, 5, 7)


def test_all_weights_start_alike(build, count):
    module = build(component, *MAPS)
    for weights in (*module.weights, *module.central):
        torch.testing.assert_close(weights, torch.full_like(weights, 1 / 3))
    layers = 9 * 5 * 7 + 2 * 7 + 9 * 7 * 7 + 2 * 7
    # L (M + 1) numbers, but none for what is before the first level, and one projection of 4 channels to 7.
    assert count(module) == layers + (2 * 3 - 1) + (4 + 1) * 7


def test_an_absent_modality_leaves_and_the_rest_is_rescaled(build):
    module = build(component, *MAPS)
    with torch.no_grad():
        module.weights[0].copy_(torch.tensor([0.5, 0.25]))
        module.weights[1].copy_(torch.tensor([0.2, 0.6]))
        module.central[0].fill_(0.4)
    gone = [MAPS[0], MAPS[1], *[torch.full_like(x, float("nan")) for x in MAPS[2:]]]
    found = module(*gone, present=torch.tensor([[True, True, False, False]] * 3))
    first = module.layers[0](0.5 * MAPS[0] * (0.75 / 0.5))
    wanted = module.layers[1]((0.4 * first + 0.2 * MAPS[1]) * (1.2 / 0.6)).mean((2, 3))
    torch.testing.assert_close(found, wanted)


def test_rescaling_never_divides_by_next_to_nothing():
    present = torch.tensor([[True, True], [True, False], [False, True], [False, False]])
    found = rescaling(torch.tensor([0.5, 0.0]), torch.zeros(()), present)
    torch.testing.assert_close(found, torch.tensor([1.0, 1.0, 1.0, 1.0]))
    found = rescaling(torch.tensor([0.5, 0.25]), torch.tensor(0.25), present)
    torch.testing.assert_close(found, torch.tensor([1.0, 4 / 3, 2.0, 4.0]))
