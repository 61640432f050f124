"""Any image model of the timm library: a pooled vector, one map, or a map from several depths.

Source: Wightman 2019, PyTorch Image Models, doi:10.5281/zenodo.4414861; each model has a paper of its own.
"""
# Axes: B batch, C channels, H W image, w features of the model.

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from fusionkit_plugins.blocks.timm_folder import classes, described, of_trunk, refuse_unknown, with_first_layers
from fusionkit_plugins.blocks.timm_tokens import Pool, adapted, check_pool, pooled_tokens
from pydantic import Field, model_validator
from torch import Tensor, nn

from fusionkit.api import (
    ComponentError,
    Config,
    Encoder,
    PretrainedFacts,
    Probes,
    TensorShape,
    WeightsFolder,
    weights_folder,
)

Pretrained = Annotated[bool, Field(description="Start from the published weights, through timm's own cache.")]
DropPathRate = Annotated[float, Field(ge=0, lt=1, description="timm's drop_path_rate: probability of skipping the "
                                                              "last residual branch, less for earlier ones.")]


class TimmConfig(Config):
    """Options of `encoder.timm`."""

    model: str = Field(examples=["resnet18"], description="Name of the model in timm, with or without the tag of its "
                                                          "weights, such as 'resnet18' or 'resnet18.a1_in1k'; or "
                                                          "local, for the network that 'folder' describes.")
    folder: WeightsFolder | None = weights_folder()
    features: Literal["pooled", "map", "taps"] = Field(
        "pooled", description="pooled: the vector before the classifier; map: the map of the last depth; "
                              "taps: a map from each depth in 'taps', named f1, f2, ...")
    taps: list[int] | None = Field(
        None, min_length=1, description="Depths that 'features: taps' gives, counted from 0, or from the end if "
                                        "negative; all by default. They are returned in order of depth.")
    pool: Pool = Field(
        "model", description="What becomes of the tokens of a transformer. model: what timm does; cls: the class "
                             "token; mean: the mean of the patches; cls_mean: both side by side; tokens: the patches, "
                             "as tokens.")
    prefix: Literal["drop", "keep"] = Field(
        "drop", description="For 'pool: tokens', whether class token and registers stay before the patches.")
    pretrained: Pretrained = False
    normalise: Literal["model", "none"] = Field(
        "model", description="model: expect an image in 0..1 and apply the mean and deviation that the model was "
                             "trained with; none: use the input as it is.")
    drop_rate: float = Field(0.0, ge=0, lt=1, description="timm's drop_rate: dropout before the classifier, "
                                                          "in some models in every block.")
    drop_path_rate: DropPathRate = 0.0

    @property
    def name(self) -> str:
        """What messages call the network: its name, or its folder."""
        return self.model if self.folder is None else self.folder.name

    @model_validator(mode="after")
    def _taps_are_used(self) -> Self:
        if self.taps is not None and self.features != "taps":
            raise ValueError("'taps' belongs to 'features: taps'")
        if self.taps is not None and len(set(self.taps)) < len(self.taps):
            raise ValueError("'taps' names one depth twice")
        return self

    @model_validator(mode="after")
    def _folder_and_pool_go_together(self) -> Self:
        if (self.folder is None) == (self.model == "local"):
            raise ValueError("'model: local' and 'folder' belong together")
        if self.folder is not None and self.pretrained:
            raise ValueError("'folder' has the weights; remove 'pretrained'")
        if self.pool != "model" and self.features != "pooled":
            raise ValueError("'pool' belongs to 'features: pooled'")
        if self.prefix == "keep" and self.pool != "tokens":
            raise ValueError("'prefix' belongs to 'pool: tokens'")
        return self


class Timm(nn.Module):
    """A timm model without its classifier, preceded by the normalisation it was trained with.

    Images with three channels get the model's own mean and deviation. With any other number of channels,
    every channel gets the average of the three, since a CT window or a stain has no red, green or blue. timm adapts the
    first convolution of published weights: summed for one channel, else repeated and rescaled.

    Taps are the outputs of each depth; the map is that of the last depth, with the final norm if the model has one.
    Transformers return their patches as a map. Later layers (the pooling, a final 1x1 expansion as in EfficientNet)
    affect only the pooled vector, and layers deeper than the last tap are removed from the network.

    The state dict has timm's names with the prefix `network.`; `weights:` also takes a file with timm's bare names,
    such as the `model.safetensors` of a model's page, or one of open_clip, whose tower of images (`visual.trunk.`) it
    reads without the projection. With `folder` the network is the one that its config.json
    describes, started from its weights. Learned positions for another size of the image are interpolated.

    `pool` reads the tokens after the final norm, (B, P + h w, C), of which the first P are the class token and the
    registers. Registers are never averaged.

    On the meta device nothing is read. Shapes: (B, C, H, W); gives (B, w), (B, w, h', w'), several maps, or tokens
    (B, n, w). Missing rows are skipped.

    Raises: ComponentError if timm does not know the model, cannot build it for this input, or cannot
    get its weights; GraphError if a file of the folder is missing or wrong.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: TimmConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.features = config.features
        self.pool, self.prefix = config.pool, config.prefix
        self.network = _create(config, inputs[0])
        _check_patches(self.network, config, inputs[0])
        whole = frozenset(self.network.state_dict())
        check_pool(self.network, config.pool, config.name)
        self.depths = _prune(self.network, config)
        about = self.network.pretrained_cfg if config.folder is None else _statistics(config)
        mean, deviation = channel_statistics(about, config.normalise, inputs[0].width)
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).reshape(-1, 1, 1))
        if config.folder is not None:
            config.folder.fill(self, lambda tensors: self.adapt_weights(
                refuse_unknown(of_trunk(tensors), whole, config.folder)))

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The vector, the map, or the maps."""
        image = (image - self.mean) / self.deviation
        if self.features == "pooled":
            return self.network(image) if self.pool == "model" else pooled_tokens(
                self.network, image, self.pool, self.prefix == "keep")
        maps = self.network.forward_intermediates(image, indices=self.depths, norm=self.features == "map",
                                                  stop_early=True, intermediates_only=True)
        return maps[-1] if self.features == "map" else tuple(maps)

    def adapt_weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a file under this module's names; timm's bare names are translated.

        Tensors without a counterpart (the classifier, removed depths) are dropped, and the first
        convolution is adapted to the number of channels.
        """
        if any(name.startswith("network.") for name in tensors):
            return dict(tensors)
        wanted = self.network.state_dict()
        bare = adapted(of_trunk(tensors), wanted, list(_first_convolutions(self.network.pretrained_cfg)),
                       getattr(getattr(self.network, "patch_embed", None), "grid_size", None))
        kept = {f"network.{name}": value for name, value in bare.items() if name in wanted}
        return kept | {"mean": self.mean, "deviation": self.deviation}


def _create(config: TimmConfig, shape: TensorShape) -> Any:
    import timm

    name, arguments = config.model, {}
    if config.folder is not None:
        found = described(config.folder)
        name, arguments = found.architecture, classes(found.arguments)
    check_name(name)
    published = timm.get_pretrained_cfg(name)
    if config.folder is not None:
        arguments["pretrained_cfg"] = with_first_layers(found.about, published)
    pretrained = config.pretrained and torch.get_default_device().type != "meta"
    if config.pretrained and not timm.is_model_pretrained(name):
        raise ComponentError(f"timm has no published weights for {name!r}",
                             fix="remove 'pretrained', or choose a model with weights (timm.list_pretrained())")
    if name.startswith("samvit"):
        # Its authors' norms have this epsilon, timm's have 1e-5; positions are interpolated as it runs.
        arguments["norm_layer"] = partial(nn.LayerNorm, eps=1e-6)
    elif published and published.fixed_input_size and not arguments.get("dynamic_img_size"):
        arguments["img_size"] = shape.spatial
    options = {**arguments, "drop_rate": config.drop_rate or None, "drop_path_rate": config.drop_path_rate or None,
               "num_classes": 0, "in_chans": shape.width}
    try:
        if pretrained:
            check_reached(published)
        return timm.create_model(name, pretrained=pretrained, **options)
    except OSError as error:
        if not pretrained:
            raise
        raise no_weights(name, published, error) from error
    except (AssertionError, TypeError, ValueError, RuntimeError) as error:
        raise ComponentError(f"timm cannot build {name!r} for an image of {_sizes(shape)}",
                             why=f"timm says: {error}",
                             fix="change the size of the image, the options of the node, or the model") from error


def _check_patches(network: Any, config: TimmConfig, shape: TensorShape) -> None:
    """Refuse images that cannot be divided into patches; timm itself notices only when the model runs."""
    embedding = getattr(network, "patch_embed", None)
    if getattr(embedding, "dynamic_img_pad", True):
        return  # it pads, or has no patches of this kind
    pairs = list(zip(shape.spatial, embedding.patch_size, strict=True))
    # Of a size that it was built for, too, its first convolution leaves out the edge.
    if any(size % side for size, side in pairs):
        raise ComponentError(f"{config.name!r} cannot divide an image of {_sizes(shape)} into patches of "
                             f"{' x '.join(str(side) for _, side in pairs)}",
                             fix="resample or crop the image to a multiple of the patch, or choose another model")


def check_name(model: str) -> None:
    """Refuse names that timm does not list; some names would make it read files or URLs."""
    import timm

    architecture = model.partition(".")[0]
    if not timm.is_model(architecture):
        near = get_close_matches(architecture, timm.list_models(), n=3)
        raise ComponentError(f"timm {timm.__version__} has no model {model!r}",
                             fix=f"did you mean {' or '.join(map(repr, near))}?" if near else
                                 "download its files and write 'model: local, folder: FOLDER'" if "/" in model else
                                 "timm.list_models() gives the names")
    if model == architecture:
        return
    tagged = timm.list_models(f"{architecture}.*", pretrained=True)
    if model not in tagged:
        raise ComponentError(f"timm {timm.__version__} has no weights {model!r}",
                             fix=f"choose one of {', '.join(tagged)}" if tagged else f"write {architecture!r}")


def _page(published: Any) -> str:
    page: str = (published.hf_hub_id or "timm/").rstrip("/")
    return page if "/" in page else f"{page}/{published.architecture}.{published.tag}"


def check_reached(published: Any) -> None:
    """Refuse to fetch without network, where the hub's client tries for a minute and prints every failure.

    Raises: OSError if the weights are not at hand and the name of the hub cannot be looked up.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    if constants.HF_HUB_OFFLINE or getproxies() or isinstance(
            try_to_load_from_cache(_page(published), "model.safetensors"), str):
        return
    host = urlsplit(constants.ENDPOINT).hostname
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        raise OSError(f"the name {host} cannot be looked up, as without network") from error


def no_weights(model: str, published: Any, error: OSError) -> ComponentError:
    """The error if published weights cannot be fetched."""
    from huggingface_hub.constants import HF_HUB_CACHE

    page = _page(published)
    return ComponentError(
        f"the published weights of {model!r} are not available",
        why=f"they are not in {HF_HUB_CACHE} and could not be downloaded: {str(error).partition('. ')[0]}",
        fix=f"with network access, run `hf download {page}` and copy the folder models--{page.replace('/', '--')} "
            f"from its cache to the one above; or download model.safetensors of https://huggingface.co/{page}, put "
            "'weights: model.safetensors' on the node, which starts it from that file, and remove 'pretrained'")


def _prune(network: Any, config: TimmConfig) -> list[int] | None:
    """Remove layers that the chosen features do not need, and return the depths to take."""
    if config.features == "pooled":
        return None
    if not hasattr(network, "forward_intermediates"):
        raise ComponentError(f"timm's {config.name!r} gives no maps", fix="use 'features: pooled'")
    as_map = config.features == "map"
    try:
        depths = network.prune_intermediate_layers([-1] if as_map else config.taps, prune_norm=not as_map)
    except (AssertionError, IndexError) as error:
        count = len(network.feature_info)
        raise ComponentError(f"'taps' is {config.taps}, but {config.name!r} has the depths 0 to {count - 1}",
                             fix="choose depths in that range") from error
    return list(depths)


def channel_statistics(published: Mapping[str, Any], normalise: str, channels: int) -> tuple[list[float], list[float]]:
    """Mean and deviation for each channel of the input."""
    if normalise == "none":
        return [0.0] * channels, [1.0] * channels
    mean, deviation = list(published["mean"]), list(published["std"])
    if len(mean) == channels:
        return mean, deviation
    return [sum(mean) / len(mean)] * channels, [sum(deviation) / len(deviation)] * channels


def _first_convolutions(published: dict[str, Any]) -> Iterator[str]:
    names = published.get("first_conv") or ()
    for name in [names] if isinstance(names, str) else names:
        yield f"{name}.weight"


def _statistics(config: TimmConfig) -> Mapping[str, Any]:
    """What the folder of a network tells of its weights, mean and deviation among it."""
    assert config.folder is not None
    about = described(config.folder).about
    if config.normalise == "model" and not (about.get("mean") and about.get("std")):
        raise ComponentError(f"{config.folder.name!r} tells no mean and deviation of the images it was trained with",
                             why="neither its config.json nor a recipe.yaml has 'mean' and 'std'",
                             fix="write them in the recipe, or 'normalise: none' if the data file applies them")
    return about


def facts(config: TimmConfig) -> PretrainedFacts | None:
    """The weights that the options ask for, their licence by timm's list, and the normalisation before them."""
    import timm

    if config.folder is not None:
        found: Mapping[str, Any] = described(config.folder).about
        source = ""
    else:
        listed = timm.get_pretrained_cfg(config.model)
        if listed is None:
            return None
        found = listed.to_dict()
        source = f"timm/{listed.architecture}.{listed.tag}" if config.pretrained else ""
    applied = {name: list(found.get(name) or ()) for name in ("mean", "std")} if config.normalise == "model" else {}
    return PretrainedFacts(source, str(found.get("license") or ""), **applied)


def _sizes(shape: TensorShape) -> str:
    return " x ".join(map(str, shape.sizes))


component = Encoder("timm", TimmConfig, Timm, rule="B _ _ _ -> ?", category="image",
                    paper="doi:10.5281/zenodo.4414861", needs=("timm",), pretrained=facts,
                    probes=Probes(values={"model": ["test_vit"]},
                                  together=[{"model": "test_resnet", "features": "taps", "taps": [1, 2]},
                                            *({"model": "test_vit", "pool": pool} for pool in get_args(Pool)[1:]),
                                            {"model": "test_vit", "pool": "tokens", "prefix": "keep"}]))
