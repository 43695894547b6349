"""A report in, its findings out."""

from __future__ import annotations

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
