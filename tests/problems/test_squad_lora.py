from importlib.util import find_spec

import pytest
import torch

from tests.tiny_encoder import write_encoder, write_questions
from tngd_bench.curvature import GGN
from tngd_bench.datasets.splits import take
from tngd_bench.datasets.squad_windows import NOWHERE
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.problems import registry

# looked for, not imported: every worker collects this file, and one runs it
pytestmark = pytest.mark.skipif(find_spec("peft") is None, reason="peft is not installed")
OUTPUTS = 96


@pytest.fixture(scope="module")
def entry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qa")
    questions = write_questions(folder / "questions.json", repeat=5)
    encoder = write_encoder(folder / "encoder")
    return registry.get(
        "squad-lora", {"encoder": str(encoder), "train": str(questions), "test": str(questions)}
    )


@pytest.fixture(scope="module")
def splits(entry):
    return entry.load(16, 4, outputs=OUTPUTS)


def parameters_of(rank):
    return 8 * 2 * 16 * rank + 34


def test_the_rank_sets_the_number_of_trained_parameters(entry):
    for rank in (1, 2, 5):
        widths = entry.widths(parameters_of(rank), OUTPUTS)
        model = entry.model(widths, 0)
        assert widths.parameters == sum(p.numel() for p in model.parameters() if p.requires_grad)
        assert widths.describe() == f"rank {rank}, 48 tokens"
        assert widths.outputs == OUTPUTS


def test_the_paper_s_count_of_trained_parameters():
    widths = registry.get("squad-lora", {"encoder": "distilbert-base-uncased"}).widths(75_000, 768)
    assert (widths.rank, widths.parameters) == (2, 75_266)


@pytest.mark.parametrize(
    ("parameters", "outputs", "message"),
    [
        (37_634, 97, "outputs must be twice the sequence length, an even number <= 1024, not 97"),
        (37_634, 2000, "outputs must be twice the sequence length"),
        (37_634, 10, "outputs must be an integer >= 64, not 10"),
        (50_000, 128, r"no rank comes within 2 %; the nearest have 37634 \(rank 2\), 56066 \(rank 3\)"),
    ],
)
def test_sizes_that_cannot_be_had_are_refused(parameters, outputs, message):
    with pytest.raises(ValueError, match=message):
        registry.get("squad-lora").widths(parameters, outputs)


def test_a_model_is_a_function_of_its_seed_and_leaves_the_global_state(entry):
    widths = entry.widths(parameters_of(2), OUTPUTS)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    one = entry.model(widths, 5)
    assert torch.equal(torch.rand(3), expected)
    again, other = entry.model(widths, 5), entry.model(widths, 6)
    for a, b in zip(one.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    assert any(
        not torch.equal(a, b)
        for a, b in zip(one.parameters(), other.parameters(), strict=True)
        if a.requires_grad
    )
    frozen = [
        (a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True) if not a.requires_grad
    ]
    assert all(torch.equal(a, b) for a, b in frozen)
    assert one.training


def test_padding_does_not_change_the_logits(entry, splits):
    model = entry.model(entry.widths(parameters_of(2), OUTPUTS), 0).eval()
    inputs = take(splits.test_inputs, slice(1))
    tokens = int(inputs["attention_mask"].sum())
    longer = {name: torch.nn.functional.pad(values, (0, 30)) for name, values in inputs.items()}
    longer["input_ids"][0, tokens:] = 40
    assert torch.allclose(model(**inputs)[0, :tokens], model(**longer)[0, :tokens], atol=1e-5)


def test_the_loss_is_the_mean_of_the_two_ends(entry, splits):
    model = entry.model(entry.widths(parameters_of(2), OUTPUTS), 0).eval()
    outputs, targets = model(**take(splits.train_inputs, slice(3))).detach(), splits.train_targets[:3]
    ends = [torch.nn.functional.cross_entropy(outputs[..., end], targets[:, end]) for end in (0, 1)]
    assert float(entry.loss()(outputs, targets)) == pytest.approx(float(sum(ends) / 2), rel=1e-6)


def test_training_windows_hold_their_answer_and_test_windows_are_all(entry, splits):
    assert bool((splits.train_targets != NOWHERE).all())
    assert len(splits.train_targets) == 16
    assert len(set(splits.test_references["question"].tolist())) == 4
    for number in range(4):
        first, last = splits.train_targets[number].tolist()
        offsets = splits.train_references["offsets"][number]
        text = splits.train_references["context"][number][offsets[first, 0] : offsets[last, 1]]
        assert text == splits.train_references["answers"][number][0]


def test_the_checksum_depends_on_what_was_loaded(entry, splits):
    assert entry.load(16, 4, outputs=OUTPUTS).checksum == splits.checksum
    assert entry.load(16, 4, outputs=OUTPUTS + 2).checksum != splits.checksum
    assert entry.load(12, 4, outputs=OUTPUTS).checksum != splits.checksum


def test_first_gradient_of_the_adapters_a_and_null_direction_of_the_head_s_bias(entry, splits):
    model = entry.model(entry.widths(parameters_of(2), OUTPUTS), 0)
    inputs, targets = take(splits.train_inputs, slice(4)), splits.train_targets[:4]
    ggn = GGN(model, entry.loss(), inputs, targets)
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    pieces = dict(zip(names, ggn.parameters.views(ggn.gradient), strict=True))
    for name, piece in pieces.items():
        if "lora_A" in name or name.endswith("qa_outputs.bias"):
            assert float(piece.abs().max()) < 1e-6, name  # B = 0; and logits do not care for a common shift
        elif "lora_B" in name and "key" not in name:
            assert float(piece.abs().max()) > 1e-4, name


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("sgd", {"lr": 0.1}),
        ("adam", {"lr": 0.01}),
        ("kfac", {"damping": 1.0}),
        ("ngd-cg", {"lr": 0.5, "damping": 1.0, "cg_iterations": 10}),
        ("tngd", {"lr": 0.5, "damping": 1.0, "analog_time": 0.4}),
        ("tngd-adam", {"lr": 0.01, "damping": 1.0, "analog_time": 0.4}),
    ],
)
def test_every_optimizer_of_the_study_lowers_the_loss_and_trains_nothing_frozen(
    entry, splits, name, settings
):
    model = entry.model(entry.widths(parameters_of(2), OUTPUTS), 0)
    frozen = {n: p.clone() for n, p in model.named_parameters() if not p.requires_grad}
    generator = torch.Generator().manual_seed(0)
    optimizer = optimizers.get(name).create(model, entry.loss(), settings, generator)
    torch.manual_seed(0)
    inputs, targets = take(splits.train_inputs, slice(8)), splits.train_targets[:8]
    losses = [optimizer.step(inputs, targets) for _ in range(9)]
    assert sum(losses[-3:]) < sum(losses[:3])
    assert all(torch.equal(p, frozen[n]) for n, p in model.named_parameters() if n in frozen)


def test_k_fac_has_factors_for_the_trained_linear_layers_alone(entry, splits):
    model = entry.model(entry.widths(parameters_of(2), OUTPUTS), 0)
    optimizer = optimizers.get("kfac").create(model, entry.loss(), {}, torch.Generator().manual_seed(0))
    optimizer.step(take(splits.train_inputs, slice(4)), splits.train_targets[:4])
    assert len(optimizer.factors) == 2 * 4 * 2 + 1  # A and B of four projections in two layers, and the head
