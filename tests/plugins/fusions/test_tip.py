"""`fusion.tip` and `fusion.tip_pretrain`: recorded numbers, what is missing, what each loss is of."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from fusionkit_plugins.encoders.tip_cells import TipCells, TipCellsConfig
from fusionkit_plugins.fusions import tip, tip_pretrain
from recorded import GOLDEN

from fusionkit.components.config import ComponentError
from fusionkit.conversion.verification.check import check
from fusionkit.shapes.layouts import MaskedTokens, Tokens, Vector

FOLDER = GOLDEN / "methods" / "tip"
SMALL = {"layers": 2, "heads": 2}
TABLE, CHANGED, IMAGE = torch.randn(5, 4, 8), torch.randn(5, 4, 8), torch.randn(5, 6, 2, 3)
ROW = torch.tensor([[0.5, -1.0, 2], [0.1, 0.2, 3], [1.5, 0.0, 1], [0.7, 0.6, 3], [-0.5, -0.6, 2]])
HALF = torch.tensor([[True, True], [True, False], [False, True], [True, True], [False, False]])
ROWS = [("fusion.tip", SMALL, [(4, 8), (5, 2, 3, 7)]),
        ("fusion.tip", {**SMALL, "output": "tokens", "expansion": 3}, [(4, 8), (11, 5)]),
        ("fusion.tip_pretrain", {**SMALL, "projection": 7}, [(4, 8), (5, 2, 3), (4, 8), (3, 6), (3, 6)]),
        ("fusion.tip_pretrain", {**SMALL, "weight": 1.0}, [(3, 8), (7, 5), (3, 8), (2, 2), (2, 2)])]


def cells(known=None):
    return TipCells(TipCellsConfig(categories=[3]), [Vector((3,))])(ROW, known)


def hidden(*places, rows=5):
    known = torch.ones(rows, 3, dtype=torch.bool)
    known[:, places] = False
    return cells(known)


def shaken(module):
    """With weights at which every part matters: they begin near zero."""
    for weight in module.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return module


def pretraining(build, **options):
    given = [TABLE, IMAGE, CHANGED, cells(), hidden(1, 2)]
    return shaken(build(tip_pretrain.component, *given, **SMALL, weight=1.0, **options)), given


def test_the_transformer_is_that_of_the_release():
    found = check("fusion.tip", FOLDER / "multimodal.npz")
    assert {row.entry for row in found.rows if not row.note} == {
        "out_tokens", "tap_block0", "grad_input0", "grad_input1"}
    assert found.ok, [row for row in found.rows if not row.ok]


@pytest.mark.parametrize("name", ["itm_negatives", "reconstruction"])
def test_partners_and_reconstruction_are_those_of_the_release(name):
    found = check("fusion.tip_pretrain", FOLDER / f"{name}.npz")
    assert found.ok and not [row for row in found.rows if row.note], found.rows


def test_the_count_is_that_of_the_release(build, count):
    given = torch.randn(2, 4, 16), torch.randn(2, 6, 2, 3)
    assert count(build(tip.component, *given, layers=1)) == 4496


def test_without_an_image_the_table_is_refined_alone(build):
    module = shaken(build(tip.component, TABLE, IMAGE, **SMALL, output="tokens"))
    filled = TABLE.where(HALF[:, :1, None], torch.nan), IMAGE.where(HALF[:, 1:, None, None], torch.nan)
    found = module(*filled, present=HALF)
    torch.testing.assert_close(found[[0, 3]], module(TABLE[[0, 3]], IMAGE[[0, 3]]))
    x = TABLE[1:2]
    for block in module.blocks:
        normed = block.norm(x)
        x = x + block.attention(normed, normed)
        x = x + block.feed_forward(x)
    torch.testing.assert_close(found[1:2], module.norm(x))
    assert not found[4].any() and found[2].isfinite().all()
    other = module(TABLE, IMAGE.flip(1), present=HALF)
    assert (found[2] - other[2]).abs().max() > 1e-3, "without the table its zeros still ask the image"


def test_the_vector_is_the_first_token_and_tokens_stand_for_a_map(build):
    maps = shaken(build(tip.component, TABLE, IMAGE, **SMALL, output="tokens"))
    tokens = build(tip.component, TABLE, IMAGE.flatten(2).transpose(1, 2), **SMALL)
    tokens.load_state_dict(maps.state_dict())
    torch.testing.assert_close(tokens(TABLE, IMAGE.flatten(2).transpose(1, 2)), maps(TABLE, IMAGE)[:, 0])


def test_padding_of_a_bag_is_not_attended_to():
    module = tip.Tip(tip.TipFusionConfig(**SMALL), [Tokens((4, 8)), MaskedTokens((9, 6), ("bag",))]).eval()
    bag, valid = torch.randn(2, 5, 6), torch.tensor([[True] * 3 + [False] * 2] * 2)
    found = module(TABLE[:2], bag.where(valid.unsqueeze(2), 1e6), valid=[None, valid])
    torch.testing.assert_close(found, module(TABLE[:2], bag[:, :3], valid=[None, valid[:, :3]]))


def test_every_weight_of_the_pretraining_gets_a_gradient(build):
    module, given = pretraining(build)
    _, *losses = module.train()(*given)
    sum(losses).backward()
    assert not [name for name, weight in module.named_parameters() if weight.grad is None or not weight.grad.any()]


def test_the_contrast_and_the_pairs_are_those_of_the_formulas(build):
    module, given = pretraining(build)
    tokens, contrast, matching, _ = module(*given)
    table, image = (F.normalize(x, dim=1) for x in (
        module.near_table(CHANGED[:, 0]), module.near_image(IMAGE.flatten(2).mean(2))))
    scores, place = image @ table.T / 0.1, torch.arange(5)
    torch.testing.assert_close(contrast, (F.cross_entropy(scores, place) + F.cross_entropy(scores.T, place)) / 2)
    apart = scores.where(~torch.eye(5, dtype=torch.bool), -torch.inf)
    far = [module.encoder(TABLE[apart.argmax(1)], IMAGE), module.encoder(TABLE, IMAGE[apart.argmax(0)])]
    heads = module.matches(torch.cat([tokens[:, 0], *(x[:, 0] for x in far)]))
    torch.testing.assert_close(matching, F.cross_entropy(heads, torch.tensor([1] * 5 + [0] * 10)))


def test_wrong_partners_are_drawn_as_often_as_their_probability_says(build):
    module, _ = pretraining(build)
    share, _ = module.partners(torch.randn(4, 7), torch.randn(4, 7))
    drawn = torch.stack([module.train()._drawn(share) for _ in range(4000)])
    found = torch.stack([(drawn == place).float().mean(0) for place in range(4)], 1)
    torch.testing.assert_close(found, share, atol=0.035, rtol=0)
    assert torch.equal(module.eval()._drawn(share), share.argmax(1))


def test_cases_that_lack_one_input_are_in_no_contrast_and_no_pair(build):
    module, given = pretraining(build)
    there = HALF[:, [0, 1, 0, 0, 0]]
    gone = [x.where(there[:, place].reshape(-1, *[1] * (x.dim() - 1)), torch.nan) for place, x in enumerate(given)]
    both = HALF.all(1)
    _, contrast, matching, rebuilt = module(*gone, present=there)
    _, wanted_contrast, wanted_matching, _ = module(*(x[both] for x in given))
    torch.testing.assert_close(contrast, wanted_contrast)
    torch.testing.assert_close(matching, wanted_matching)
    assert rebuilt.isfinite() and rebuilt > 0
    _, contrast, matching, _ = module(*(x[:1] for x in given))
    assert contrast == 0 == matching


def test_without_a_hidden_cell_nothing_is_rebuilt(build):
    module, given = pretraining(build)
    losses = {places: module(*given[:4], hidden(*places))[3] for places in ((), (0,), (2,), (0, 2))}
    assert losses[()] == 0
    torch.testing.assert_close(losses[0,] + losses[2,], losses[0, 2])
    known = torch.ones(5, 3, dtype=torch.bool)
    known[:, 0] = False
    assert module(*given[:3], cells(known), hidden(0))[3] == 0, "a cell that was blank before is not known"


def test_categories_are_told_apart_among_those_of_all_columns():
    module = TipCells(TipCellsConfig(categories=[2, 3]), [Vector((2,))])
    row, none = module(torch.tensor([[1.0, 3.0]])), module(torch.zeros(1, 2))
    scores = torch.randn(1, 2, 5)
    found = tip_pretrain.reconstruction(torch.zeros(1, 2), scores, row, none)
    torch.testing.assert_close(found, F.cross_entropy(scores[0], torch.tensor([0, 4])) / 2, atol=1e-6, rtol=0)


def test_cells_of_another_table_are_refused(build):
    with pytest.raises(ComponentError, match="'masked' has 4 tokens, and 'row' has 2 columns"):
        build(tip_pretrain.component, TABLE, IMAGE, CHANGED, cells()[:, :2], cells()[:, :2], **SMALL)
