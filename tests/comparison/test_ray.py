"""The jobs of a comparison as tasks of a Ray cluster of two nodes, which are processes of this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import util
from pathlib import Path

import pytest
from small_study import without_plots as without_plots
from small_study import write_study

from fusionkit.cli.parser import main
from fusionkit.comparison import tables
from fusionkit.comparison.jobs.launchers import check_launcher
from fusionkit.errors import UserError
from fusionkit.interface import compare


def arguments(folder: Path, output: str, *more: str) -> list[str]:
    return ["compare", str(folder / "graph.yaml"), str(folder / "data.yaml"), "--node", "both", "--with", "fusion.sum",
            "--folds", "2", "--epochs", "1", "--no-baselines", *more, "-o", str(folder / output)]


def weights(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("model.safetensors"))}


def test_a_launcher_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusionkit.comparison.jobs.launchers.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"fusionkit\[ray\]"):
        check_launcher("ray", [])
    with pytest.raises(UserError, match="--launcher cannot be 'dask'"):
        check_launcher("dask", [])
    with pytest.raises(UserError, match="have no --launcher-option"):
        check_launcher("processes", ["num_cpus=2"])


@pytest.fixture
def two_nodes() -> Iterator[None]:
    """A cluster of two nodes with one processor each, on loopback."""
    if util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'fusionkit[ray]'")
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Ray, whose processes and files outlive it
def test_two_nodes_give_the_weights_of_one_process(two_nodes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                   ) -> None:
    monkeypatch.setattr(compare, "_write", tables.write_tables)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_study(tmp_path)
    assert main(arguments(tmp_path, "one")) == 0
    assert main(arguments(tmp_path, "two", "--jobs", "2", "--launcher", "ray")) == 0
    assert weights(tmp_path / "one") == weights(tmp_path / "two") and len(weights(tmp_path / "one")) == 4
    logs = [[json.loads(line) for line in path.read_text().splitlines()]
            for path in sorted((tmp_path / "two" / "jobs" / "ray").glob("*.jsonl"))]
    nodes = {log[0]["line"] for log in logs}
    assert len(nodes) == 2 and all(line.startswith("runs on node ") for line in nodes)
    done = sorted(message["ended"] for log in logs for message in log if "ended" in message)
    assert len(done) == len(set(done)) == 2 * 2 + 2 and all(any("ended" in message for message in log) for log in logs)
    files = [{str(path.relative_to(tmp_path / name)) for path in (tmp_path / name / "runs").rglob("*")}
             for name in ("one", "two")]
    assert files[0] == files[1]
