import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tngd_bench.problems import registry as problems
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.optimizer_label import read_label
from tngd_bench.studies.file.reading import SHIPPED, load_study, make_study, shipped_studies

BAD_OVERRIDES = [
    ("execution.workerz=3", "unknown key execution.workerz; did you mean 'workers'"),
    ("include=['a.toml']", "include is read before this; accepted: in the study's file"),
    ("plugins=['a.py']", "plugins is read before this; accepted: in the study's file, and --plugin FILE.py"),
    ("nam=x", "unknown key nam; did you mean 'name'"),
    ("cost.size.repetition=3", "unknown key cost[size].repetition; did you mean 'repetitions'"),
    ("training.noise.sweep.valuez=[1]", "unknown key training[noise].sweep.valuez; did you mean 'values'"),
    (
        "cost.size.repetitions=2",
        "cost[size].repetitions = 2 is refused; accepted: greater than or equal to 3",
    ),
    ("cost.size.optimizers=sgd", "cost[size].optimizers = 'sgd' is refused; accepted: a list"),
    ("cost.size.parameters=[1000, 'a']", "cost[size].parameters[1] = 'a' is refused; accepted: an integer"),
    ("execution.dtype=float16", "execution.dtype = 'float16' is refused; accepted: 'float32' or 'float64'"),
    ("execution=3", "execution = 3 is refused; accepted: a table"),
    ("optimizer.tngd.damping=-1", "optimizer.tngd: damping must be a finite number >= 0, not -1"),
    ("optimizer.tngd.damping=[1]", "optimizer.tngd.damping = [1] is refused"),
    (
        "optimizer.tngd.adc_bits=0",
        "optimizer.tngd: adc_bits must be an integer >= 1 and <= 32, not 0; None means ideal",
    ),
    ("optimizer.tgnd.lr=1", "did you mean 'tngd'"),
    ("optimizer.tngd.device=papr", "did you mean 'paper'"),
    ("training.digits.parameters=10", "parameters must be at least 87, the smallest model, not 10"),
    ("training.digits.problem=digit-mlp", "did you mean 'digits-mlp'"),
    ("training.digits.optimizers=['sgd','sgd']", "'sgd' appears more than once"),
    ("training.digits.optimizers=['sgd',' sgd']", "' sgd' appears more than once, as 'sgd'"),
    ("cost.size.optimizers=['tngd[delay=[1, 1.0]]']", "'tngd[delay=1.0]' appears more than once, as 'tngd["),
    (
        "training.digits.optimizers=['tngd[delay=1,dac_bits=8]','tngd[dac_bits=8, delay=1]']",
        "'tngd[dac_bits=8, delay=1]' appears more than once, as 'tngd[delay=1,dac_bits=8]'",
    ),
    ("training.digits.name=Noise", "in those A is a, and _ is -) 'noise' appears more than once"),
    ("training.digits.name=noise", "section 'noise' appears more than once"),
    ("training.noise.sweep.values=['idea']", "noise_variance must be a finite number >= 0, not 'idea'"),
    ("training.noise.sweep.values=[[1]]", "training[noise].sweep.values[0] = [1] is refused"),
    (
        "training.noise.sweep.parameter=noise_varience",
        "has no setting 'noise_varience'; did you mean 'noise_variance'",
    ),
    ("training.noise.optimizers=['tngd[noise_variance=1]']", "is swept and set"),
    ("training.digits.epochs=nan", "training[digits].epochs = nan is refused"),
    ("training.digits.epochs=1e308", "training[digits].epochs = 1e+308 is refused"),
    ("execution.threads_training=99999", "execution.threads_training = 99999 is refused"),
]


@pytest.mark.parametrize(("override", "message"), BAD_OVERRIDES)
def test_wrong_values_are_refused_with_path_and_what_is_accepted(override, message):
    with pytest.raises(StudyError) as caught:
        load_study("smoke", [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(("smoke.toml, --set ", "smoke.toml, line "))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("execution", "accepted: path.to.key=value"),
        ("=3", "accepted: path.to.key=value"),
        ("cost.sise.repetitions=3", "no section 'cost.sise'; did you mean 'size'?; there are: size"),
        ("cost.repetitions=3", "name the section and its key"),
        ("title.x.y=3", "'title.x' is not inside a table"),
    ],
)
def test_overrides_that_lead_nowhere_are_refused(override, message):
    with pytest.raises(StudyError) as caught:
        load_study("smoke", [override])
    assert message in str(caught.value)


def test_an_optimizer_that_is_given_twice_by_one_text_is_refused(table):
    """As in Python, where both are one object."""
    table["training"][0]["optimizers"] = ["sgd"] * 2
    with pytest.raises(StudyError, match="'sgd' appears more than once"):
        make_study(table)


def test_a_label_may_hold_a_table_and_two_of_one_table_are_refused(table):
    labels = ["tngd[device={base='paper'}]", "tngd[device={base='board'}]"]
    table["training"][0]["optimizers"] = labels
    assert make_study(table).training[0].optimizers == tuple(labels)
    table["training"][0]["optimizers"] = [*labels, 'tngd[device={base="paper"}]']
    with pytest.raises(StudyError, match="appears more than once, as"):
        make_study(table)


def test_overrides_reach_every_place():
    loaded = load_study(
        "smoke", ["execution.workers=5", "cost.size.repetitions=7", "optimizer.tngd.start=zero"]
    )
    assert loaded.study.execution.workers == 5
    assert loaded.study.cost[0].repetitions == 7
    assert loaded.study.optimizer["tngd"]["start"] == "zero"


@pytest.mark.parametrize("name", shipped_studies())
def test_shipped_studies_are_valid_and_named_after_their_file(name):
    loaded = load_study(name)
    assert (loaded.study.name, loaded.source) == (name, SHIPPED)


@pytest.mark.parametrize("name", shipped_studies())
def test_every_profile_of_a_shipped_study_is_valid(name):
    for profile in load_study(name).profiles:
        assert load_study(name, profile=profile).profile == profile


def test_the_quick_study_has_a_smaller_and_a_larger_self():
    assert load_study("quick").profiles == ("smoke", "full")


def test_the_quick_study_covers_what_it_must():
    from tngd_bench.analysis.statistics.paired import seeds_needed
    from tngd_bench.optimizers import registry

    study = load_study("quick").study
    sizes = study.cost[0].parameters
    assert len(sizes) >= 6
    assert (min(sizes), max(sizes)) == (1000, 1_000_000)
    apart = {"tkfac", "ngd-cg-device"}  # which have studies of their own, beyond-kfac and refinement
    assert {read_label(label).name for label in study.cost[0].optimizers} == set(registry.names()) - apart
    digits, mnist = (section for section in study.training if section.sweep is None)
    trained = {read_label(label).name for label in digits.optimizers}
    # in exact arithmetic these two make the steps of ngd-gram, which has their settings
    assert trained == set(registry.names()) - apart - {"ngd", "ngd-woodbury"}
    assert digits.seeds >= seeds_needed(len(trained) - 1)  # the rivals of TNGD
    assert mnist.seeds >= 3
    swept = [section for section in study.training if section.sweep]
    assert all(section.seeds >= 6 for section in swept)
    assert all(section.processes >= 5 for section in study.cost)
    assert {section.sweep[0].parameter for section in swept} == {"noise_variance", "adc_bits", "dac_bits"}


@pytest.mark.parametrize("profile", [None, "smoke", "full"])
def test_whatever_quick_trains_is_tuned_on_its_problem_and_timed_with_the_same_settings(profile):
    study = load_study("quick", profile=profile).study
    for section in study.training:
        assert all(read_label(label).tuned for label in section.optimizers)
        search = study.tuned_for[section.problem].tuning_record["search"]
        assert search["batch_size"] == section.batch_size
        assert search["parameters"] == pytest.approx(section.parameters, rel=0.02)
        if section.sweep is None:
            costs = [
                one
                for one in study.cost
                if one.problem == section.problem
                and section.parameters in one.parameters
                and section.batch_size in one.batch_size
            ]
            assert any(set(section.optimizers) <= set(one.optimizers) for one in costs)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])  # with the mark of editors on Windows
def test_a_study_file_is_read_by_its_path(tmp_path, encoding):
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\ntitle = "Mine"\n[[cost]]\nname = "a"\nproblem = "digits-mlp"\n'
        'parameters = [1000]\noptimizers = ["sgd"]\n',
        encoding,
    )
    loaded = load_study(str(path))
    assert (loaded.study.name, loaded.source) == ("mine", str(path))
    path.write_text("name = \n")
    with pytest.raises(StudyError, match=r"mine.toml, line 1: not valid TOML: .*column 8"):
        load_study(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match="UTF-8"):
        load_study(str(path))


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (
            "quik",
            "no study 'quik'; did you mean 'quick'?; "
            f"accepted: the path of a .toml file, or quick and {len(shipped_studies()) - 1} more; "
            "`tngd-bench list studies` prints all",
        ),
        ("absent.toml", "study file 'absent.toml' cannot be read: No such file or directory"),
    ],
)
def test_unknown_studies_are_refused(reference, message):
    with pytest.raises(StudyError) as caught:
        load_study(reference)
    assert str(caught.value) == message


def test_a_study_without_sections_has_nothing_to_do():
    with pytest.raises(StudyError, match="nothing to do"):
        make_study({"name": "a", "title": "b"})


def test_missing_keys_are_named():
    with pytest.raises(StudyError, match="title is missing"):
        make_study({"name": "a", "cost": []})
    with pytest.raises(StudyError, match=r"name and title are missing$"):
        make_study({"cost": []})
    with pytest.raises(StudyError, match=r"name and title are missing \(and 1 more\)"):
        make_study({"cost": 3})


junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.just([{}]),
)


def _places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield from _places(part, (*path, key))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_anywhere_is_accepted_or_refused_in_one_line(table, data):
    broken = copy.deepcopy(table)
    *way, last = data.draw(st.sampled_from([path for path in _places(table) if path]))
    place = broken
    for key in way:
        place = place[key]
    if isinstance(place, dict) and data.draw(st.booleans()):
        last = data.draw(st.text(max_size=6))
    place[last] = data.draw(junk)
    message = _refusal(broken)
    if message is not None:
        assert message.startswith("tiny.toml: ")
        assert "\n" not in message
        assert "pydantic" not in message.lower()


def _refusal(table):
    try:
        make_study(table, "tiny.toml")
    except StudyError as error:
        return str(error)
    return None


def test_a_section_that_names_no_outputs_has_its_problem_s_own():
    section = {"name": "s", "problem": "causal-lm", "parameters": 100_000, "optimizers": ["sgd"]}
    own = problems.get("causal-lm").outputs
    study = make_study(
        {
            "name": "x",
            "title": "x",
            "cost": [section],
            "training": [
                {**section, "name": "t", "epochs": 1},
                {**section, "name": "u", "epochs": 1, "outputs": 70},
            ],
        }
    )
    assert own != 10
    assert (study.cost[0].outputs, [each.outputs for each in study.training]) == ((own,), [own, 70])
