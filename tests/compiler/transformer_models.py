"""Architectures of `transformers`, built small from their own config classes with seeded weights.

Each builder gives a module and its inputs by name. The compiler knows none of these names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf

Inputs = dict[str, torch.Tensor]
Made = tuple[torch.nn.Module, Inputs]
VOCABULARY, TOKENS = 200, 16
_WIDTH = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
_TEXT = {**_WIDTH, "vocab_size": VOCABULARY, "max_position_embeddings": 64}
_SEQ2SEQ = {
    "d_model": 64,
    **{f"{side}_layers": 2 for side in ("encoder", "decoder")},
    **{f"{side}_attention_heads": 4 for side in ("encoder", "decoder")},
    **{f"{side}_ffn_dim": 128 for side in ("encoder", "decoder")},
}


def image(size: int = 64) -> Inputs:
    return {"pixel_values": torch.randn(1, 3, size, size)}


def text(*, masked: bool = True) -> Inputs:
    """Ids above those that stand for padding and the like; the last three tokens are padding."""
    ids = torch.randint(5, VOCABULARY, (1, TOKENS))
    mask = torch.ones(1, TOKENS, dtype=torch.int64)
    mask[:, -3:] = 0
    return {"input_ids": ids, "attention_mask": mask} if masked else {"input_ids": ids}


def vit() -> Made:
    return hf.ViTModel(hf.ViTConfig(image_size=64, patch_size=8, **_WIDTH)), image()


def deit() -> Made:
    return hf.DeiTForImageClassification(hf.DeiTConfig(image_size=64, patch_size=8, **_WIDTH)), image()


def dinov2() -> Made:
    sizes = {key: value for key, value in _WIDTH.items() if key != "intermediate_size"}
    return hf.Dinov2Model(hf.Dinov2Config(image_size=56, patch_size=14, **sizes)), image(56)


def beit() -> Made:
    config = hf.BeitConfig(
        image_size=64, patch_size=8, use_relative_position_bias=True, layer_scale_init_value=0.1, **_WIDTH
    )
    return hf.BeitForImageClassification(config), image()


def swin() -> Made:
    config = hf.SwinConfig(
        image_size=64, patch_size=4, embed_dim=24, depths=[2, 2], num_heads=[2, 4], window_size=4
    )
    return hf.SwinForImageClassification(config), image()


def swinv2() -> Made:
    config = hf.Swinv2Config(
        image_size=64, patch_size=4, embed_dim=24, depths=[2, 2], num_heads=[2, 4], window_size=4
    )
    return hf.Swinv2ForImageClassification(config), image()


def convnext() -> Made:
    config = hf.ConvNextConfig(depths=[1, 1, 2, 1], hidden_sizes=[24, 48, 96, 192])
    return hf.ConvNextForImageClassification(config), image()


def convnextv2() -> Made:
    config = hf.ConvNextV2Config(depths=[1, 1, 2, 1], hidden_sizes=[24, 48, 96, 192])
    return hf.ConvNextV2ForImageClassification(config), image()


def resnet() -> Made:
    config = hf.ResNetConfig(
        layer_type="basic", depths=[1, 1, 1, 1], hidden_sizes=[32, 64, 96, 128], embedding_size=32
    )
    return hf.ResNetForImageClassification(config), image()


def regnet() -> Made:
    config = hf.RegNetConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[32, 64, 96, 128], embedding_size=32, groups_width=16
    )
    return hf.RegNetForImageClassification(config), image()


def mobilenet_v2() -> Made:
    return hf.MobileNetV2ForImageClassification(hf.MobileNetV2Config(image_size=64)), image()


def segformer() -> Made:
    config = hf.SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[16, 32, 48, 64],
        num_attention_heads=[1, 2, 3, 4],
        decoder_hidden_size=32,
    )
    return hf.SegformerForSemanticSegmentation(config), image()


def pvt() -> Made:
    config = hf.PvtConfig(
        image_size=64, depths=[1, 1, 1, 1], hidden_sizes=[16, 32, 48, 64], num_attention_heads=[1, 2, 3, 4]
    )
    return hf.PvtForImageClassification(config), image()


def dpt() -> Made:
    config = hf.DPTConfig(
        image_size=64,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[16, 24, 32, 32],
        fusion_hidden_size=32,
        **{**_WIDTH, "num_hidden_layers": 4},
    )
    return hf.DPTForDepthEstimation(config), image()


def yolos() -> Made:
    config = hf.YolosConfig(image_size=[64, 64], patch_size=8, num_detection_tokens=10, **_WIDTH)
    return hf.YolosForObjectDetection(config), image()


def bert() -> Made:
    return hf.BertModel(hf.BertConfig(**_TEXT)), text()


def distilbert() -> Made:
    config = hf.DistilBertConfig(
        vocab_size=VOCABULARY, dim=64, n_layers=2, n_heads=4, hidden_dim=128, max_position_embeddings=64
    )
    return hf.DistilBertForSequenceClassification(config), text()


def roberta() -> Made:
    return hf.RobertaForSequenceClassification(hf.RobertaConfig(**_TEXT)), text()


def albert() -> Made:
    return hf.AlbertModel(hf.AlbertConfig(embedding_size=32, **_TEXT)), text()


def electra() -> Made:
    return hf.ElectraForSequenceClassification(hf.ElectraConfig(embedding_size=32, **_TEXT)), text()


def mpnet() -> Made:
    return hf.MPNetModel(hf.MPNetConfig(**_TEXT)), text()


def deberta_v2() -> Made:
    config = hf.DebertaV2Config(
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        position_buckets=8,
        share_att_key=True,
        norm_rel_ebd="layer_norm",
        **_TEXT,
    )
    return hf.DebertaV2Model(config), text()


def modernbert() -> Made:
    config = hf.ModernBertConfig(
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        cls_token_id=1,
        sep_token_id=2,
        local_attention=8,
        **_TEXT,
    )
    return hf.ModernBertModel(config), text()


def squeezebert() -> Made:
    return hf.SqueezeBertModel(hf.SqueezeBertConfig(embedding_size=64, **_TEXT)), text()


def fnet() -> Made:
    return hf.FNetModel(hf.FNetConfig(**_TEXT)), text(masked=False)


def gpt2() -> Made:
    config = hf.GPT2Config(
        vocab_size=VOCABULARY, n_positions=64, n_embd=64, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2
    )
    config.use_cache = False
    return hf.GPT2LMHeadModel(config), text()


def _decoder(model: type[Any], config: type[Any], **more: Any) -> Made:
    made = config(num_key_value_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2, **_TEXT, **more)
    made.use_cache = False
    return model(made), text(masked=False)


def llama() -> Made:
    return _decoder(hf.LlamaForCausalLM, hf.LlamaConfig)


def qwen2() -> Made:
    return _decoder(hf.Qwen2ForCausalLM, hf.Qwen2Config)


def qwen3() -> Made:
    return _decoder(hf.Qwen3ForCausalLM, hf.Qwen3Config, head_dim=16)


def mistral() -> Made:
    return _decoder(hf.MistralForCausalLM, hf.MistralConfig, sliding_window=8)


def gemma() -> Made:
    return _decoder(hf.GemmaForCausalLM, hf.GemmaConfig, head_dim=16)


def phi() -> Made:
    return _decoder(hf.PhiForCausalLM, hf.PhiConfig)


def gpt_neox() -> Made:
    config = hf.GPTNeoXConfig(**_TEXT)
    config.use_cache = False
    return hf.GPTNeoXForCausalLM(config), text(masked=False)


def opt() -> Made:
    config = hf.OPTConfig(
        vocab_size=VOCABULARY,
        max_position_embeddings=64,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        ffn_dim=128,
        word_embed_proj_dim=64,
    )
    config.use_cache = False
    return hf.OPTForCausalLM(config), text()


def t5_encoder() -> Made:
    config = hf.T5Config(vocab_size=VOCABULARY, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4)
    return hf.T5EncoderModel(config), text()


def bart_encoder() -> Made:
    config = hf.BartConfig(vocab_size=VOCABULARY, max_position_embeddings=64, **_SEQ2SEQ)
    return hf.BartModel(config).get_encoder(), text()


def whisper_encoder() -> Made:
    config = hf.WhisperConfig(
        vocab_size=VOCABULARY, num_mel_bins=16, max_source_positions=50, pad_token_id=0, **_SEQ2SEQ
    )
    return hf.WhisperModel(config).get_encoder(), {"input_features": torch.randn(1, 16, 100)}


def _waves(**more: Any) -> dict[str, Any]:
    return {
        **_WIDTH,
        "conv_dim": (32, 32, 32),
        "conv_stride": (5, 2, 2),
        "conv_kernel": (10, 3, 3),
        "num_feat_extract_layers": 3,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
        "vocab_size": 32,
        **more,
    }


def sound() -> Inputs:
    return {"input_values": torch.randn(1, 1600)}


def wav2vec2() -> Made:
    return hf.Wav2Vec2ForCTC(hf.Wav2Vec2Config(**_waves())), sound()


def hubert() -> Made:
    return hf.HubertModel(hf.HubertConfig(**_waves())), sound()


def wavlm() -> Made:
    return hf.WavLMModel(hf.WavLMConfig(**_waves())), sound()


def ast() -> Made:
    config = hf.ASTConfig(max_length=64, num_mel_bins=32, **_WIDTH)
    return hf.ASTForAudioClassification(config), {"input_values": torch.randn(1, 64, 32)}


def clip_text() -> Made:
    config = hf.CLIPTextConfig(projection_dim=32, bos_token_id=1, eos_token_id=2, pad_token_id=0, **_TEXT)
    return hf.CLIPTextModelWithProjection(config), text()


def clip_vision() -> Made:
    config = hf.CLIPVisionConfig(projection_dim=32, image_size=64, patch_size=8, **_WIDTH)
    return hf.CLIPVisionModelWithProjection(config), image()


def siglip_vision() -> Made:
    return hf.SiglipVisionModel(hf.SiglipVisionConfig(image_size=64, patch_size=8, **_WIDTH)), image()


class Step(torch.nn.Module):
    """One step of a decoder: one new token and the keys and values of all before it; gives theirs with it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Any, position_ids: Any, past: list[Any]) -> Any:
        cache = hf.DynamicCache(list(zip(past[::2], past[1::2], strict=True)))
        found = self.model(
            input_ids=input_ids, position_ids=position_ids, past_key_values=cache, use_cache=True
        )
        layers = [tensor for layer in found.past_key_values.layers for tensor in (layer.keys, layer.values)]
        return {"logits": found.logits, "present": layers}


def _step(model: Any, heads: int, past_tokens: int = 11) -> Made:
    past = [torch.randn(1, heads, past_tokens, 16) for _ in range(4)]
    inputs: dict[str, Any] = {
        "input_ids": torch.randint(5, VOCABULARY, (1, 1)),
        "position_ids": torch.tensor([[past_tokens]]),
        "past": past,
    }
    return Step(model), inputs


def gpt2_step() -> Made:
    return _step(gpt2()[0], heads=4)


def llama_step() -> Made:
    return _step(llama()[0], heads=2)


ARCHITECTURES: dict[str, Callable[[], Made]] = {
    made.__name__: made
    for made in (
        *(vit, deit, dinov2, beit, swin, swinv2, convnext, convnextv2, resnet, regnet, mobilenet_v2),
        *(segformer, pvt, dpt, yolos),
        *(bert, distilbert, roberta, albert, electra, mpnet, deberta_v2, modernbert, squeezebert, fnet),
        *(gpt2, llama, qwen2, qwen3, mistral, gemma, phi, gpt_neox, opt, t5_encoder, bart_encoder),
        *(whisper_encoder, wav2vec2, hubert, wavlm, ast, clip_text, clip_vision, siglip_vision),
        *(gpt2_step, llama_step),
    )
}


def built(name: str) -> Made:
    """Build one with its weights and inputs seeded."""
    torch.manual_seed(0)
    module, inputs = ARCHITECTURES[name]()
    for part in module.modules():
        # The library's weights are so small that deep convolutional nets give zeros.
        if isinstance(part, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(part.weight)
    return module.eval(), inputs
