"""BERT of Hugging Face on tokens that are vectors already: a sequence of contextual tokens."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, PositiveInt
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from fusionkit.api import Config, Encoder, TensorShape


class HfBertConfig(Config):
    """Options of `encoder.hf_bert`."""

    width: PositiveInt = Field(48, multiple_of=12, description="Width of the tokens.")
    depth: PositiveInt = Field(2, description="Number of layers.")


class HfBert(nn.Module):
    """Tokens (B, n, c) to tokens (B, n, width)."""

    def __init__(self, config: HfBertConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        tokens, features = inputs[0].sizes
        self.project = nn.Linear(features, config.width)
        self.network = BertModel(BertConfig(
            vocab_size=2, hidden_size=config.width, num_hidden_layers=config.depth, num_attention_heads=12,
            intermediate_size=4 * config.width, max_position_embeddings=tokens), add_pooling_layer=False)
        self.network.embeddings.word_embeddings.requires_grad_(False)

    def forward(self, tokens: Tensor) -> Tensor:
        """The last hidden state."""
        return self.network(inputs_embeds=self.project(tokens)).last_hidden_state


component = Encoder("hf_bert", HfBertConfig, HfBert, rule="tokens: B n _ -> B n {width}", needs=("transformers",),
                    paper="arXiv:1810.04805")
