from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import Cohort, network
from small_study import without_plots as without_plots
from small_study import write_study
from torch import nn

from fusionkit.errors import RunError, UserError
from fusionkit.network.build import build_plan
from fusionkit.runs.setup import set_up
from fusionkit.training.batch_order import (
    Batches,
    batch_sizes,
    by_length,
    make_loader,
    read_batches,
    seed_of,
    smallest_share,
)
from fusionkit.training.class_balance import training_batches
from fusionkit.training.settings import TrainingSettings


def shuffled(count):
    return lambda generator: generator.permutation(count)


def test_the_same_epoch_has_the_same_batches_and_another_others():
    batches, again = Batches(shuffled(23), 23, 5, seed=3), Batches(shuffled(23), 23, 5, seed=3)
    first = list(batches)
    assert first == list(batches) == list(again)
    assert sorted(chain(*first)) == list(range(23))
    again.epoch = 1
    assert list(again) != first and list(Batches(shuffled(23), 23, 5, seed=4)) != first


@given(st.integers(1, 300), st.integers(1, 9), st.integers(0, 99))
def test_batches_by_length_have_every_case_once_and_less_padding(count, size, seed):
    lengths = np.random.default_rng(seed).integers(0, 400, count)
    plain, sorted_ones = (Batches(shuffled(count), count, size, seed=seed) for _ in range(2))
    sorted_ones.order = by_length(sorted_ones.order, lengths, sorted_ones.sizes)
    found = list(sorted_ones)
    assert sorted(chain(*found)) == list(range(count))
    assert list(map(len, found)) == list(map(len, plain))

    def padded(batches):
        return sum(len(batch) * lengths[batch].max() for batch in batches)

    assert padded(found) <= padded(list(plain))
    sorted_ones.epoch = 1
    other = list(sorted_ones)
    sorted_ones.epoch = 0
    assert list(sorted_ones) == found
    # Two sorted batches have two orders, so that epochs may agree by chance; twelve have half a billion.
    assert other != found or count // size < 12


def test_complete_cases_come_first_in_the_first_epochs():
    late = np.arange(23) % 3 == 0
    batches, plain = (Batches(shuffled(23), 23, 5, seed=3) for _ in range(2))
    batches.late, batches.sorted_epochs = late, 2
    seen = set()
    for epoch in range(3):
        batches.epoch = plain.epoch = epoch
        places, usual = (list(chain(*each)) for each in (batches, plain))
        assert sorted(places) == list(range(23))
        if epoch < 2:
            assert list(late[places]) == [False] * 15 + [True] * 8
            assert [place for place in usual if late[place]] == places[15:], "each part is in its random order"
        else:
            assert places == usual
        seen.add(tuple(places))
    assert len(seen) == 3


def test_complete_first_is_refused_where_nothing_differs(tmp_path):
    graph, data = write_study(tmp_path)
    setup = set_up(graph, data)
    rows = setup.cohort.rows
    settings = TrainingSettings.model_validate({"complete_first": 2, "batch_size": 7})
    cases = setup.cohort.dataset(rows, setup.cohort.fit(rows), None)
    there = np.array(cases.present("scan"))
    batches = training_batches(build_plan(setup.plan, 0), cases, settings, (0, 1))
    first = list(chain(*batches))
    assert 0 < there.sum() < len(there) and list(there[first]) == sorted(there, reverse=True)
    for kept, says in ((there, "every training case has all of lab, scan"), (~there, "no training case has all of")):
        some = cases.some(np.flatnonzero(kept).tolist())
        with pytest.raises(UserError, match=rf"nothing-to-sort[\s\S]*{says}"):
            training_batches(build_plan(setup.plan, 0), some, settings, (0, 1))


def test_sorted_batches_come_in_random_order():
    lengths = np.arange(80)
    batches = Batches(shuffled(80), 80, 4, seed=1)
    batches.order = by_length(batches.order, lengths, batches.sizes)
    first = [min(batch) for batch in batches]
    assert first != sorted(first) and all(max(batch) - min(batch) == 3 for batch in batches)


def test_an_epoch_goes_on_in_the_middle():
    batches = Batches(shuffled(23), 23, 5)
    whole = list(batches)
    batches.start = 3
    assert list(batches) == whole[3:] and len(batches) == 2


@given(st.integers(1, 60), st.integers(1, 13), st.integers(1, 3))
def test_shares_make_up_the_batches_of_one_process(count, size, processes):
    if min(count, size) < processes:
        with pytest.raises(UserError, match="batch-too-small"):
            Batches(shuffled(count), count, size, share=(0, processes))
        return
    parts = [list(Batches(shuffled(count), count, size, share=(rank, processes))) for rank in range(processes)]
    joined = [list(chain(*shares)) for shares in zip(*parts, strict=True)]
    assert sorted(chain(*joined)) == list(range(count))
    assert all(share for shares in parts for share in shares)
    if count % size == 0 or count % size >= processes:
        assert joined == list(Batches(shuffled(count), count, size))


@given(st.integers(1, 200), st.integers(1, 33), st.integers(1, 8))
def test_no_batch_is_too_small_and_no_case_is_left_out(count, size, smallest):
    if min(count, size) < smallest:
        with pytest.raises(UserError, match="batch-too-small"):
            batch_sizes(count, size, smallest)
        return
    sizes = batch_sizes(count, size, smallest)
    assert sum(sizes) == count and min(sizes) >= smallest and max(sizes) < size + smallest


def test_a_last_case_alone_joins_the_batch_before():
    assert batch_sizes(9, 4) == [4, 4, 1]
    assert batch_sizes(9, 4, 2) == [4, 3, 2]
    assert batch_sizes(5, 2, 2) == [2, 3]
    assert batch_sizes(8, 4, 2) == [4, 4]


def test_only_a_batch_norm_that_learns_needs_two_cases():
    batch = {"with": {"widths": [5, 7], "norm": "batch"}}
    assert smallest_share(network()) == 1
    assert smallest_share(network(eyes=batch)) == 2
    assert smallest_share(network(eyes={**batch, "freeze": True})) == 1
    assert smallest_share(nn.InstanceNorm1d(3).train()) == 1


def test_seeds_of_places_differ():
    seeds = {seed_of(seed, epoch, step, rank) for seed in range(3) for epoch in range(5) for step in range(7)
             for rank in range(2)}
    assert len(seeds) == 210 and all(0 <= seed < 1 << 63 for seed in seeds)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 on forking with threads
@pytest.mark.parametrize("workers", [0, 1])
def test_a_fault_in_a_case_reads_the_same_from_a_worker(workers):
    class Broken(Cohort):
        def __getitem__(self, index):
            raise RunError("case 'x', input 'scan', 'x.png': it is cut off; the file could be read before")

    loader = make_loader(Broken(3), Batches(lambda _: np.arange(3), 3, 2), workers, pin=False)
    with pytest.raises(RunError) as caught:
        list(read_batches(loader))
    assert str(caught.value) == "case 'x', input 'scan', 'x.png': it is cut off; the file could be read before"
