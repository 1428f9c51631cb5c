import pytest
import torch

from tngd_bench.problems import registry

SHAPES = {
    "digits-mlp": (64,),
    "mnist-cnn": (1, 28, 28),
    "mnist-mlp": (784,),
    "mnist-mlp3": (784,),
    "fashion-cnn": (1, 28, 28),
}
ENTRIES = [registry.get(name) for name in SHAPES]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_model_is_a_function_of_its_seed_alone(entry):
    widths = entry.widths(10_000, 12)
    torch.manual_seed(1)
    one = entry.model(widths, 5)
    torch.manual_seed(2)
    again, other = entry.model(widths, 5, 12), entry.model(widths, 6)
    for a, b, c in zip(one.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_building_leaves_the_global_random_state(entry):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    entry.model(entry.widths(10_000), 5)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_models_are_plain_sequential_and_give_the_outputs_asked_for(entry):
    model = entry.model(entry.widths(10_000, 20), 0)
    assert type(model) is torch.nn.Sequential
    inputs = torch.rand(3, *SHAPES[entry.name])
    outputs = model(inputs)
    assert outputs.shape == (3, 20)
    assert entry.loss()(outputs, torch.tensor([0, 9, 4])).ndim == 0


def test_outputs_that_contradict_the_widths_are_refused():
    entry = registry.get("digits-mlp")
    with pytest.raises(ValueError, match="outputs must be 10"):
        entry.model(entry.widths(10_000), 0, 12)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"train_size": 0}, ValueError, "train_size must be an integer >= 1"),
        ({"train_size": 1438}, ValueError, "train_size .* <= 1437"),
        ({"test_size": 361}, ValueError, "test_size .* <= 360"),
        ({"test_size": 1.5}, TypeError, "test_size must be an integer"),
        ({"dtype": "float16"}, ValueError, "dtype must be one of: float32, float64"),
    ],
)
def test_bad_sizes_name_the_argument(settings, error, message):
    with pytest.raises(error, match=message):
        registry.get("digits-mlp").load(**settings)


def test_options_are_checked_by_name_and_value():
    entry = registry.get("squad-lora")
    with pytest.raises(
        ValueError, match=r"squad-lora has no option 'encodr'; did you mean 'encoder'\? \(it has: "
    ):
        entry.configured({"encodr": "x"})
    with pytest.raises(ValueError, match=r"overlap must be a finite number >= 0 and < 0.4, not 0.9"):
        registry.get("squad-lora", {"overlap": 0.9})
    with pytest.raises(TypeError, match="encoder must be text"):
        registry.get("squad-lora", {"encoder": 3})
    with pytest.raises(ValueError, match=r"digits-mlp has no option 'encoder' \(it has: none\)"):
        registry.get("digits-mlp", {"encoder": "x"})


def test_an_option_is_in_force_in_the_entry_returned_and_nowhere_else():
    bert = registry.get("squad-lora", {"encoder": "bert-base-uncased"})
    wanted = 8 * 12 * 768 * 2 + 2 * 769
    assert bert.widths(wanted).describe() == "rank 2, 384 tokens"
    assert registry.get("squad-lora").widths(wanted).describe() == "rank 8, 384 tokens"
