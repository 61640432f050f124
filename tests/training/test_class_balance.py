import numpy as np
import pytest
import torch
from small_runs import Cohort, network

from fusionkit.training.class_balance import Drawing, Targets, balanced, set_class_frequencies
from fusionkit.training.loop import fit
from fusionkit.training.settings import TrainingSettings

BALANCED = {"with": {"classes": ["a", "b", "c"], "class_weights": "balanced"}}


class Uneven(Cohort):
    """Seventeen cases of class a, five of b, one of c; two of a without a class."""

    def __init__(self):
        super().__init__(23, gaps=False)
        self.kinds = torch.tensor([0] * 17 + [1] * 5 + [2])
        self.has_kind[:2] = False


def test_an_epoch_draws_equally_from_every_class():
    drawing = balanced(network(), Targets(Uneven(), ["kind"]))
    order = drawing.order(np.random.default_rng(0))
    assert len(order) == 23
    kinds = Uneven().kinds[torch.as_tensor(order)]
    unlabelled = [position for position in order if position < 2]
    assert sorted(unlabelled) == [0, 1]
    assert kinds.bincount().tolist() == [9, 7, 7]  # two of class a are those without a target
    seen = np.bincount(order, minlength=23)
    assert seen[2:17].max() == 1 and seen[17:22].tolist().count(1) >= 3 and seen[22] == 7


def test_the_share_of_a_remainder_changes_from_epoch_to_epoch():
    drawing = Drawing((np.arange(5), np.array([5])), np.array([], dtype=np.int64))
    orders = [drawing.order(np.random.default_rng([0, epoch])) for epoch in range(8)]
    assert {int((order == 5).sum()) for order in orders} == {3}
    drawing = Drawing((np.arange(4), np.array([4])), np.array([], dtype=np.int64))
    assert {int((drawing.order(np.random.default_rng([0, e])) == 4).sum()) for e in range(9)} == {2, 3}


def test_weights_of_a_drawing_are_its_mean():
    drawing = balanced(network(), Targets(Uneven(), ["kind"]))
    drawn = sum(np.bincount(drawing.order(np.random.default_rng(e)), minlength=23) for e in range(600)) / 600
    np.testing.assert_allclose(drawing.weights()[16:], drawn[16:], atol=0.12)
    assert drawing.weights().sum() == pytest.approx(23)


def test_heads_are_told_what_training_sees():
    model, targets = network(kind=BALANCED), Targets(Uneven(), ["kind", "size"])
    set_class_frequencies(model, targets, np.ones(23))
    torch.testing.assert_close(model.head("kind").weights, torch.tensor([21 / 45, 21 / 15, 21 / 3]))
    set_class_frequencies(model, targets, balanced(model, targets).weights())
    torch.testing.assert_close(model.head("kind").weights, torch.ones(3))  # not corrected twice


@pytest.mark.parametrize("balance", ["none", "classes"])
def test_a_run_tells_heads_once_and_draws_as_asked(balance, tmp_path):
    cohort = Uneven()
    drawn = []

    class Watched(Uneven):
        def __getitem__(self, index):
            drawn.append(index)
            return super().__getitem__(index)

    model = network(kind=BALANCED)
    fit(model, Watched(), None, TrainingSettings(epochs=1, batch_size=5, balance=balance, device="cpu"), tmp_path)
    epoch = drawn[23:]  # the first reading counts the classes
    kinds = cohort.kinds[torch.as_tensor(epoch)].bincount().tolist()
    assert kinds == ([17, 5, 1] if balance == "none" else [9, 7, 7])
    assert model.head("kind").weights.tolist() == pytest.approx(
        [21 / 45, 21 / 15, 21 / 3] if balance == "none" else [1, 1, 1])


@pytest.mark.parametrize("frozen", [False, True])
def test_first_values_are_not_for_a_frozen_head(frozen):
    grades = {"use": "head.ordinal", "with": {"grades": ["a", "b", "c"], "link": "cumulative"}, "freeze": frozen}
    model = network(kind=grades)
    before = [part.detach().clone() for part in model.head("kind").parameters()]
    set_class_frequencies(model, Targets(Uneven(), ["kind", "size"]), np.ones(23))
    same = [torch.equal(*pair) for pair in zip(before, model.head("kind").parameters(), strict=True)]
    assert all(same) == frozen
