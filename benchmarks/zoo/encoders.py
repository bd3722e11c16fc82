"""Transformer encoders of the `transformers` package with random weights: nothing is fetched."""

from __future__ import annotations

from torch import Tensor, nn


class Text(nn.Module):
    """A text encoder with plain tensors in and out: ids and mask [N, tokens] to hidden states."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the last hidden states [N, tokens, width]."""
        hidden: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return hidden


class Image(nn.Module):
    """An image encoder with plain tensors in and out: [N, 3, 224, 224] to [N, 1000]."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the class scores."""
        scores: Tensor = self.model(pixel_values=pixels).logits
        return scores


def bert(layers: int, width: int, heads: int, inner: int) -> nn.Module:
    """BERT encoder without pooler (Devlin et al. 2018); MiniLM is one of these, smaller."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        num_hidden_layers=layers, hidden_size=width, num_attention_heads=heads, intermediate_size=inner
    )
    config._attn_implementation = "eager"
    return Text(BertModel(config, add_pooling_layer=False))


def distilbert() -> nn.Module:
    """DistilBERT encoder (Sanh et al. 2019): BERT of six layers without segments."""
    from transformers import DistilBertConfig, DistilBertModel

    config = DistilBertConfig()
    config._attn_implementation = "eager"
    return Text(DistilBertModel(config))


def vit_b16() -> nn.Module:
    """Vision transformer, base size, patches of 16 pixels (Dosovitskiy et al. 2020)."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(num_labels=1000)
    config._attn_implementation = "eager"
    return Image(ViTForImageClassification(config))
