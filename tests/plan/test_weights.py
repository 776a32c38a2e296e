"""The planner's numbers of parameters and sizes of weights, each derived by hand."""

import json

import pytest
from planned_models import preset

from rollout.errors import UserError
from rollout.plan.memory.fit import GIB
from rollout.plan.memory.shape import read_shape
from rollout.plan.memory.weights import count_weights

# Parameters, as on the models' pages; Qwen3-4B by hand:
#   embedding (also the head)                151,936 x 2,560                          388,956,160
#   attention, each of 36 layers: queries    2,560 x 32 x 128                          10,485,760
#     keys and values                        2,560 x 2 x 8 x 128                        5,242,880
#     output                                 32 x 128 x 2,560                          10,485,760
#     norms of queries and keys              2 x 128                                          256
#   feed forward                             3 x 2,560 x 9,728                         74,711,040
#   two norms                                2 x 2,560                                      5,120
#   final norm                                                                              2,560
#   36 x 100,930,816 + 388,956,160 + 2,560 = 4,022,468,096
PARAMETERS = {
    "qwen3_0_6b": 596_049_920,
    "qwen3_1_7b": 1_720_574_976,
    "qwen3_4b": 4_022_468_096,
    "qwen3_8b": 8_190_735_360,
    "qwen3_14b": 14_768_307_200,
    "qwen3_32b": 32_762_123_264,
    "qwen3_30b_a3b": 30_532_122_624,
    "llama3_1_8b": 8_030_261_248,
    "smollm2_135m": 134_515_008,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_counted_to_the_last_one(name):
    weights = count_weights(read_shape(preset(name)), "bfloat16", None, None)
    assert weights.num_parameters == PARAMETERS[name]


# Quantized: 8B's linear layers hold 36 x 192,937,984 parameters, less norms 8,448 a layer.
QUANTIZED = [
    ({"quant_method": "fp8"}, 1.0),
    ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 1 + 4 / 16384),
    ({"quant_method": "awq", "bits": 4, "group_size": 128}, (4 + 20 / 128) / 8),
    ({"quant_method": "gptq", "bits": 8, "group_size": 32}, (8 + 24 / 32) / 8),
    (
        {
            "quant_method": "compressed-tensors",
            "config_groups": {"a": {"weights": {"num_bits": 4, "group_size": 128}}},
        },
        (4 + 16 / 128) / 8,
    ),
]


@pytest.mark.parametrize(("method", "bytes_each"), QUANTIZED)
def test_a_quantized_checkpoint_packs_its_linear_layers(method, bytes_each):
    shape = read_shape(preset("qwen3_8b") | {"quantization_config": method})
    weights = count_weights(shape, "bfloat16", None, None)
    linear = 36 * (4096 * 128 * (32 + 16 + 32) + 3 * 4096 * 12288)
    rest = weights.num_parameters - linear
    assert weights.device_bytes() == pytest.approx(linear * bytes_each + rest * 2, rel=1e-6)


def test_gpt_oss_packs_its_experts_alone_and_pads_them():
    """gpt-oss-120b: users' logs show 64.4 and 66.0 GiB (vllm#33155, vllm#23278).

    Experts: 36 layers x 128 x 3 x 2,880 x 3,072 (padded from 2,880) x 4.25 bits = 60.5 GiB;
    attention, embedding and output head 4.0 GiB in bf16.
    """
    shape = read_shape(
        {
            "model_type": "gpt_oss", "hidden_size": 2880, "intermediate_size": 2880,
            "num_hidden_layers": 36, "num_attention_heads": 64, "num_key_value_heads": 8,
            "head_dim": 64, "num_local_experts": 128, "num_experts_per_tok": 4,
            "vocab_size": 201_088, "attention_bias": True, "sliding_window": 128,
            "max_position_embeddings": 131_072, "quantization_config": {"quant_method": "mxfp4"},
        }
    )  # fmt: skip
    assert count_weights(shape, "bfloat16", None, None).device_bytes() / GIB == pytest.approx(
        64.5, abs=0.2
    )
    assert sum(layers.num_layers for layers in shape.layers) == 36


NONSENSE = [
    {"num_hidden_layers": -3},
    {"num_key_value_heads": 0},
    {"quantization_config": "awq"},
    {"quantization_config": {"quant_method": "awq", "bits": "x"}},
]


@pytest.mark.parametrize("fields", NONSENSE)
def test_an_impossible_config_is_refused(fields):
    with pytest.raises(UserError, match=r"its config\.json has"):
        read_shape(preset("qwen3_4b") | fields)


def test_quantization_while_loading_is_counted():
    shape = read_shape(preset("qwen3_8b"))
    plain, packed = (count_weights(shape, "bfloat16", q, None) for q in (None, "fp8"))
    assert packed.device_bytes() < 0.6 * plain.device_bytes()


def test_headers_are_read_if_the_files_are_on_this_machine(tmp_path):
    """For an unknown family, one device holds what the files hold."""
    header = {"a.weight": {"dtype": "F32", "shape": [10], "data_offsets": [0, 40]}}
    raw = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(40))
    shape = read_shape(preset("qwen3_4b") | {"model_type": "new_thing"})
    weights = count_weights(shape, "bfloat16", None, tmp_path)
    assert weights.device_bytes() == 20  # saved in 32 bits, loaded in 16
    assert "new_thing" in shape.estimates[0]
