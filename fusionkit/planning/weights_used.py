"""The pretrained weights that a network starts from: their files, recipes and licences."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionkit.components.config import Config
from fusionkit.components.inner import inside as parts_inside
from fusionkit.components.pretrained import PretrainedFacts
from fusionkit.planning.plan import Plan, PlannedNode
from fusionkit.planning.weights_folders import folders_in
from fusionkit.pretrained.folder import WeightsFolder
from fusionkit.pretrained.recipe import Recipe, digest_of, recipe_of
from fusionkit.pretrained.shards import WeightFiles, files_at
from fusionkit.syntax.tree import TYPED, find

UNKNOWN = "licence not recorded"


@dataclass(frozen=True)
class UsedWeights:
    """Weights that a node starts from: where they are, their recipe if there is one, and what the component tells.

    `use` and `config` are the component and its options; `first`: it reads what the node reads, so that it sees the
    input itself if the node does.
    """

    node: PlannedNode
    name: str
    files: WeightFiles | None
    recipe: Recipe | None
    told: PretrainedFacts | None
    use: str
    config: Config
    first: bool

    @property
    def licence(self) -> str:
        """The licence in words, of the recipe first."""
        of_recipe = self.recipe.content.licence if self.recipe else None
        return str(of_recipe) if of_recipe else (self.told.licence if self.told else "") or UNKNOWN

    @property
    def commercial(self) -> bool | None:
        """Whether commercial use is allowed, None if that is not recorded."""
        of_recipe = self.recipe.content.licence if self.recipe else None
        return of_recipe.commercial if of_recipe else None

    @property
    def source(self) -> str:
        """Where they were published, '' if that is not recorded."""
        about = self.recipe.content.weights if self.recipe else None
        if about and about.source:
            return about.source + (f" at {about.revision[:12]}" if about.revision else "")
        return self.told.source if self.told else ""

    @property
    def line(self) -> str:
        """One line for people: node, licence, file and source."""
        where = f" from {self.source}" if self.source and self.source != self.name else ""
        more = "; what is trained from them inherits it" if self.commercial is False else ""
        return f"weights of node {self.node.name} ({self.name}{where}): {self.licence}{more}"

    def as_json(self) -> dict[str, Any]:
        """As `run.json` and `--json` have it."""
        content = self.recipe.content if self.recipe else None
        return {"node": self.node.name, "weights": self.name, "source": self.source or None,
                "sha256": digest_of(self.files) if self.files else None, "licence": self.licence,
                "commercial": self.commercial, "gated": content.licence.gated if content and content.licence else None,
                "citation": content.citation if content else []}


def weights_used(plan: Plan) -> list[UsedWeights]:
    """The pretrained weights of every node, in the order of the plan.

    Raises: GraphError if a recipe or an index of shards is wrong.
    """
    return [used for node in plan.nodes for used in _of_node(plan, node)]


def _of_node(plan: Plan, node: PlannedNode) -> Iterator[UsedWeights]:
    written = node.node.weights
    if written is not None:
        name = written.partition("#")[0]
        typed = find(plan.graph.tree, ("nodes", node.name, "weights")).file.startswith(TYPED)
        file = Path(name) if typed else Path(plan.graph.file).parent / name
        call = node.lanes[0].calls[0]
        yield UsedWeights(node, written, files_at(file, node.node.span), recipe_of(file),
                          _told(call.component, call.config), call.component.id, call.config, True)
        return
    for lane in node.lanes[:1]:  # the others have the same options
        for place, call in enumerate(lane.calls):
            pairs: list[tuple[Any, Config]] = [(call.component, call.config)]
            pairs += [(part.component, part.config) for part in parts_inside(call.config) if part.config is not None]
            for component, config in pairs:
                told = _told(component, config)
                folders = [value for name in type(config).model_fields
                           if isinstance(value := getattr(config, name), WeightsFolder)]
                for folder in folders:
                    yield UsedWeights(node, folder.name, folder.named_weights(), folder.recipe, told, component.id,
                                      config, place == 0)
                if told is not None and told.source and not folders:
                    yield UsedWeights(node, told.source, None, None, told, component.id, config, place == 0)


def _told(component: Any, config: Config) -> PretrainedFacts | None:
    hook = getattr(component, "pretrained", None)
    facts: PretrainedFacts | None = hook(config) if hook else None
    return facts


def copy_descriptions(plan: Plan, folder: Path) -> None:
    """Copy what describes pretrained networks into the folder of a run, so that it needs no other folder."""
    for node in plan.nodes:
        for lane in node.lanes:
            for call in lane.calls:
                for each in folders_in(call.config):
                    for name, file in each.descriptions():
                        target = folder / each.stored / name
                        target.parent.mkdir(parents=True, exist_ok=True)
                        if not target.exists() or not target.samefile(file):
                            shutil.copyfile(file, target)
