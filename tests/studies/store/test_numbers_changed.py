"""A number of processes or seeds that is changed once results are there is written down and said."""

from tngd_bench.studies.store.numbers_changed import changes_in_words, numbers_changed


def study(processes=3, seeds=5, **more):
    return {
        "cost": [{"name": "size", "processes": processes}],
        "training": [{"name": "digits", "seeds": seeds}],
        **more,
    }


def test_nothing_is_said_of_a_first_run_or_of_the_same_numbers():
    assert numbers_changed(None, study()) == []
    assert numbers_changed(study(), study()) == []
    assert changes_in_words(study()) == changes_in_words(study(numbers_changed=[])) == ""


def test_every_number_that_was_looked_at_stays_told():
    first = study()
    second = study(processes=5)
    second["numbers_changed"] = numbers_changed(first, second)
    third = study(processes=4, seeds=8)
    third["numbers_changed"] = numbers_changed(second, third)
    assert changes_in_words(second) == "size: 3, then 5 processes"
    assert changes_in_words(third) == "size: 3, then 5, then 4 processes; digits: 5, then 8 seeds"
    fourth = study(processes=4, seeds=8)
    assert numbers_changed(third, fourth) == third["numbers_changed"]


def test_a_section_that_is_new_or_gone_has_no_earlier_number():
    added = study()
    added["cost"].append({"name": "batch", "processes": 7})
    assert numbers_changed(study(), added) == numbers_changed(added, study()) == []
