"""Which model reads what, where the results go, and why nothing else is done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.domain import Plan, digest_of
from node.plan.routing import plan_study
from tests.plan.builders import STORAGE, ct, dx, instance, model, rule


def plan(instances, rules, *models) -> Plan:
    return plan_study("1.2", 1, instances, rules, {m.name: m for m in models}, "config")


CXR = model("cxr-view", per_image=True)


def cxr_rule(**when):
    return rule("Chest radiographs", when={"Modality": ["CR", "DX"], **when}, run=["cxr-view"])


def test_a_series_that_meets_a_rule_is_one_run():
    result = plan(ct(slices=3), [rule()], model())

    assert result.not_run == ()
    assert (result.study_instance_uid, result.revision, result.config_digest) == (
        "1.2",
        1,
        "config",
    )
    (run,) = result.runs
    assert (run.rule, run.model, run.model_version) == ("CT chest", "ct-lungs", "1.0.0")
    assert run.model_digest == "digest of ct-lungs"
    assert run.series_instance_uid == "1.2.1"
    assert run.sop_instance_uids == ("1.2.1.1", "1.2.1.2", "1.2.1.3")
    assert run.instance_digests == tuple(f"digest of 1.2.1.{n}" for n in (1, 2, 3))
    assert run.inputs_digest == digest_of(*sorted(run.instance_digests))
    assert run.destinations == ("pacs",)


def test_a_rule_that_does_not_hold_says_why_for_each_series():
    instances = [*ct(), *ct(series="1.2.2", SeriesNumber=3, BodyPartExamined=None)]
    wanted = rule(when={"Modality": "CT", "BodyPartExamined": ["HEAD", "NECK"]})

    assert plan(instances, [wanted], model()).not_run == (
        "CT chest, CT series 2 (1.2.1): BodyPartExamined is CHEST; expected HEAD or NECK",
        "CT chest, CT series 3 (1.2.2): BodyPartExamined is absent; expected HEAD or NECK",
    )


def test_the_requirements_of_the_package_count_as_well():
    result = plan(ct(slices=3), [rule()], model(slices={"min": 30}))

    assert result.runs == ()
    assert result.not_run == (
        "CT chest, CT series 2 (1.2.1): model ct-lungs needs other input: "
        "slices is 3; expected at least 30",
    )


def test_all_series_that_meet_a_rule_are_read():
    instances = [*ct(ConvolutionKernel="B60f"), *ct(series="1.2.2", ConvolutionKernel="B30f")]

    runs = plan(instances, [rule()], model()).runs

    assert [run.series_instance_uid for run in runs] == ["1.2.1", "1.2.2"]


def test_a_model_of_single_images_gets_one_run_for_each_image():
    runs = plan([dx(2), dx(1)], [cxr_rule()], CXR).runs

    assert [run.sop_instance_uids for run in runs] == [("1.2.9.1",), ("1.2.9.2",)]


def test_single_images_are_judged_by_their_own_headers():
    lateral = [dx(2, ViewPosition="LL"), dx(3, ViewPosition="LL")]

    result = plan([dx(1), *lateral], [cxr_rule(ViewPosition="PA")], CXR)

    assert [run.sop_instance_uids for run in result.runs] == [("1.2.9.1",)]
    assert result.not_run == (
        "Chest radiographs, DX series 1 (1.2.9): 2 of 3 images: ViewPosition is LL; expected PA",
    )


def test_an_attribute_only_the_first_image_has_is_not_lent_to_the_others():
    result = plan([dx(1), dx(2, ViewPosition=None)], [cxr_rule(ViewPosition="PA")], CXR)

    assert [run.sop_instance_uids for run in result.runs] == [("1.2.9.1",)]


def test_one_case_that_two_rules_ask_for_is_run_once_for_both_destinations():
    rules = [rule("a"), rule("b", send_to=["viewer", "pacs"])]

    (run,) = plan(ct(), rules, model()).runs

    assert (run.rule, run.destinations) == ("a", ("pacs", "viewer"))


def test_a_model_that_cannot_run_is_told_once_and_does_not_stop_the_others():
    wanted = rule(run=["gone", "ct-lungs"])

    result = plan([*ct(), *ct(series="1.2.2")], [wanted], model())

    assert len(result.runs) == 2
    assert result.not_run == ("CT chest: model gone is not among the packages that can run",)


def test_a_package_with_wrong_requirements_is_told():
    unknown = plan(ct(), [rule()], model(Modalty="CT"))
    wrong = plan(ct(), [rule()], model(slices={"mim": 3}))

    assert unknown.not_run == (
        "CT chest: model ct-lungs cannot be used: select: 'Modalty' is neither a DICOM keyword "
        "nor one of series_instances, slices, spacing_mm; did you mean 'Modality'?",
    )
    assert wrong.not_run == (
        "CT chest: model ct-lungs cannot be used: "
        "select: the condition on slices is not in the language of the rules",
    )


def test_a_study_without_images_says_so():
    report = instance(sop_class=STORAGE + "88.11", Modality="SR", SeriesNumber=99)

    assert plan([report], [rule()], model()).not_run == (
        "SR series 99 (1.2.1): 1 of 1 left out: structured report, not an image",
        "CT chest: the study has no series of images",
    )
    assert plan([], [rule()], model()).not_run == (
        "the study has no instances",
        "CT chest: the study has no series of images",
    )


def test_derived_images_are_read_by_a_rule_with_a_condition_on_image_type():
    reformat = ct(ImageType=["DERIVED", "SECONDARY", "MPR"])

    assert plan(reformat, [rule()], model()).runs == ()
    asked = plan(reformat, [rule(when={"ImageType": "MPR"})], model())
    assert [len(run.sop_instance_uids) for run in asked.runs] == [3]
    assert asked.not_run == ()


def test_a_rule_may_ask_for_a_sop_class():
    assert len(plan(ct(), [rule(when={"SOPClassUID": STORAGE + "2"})], model()).runs) == 1
    both = plan([dx()], [cxr_rule(SOPClassUID=STORAGE + "1.1")], CXR)
    assert len(both.runs) == 1


def test_no_sentence_repeats_what_people_typed_into_the_study():
    typed = {
        name: "MILLER^JOHN"
        for name in ("SeriesDescription", "StudyDescription", "ProtocolName", "StationName")
    }
    rules = [rule(name, when={name: "lung"}) for name in typed]
    rules += [rule("age", when={"PatientAge": {"min": 90}, "PatientSex": "O"})]

    not_run = plan(ct(PatientAge="045Y", **typed), rules, model()).not_run

    assert len(not_run) == 5
    assert not any("MILLER" in sentence or "045Y" in sentence for sentence in not_run)


@given(order=st.permutations(range(9)))
def test_the_order_of_arrival_in_the_index_does_not_change_the_plan(order):
    instances = [*ct(slices=4), *ct(slices=3, series="1.2.2", SeriesNumber=3), dx(1), dx(2)]
    rules = [rule(), cxr_rule()]

    shuffled = plan([instances[index] for index in order], rules, model(), CXR)

    assert shuffled == plan(instances, rules, model(), CXR)
    assert len(shuffled.runs) == 4


def test_a_case_that_one_of_two_rules_wants_at_once_is_sent_before_others():
    routine = rule("a")
    stat = rule("b", priority="stat")

    for rules in ([routine, stat], [stat, routine]):
        (run,) = plan(ct(), rules, model()).runs
        assert run.priority == 1
    (run,) = plan(ct(), [routine], model()).runs
    assert run.priority == 0


def test_a_case_that_two_rules_want_has_the_shorter_of_their_budgets():
    none, long, short = rule("a"), rule("b", latency_budget_s=600), rule("c", latency_budget_s=60)
    for rules, expected in [([none], None), ([none, long], 600), ([short, long, none], 60)]:
        (run,) = plan(ct(), rules, model()).runs
        assert run.latency_budget_s == expected
