"""A report in, its findings out."""

from __future__ import annotations

import pytest

from nlp.extract import extract_findings
from nlp.types import Change, Laterality, Presence, Section, Severity


def test_a_report_gives_findings_with_offsets_side_severity_and_sizes():
    text = (
        "FINDINGS: Mild left basilar atelectasis. No pneumothorax.\n"
        "A 1.2 x 0.8 cm nodule in the right upper lobe, previously 9 mm.\n"
        "IMPRESSION: New large right pleural effusion."
    )

    report = extract_findings(text)

    found = {each.concept: each for each in report.findings}
    assert found["atelectasis"].severity is Severity.MILD
    assert found["atelectasis"].laterality is Laterality.LEFT
    assert found["pneumothorax"].presence is Presence.ABSENT
    assert found["nodule"].sizes_mm == ((12.0, 8.0),)
    assert found["nodule"].prior_sizes_mm == ((9.0,),)
    assert found["nodule"].sites == ("upper_lobe",)
    assert found["pleural_effusion"].change is Change.NEW
    assert found["pleural_effusion"].section is Section.IMPRESSION
    for each in report.findings:
        assert text[each.start : each.end] == each.text


def test_the_impression_overrides_the_findings():
    report = extract_findings("FINDINGS: Pneumonia.\nIMPRESSION: No pneumonia.")

    assert [each.presence for each in report.findings] == [Presence.ABSENT]
    assert report.critical == ()


def test_what_is_asked_in_the_indication_is_never_critical():
    report = extract_findings("INDICATION: Rule out tension pneumothorax.\nFINDINGS: Clear lungs.")

    assert report.critical == ()
    assert report.normal_sites == ("lung",)


def test_the_study_says_what_an_abbreviation_means_and_where_a_finding_is():
    def concepts(text, **study):
        return [each.concept for each in extract_findings(text, **study).findings]

    assert concepts("No PE.", modality="CT") == ["pulmonary_embolism"]
    assert concepts("No PE.", modality="MG") == []
    assert concepts("CT of the chest. No PE.") == ["pulmonary_embolism"]
    assert concepts("Metastases.", body_part="BRAIN") == ["brain_metastasis"]
    assert concepts("Metastases in the liver.", body_part="BRAIN") == ["metastasis"]


def test_a_stone_is_what_its_place_makes_it():
    report = extract_findings("KIDNEYS: No stones. GALLBLADDER: 9 mm stone.")

    assert [each.concept for each in report.findings] == ["nephrolithiasis", "cholelithiasis"]
    assert [each.sizes_mm for each in report.findings] == [(), ((9.0,),)]


def test_what_is_stable_is_less_urgent_and_what_is_doubtful_is_not_critical():
    critical = "IMPRESSION: Large right pneumothorax."
    stable = "IMPRESSION: Unchanged large right pneumothorax."
    doubtful = "IMPRESSION: Pneumothorax cannot be excluded."
    feared = "IMPRESSION: Findings concerning for aortic dissection."

    assert [each.category for each in extract_findings(critical).critical] == [1]
    assert [each.category for each in extract_findings(stable).critical] == [2]
    assert extract_findings(doubtful).critical == ()
    assert [each.category for each in extract_findings(feared).critical] == [1]


def test_a_report_that_lost_its_line_breaks_keeps_its_sections():
    report = extract_findings(
        "EXAM: CT CHEST CLINICAL HISTORY: PNEUMONIA COMPARISON: NONE "
        "FINDINGS: NO EFFUSION IMPRESSION: 5 MM NODULE."
    )

    assert [(each.concept, each.section) for each in report.findings] == [
        ("pneumonia", Section.HISTORY),
        ("pleural_effusion", Section.FINDINGS),
        ("nodule", Section.IMPRESSION),
    ]


@pytest.mark.parametrize(
    ("advice", "modality", "days", "condition"),
    [
        ("Low-dose CT in 6-12 months.", "CT", (180, 360), None),
        ("Annual mammogram.", "MG", (365, 365), None),
        ("MRI brain if symptoms persist.", "MR", None, "symptoms persist"),
        ("Thyroid ultrasound on a nonemergent basis.", "US", None, None),
        ("F/u CT in 3 mo.", "CT", (90, 90), None),
    ],
)
def test_an_examination_is_asked_for_without_a_verb(advice, modality, days, condition):
    (found,) = extract_findings(f"IMPRESSION: 4 mm nodule. {advice}").recommendations

    assert (found.modality, found.interval_days, found.condition) == (modality, days, condition)


@pytest.mark.parametrize(
    "sentence",
    [
        "CT chest 6 months ago.",
        "CT performed in 2 days.",
        "MRI brain without contrast.",
        "No change at 6-month follow-up CT.",
        "Follow-up CT from 3 months ago shows a nodule.",
        "Biopsy in 2 weeks was negative.",
        "Clinical correlation.",
    ],
)
def test_an_examination_that_was_done_is_not_asked_for(sentence):
    assert extract_findings(f"IMPRESSION: {sentence}").recommendations == ()


def test_recommendations_have_examination_interval_and_condition():
    report = extract_findings(
        "IMPRESSION: 7 mm nodule. Recommend follow-up CT in 6 to 12 months if the patient smokes. "
        "No further imaging is needed for the cyst."
    )

    first, second = report.recommendations
    assert (first.modality, first.interval_days) == ("CT", (180, 360))
    assert first.condition == "the patient smokes"
    assert not first.negated
    assert second.negated


def test_change_is_read_from_sizes_where_no_word_tells_it():
    report = extract_findings("Nodule of 12 mm, previously 8 mm.")

    assert report.findings[0].change is Change.LARGER


def test_sizes_are_of_findings_and_not_of_scanners_or_distances():
    report = extract_findings(
        "TECHNIQUE: 5 mm slices. FINDINGS: The endotracheal tube is 3 cm above the carina. "
        "Nodule with SUV 5.1, 43 HU, at T12, image 18."
    )

    assert all(each.sizes_mm == () for each in report.findings)
